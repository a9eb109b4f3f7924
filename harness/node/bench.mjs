#!/usr/bin/env node
// What the reference does on this machine: an encrypted stream end to end over HyperDHT, in one process and in two, and connections a second.
//
//   node bench.mjs [--node-modules DIR] [--megabytes 200] [--connections 50]
//
// Prints one line of JSON. Everything stays on 127.0.0.1.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { load, takeDirectoryOption, versions } from './lib/packages.mjs'

const args = takeDirectoryOption(process.argv.slice(2))
const number = (name, otherwise) => {
  const i = args.indexOf(name)
  return i === -1 ? otherwise : Number(args[i + 1])
}
const MEGABYTES = number('--megabytes', 200)
const CONNECTIONS = number('--connections', 50)
const PIECE = 65536

const HyperDHT = load('hyperdht')

async function node (bootstrap, options = {}) {
  const dht = new HyperDHT({ bootstrap, host: '127.0.0.1', ...options })
  await dht.fullyBootstrapped()
  return dht
}

async function serve (bootstrap) {
  const dht = await node(bootstrap, { ephemeral: false, firewalled: false })
  const server = dht.createServer((stream) => {
    stream.on('error', () => {})
    stream.on('data', () => {}) // received and thrown away
    stream.on('end', () => stream.end('done'))
  })
  await server.listen()
  return { dht, server }
}

if (args.includes('--serve')) {
  const { server } = await serve(JSON.parse(args[args.indexOf('--serve') + 1]))
  process.send({ publicKey: server.publicKey.toString('hex') })
  process.on('disconnect', () => process.exit(0))
} else {
  const public_ = { ephemeral: false, firewalled: false }
  const first = await node([], public_)
  const bootstrap = [{ host: '127.0.0.1', port: first.address().port }]
  for (let i = 0; i < 3; i++) await node(bootstrap, public_)
  const client = await node(bootstrap)

  const here = await serve(bootstrap)
  const inOne = await throughput(client, here.server.publicKey)
  const perSecond = await connections(client, here.server.publicKey)

  const child = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), '--serve', JSON.stringify(bootstrap)])
  const { publicKey } = await new Promise((resolve) => child.once('message', resolve))
  const inTwo = await throughput(client, Buffer.from(publicKey, 'hex'))
  child.disconnect()

  process.stdout.write(JSON.stringify({
    schema: 'hyperconform-bench/1', implementation: 'node', node: process.version, versions: versions(), megabytes: MEGABYTES,
    oneProcessMegabytesPerSecond: inOne, twoProcessesMegabytesPerSecond: inTwo, connectionsPerSecond: perSecond
  }) + '\n')
  process.exit(0)
}

// From the first byte written to the word of the other side that it has had the last.
async function throughput (client, key) {
  const stream = client.connect(key)
  stream.on('error', () => {})
  await new Promise((resolve) => stream.once('open', resolve))
  const piece = Buffer.alloc(PIECE, 7)
  const done = new Promise((resolve) => stream.once('data', resolve))
  const start = performance.now()
  for (let sent = 0; sent < MEGABYTES * 1e6; sent += PIECE) {
    if (!stream.write(piece)) await new Promise((resolve) => stream.once('drain', resolve))
  }
  stream.end()
  await done
  const seconds = (performance.now() - start) / 1000
  stream.destroy()
  return Number((MEGABYTES / seconds).toFixed(1))
}

// One after the other: dialled, opened, taken down.
async function connections (client, key) {
  const start = performance.now()
  for (let i = 0; i < CONNECTIONS; i++) {
    const stream = client.connect(key)
    stream.on('error', () => {})
    await new Promise((resolve) => stream.once('open', resolve))
    stream.destroy()
  }
  return Number((CONNECTIONS / ((performance.now() - start) / 1000)).toFixed(1))
}
