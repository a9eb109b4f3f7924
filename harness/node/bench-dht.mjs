#!/usr/bin/env node
// What the reference's DHT does on this machine, for `harness/bench dht` to print beside ours. Everything stays on 127.0.0.1.
//
//   node bench-dht.mjs [--node-modules DIR] --network 20    a network and a server, until stdin closes; prints {"port":..,"publicKey":..}
//   node bench-dht.mjs [--node-modules DIR] --client PORT KEY --figure lookups32 [--seconds 3]    measures against it, prints one line of JSON
//   node bench-dht.mjs [--node-modules DIR] --connect PORT KEY [--idle 500]    opens idle connections, prints what they hold
//   node bench-dht.mjs [--node-modules DIR] --listen PORT   a server that answers each line on stdin with its resident set in KiB
import { load, takeDirectoryOption } from './lib/packages.mjs'

const args = takeDirectoryOption(process.argv.slice(2))
const at = (name) => args.indexOf(name)
const number = (name, otherwise) => (at(name) === -1 ? otherwise : Number(args[at(name) + 1]))
const HyperDHT = load('hyperdht')
const print = (value) => process.stdout.write(JSON.stringify(value) + '\n')

async function node (bootstrap, options = {}) {
  const dht = new HyperDHT({ bootstrap, host: '127.0.0.1', ...options })
  await dht.fullyBootstrapped()
  return dht
}

async function listen (dht) {
  const server = dht.createServer((stream) => stream.on('error', () => {}))
  await server.listen()
  return server
}

// How often `body` ends in so many seconds, `width` of them at a time, and the CPU that one costs.
async function rate (seconds, width, body) {
  const before = process.cpuUsage()
  const start = performance.now()
  let count = 0
  const worker = async () => {
    while (performance.now() - start < seconds * 1000) {
      await body()
      count++
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  const used = process.cpuUsage(before)
  return { count, perSecond: count / ((performance.now() - start) / 1000), cpuMilliseconds: (used.user + used.system) / 1000 / count }
}

async function network (count) {
  const open = { ephemeral: false, firewalled: false }
  const first = await node([], open)
  const bootstrap = [{ host: '127.0.0.1', port: first.address().port }]
  for (let i = 1; i < count; i++) await node(bootstrap, open)
  const server = await listen(await node(bootstrap, open))
  print({ port: bootstrap[0].port, publicKey: server.publicKey.toString('hex') })
}

async function client (port, key) {
  const seconds = number('--seconds', 3)
  const bootstrap = [{ host: '127.0.0.1', port }]
  const dht = await node(bootstrap)
  let topics = 0
  const topic = () => {
    const target = Buffer.alloc(32, 7)
    target.writeUInt32LE(topics++, 0)
    return target
  }
  const finished = async (query) => { for await (const _ of query) { /* counted by its end */ } }
  const connect = async () => {
    const stream = dht.connect(Buffer.from(key, 'hex'))
    stream.on('error', () => {})
    await new Promise((resolve, reject) => stream.once('open', resolve).once('close', () => reject(new Error('closed'))))
    return stream
  }
  const connectAndLeave = async () => (await connect()).destroy()
  const bodies = {
    lookups: () => finished(dht.lookup(topic())),
    announces: () => dht.announce(topic(), dht.defaultKeyPair).finished(),
    connects: connectAndLeave
  }
  const [, name, width] = /^([a-z]+)(\d+)$/.exec(args[at('--figure') + 1])
  const bootstrapRequests = dht.stats.requests.total
  print({ bootstrapRequests, ...await rate(seconds, Number(width), bodies[name]) })
}

// Opens connections and leaves them idle; prints the resident set before and after.
async function idle (port, key) {
  const dht = await node([{ host: '127.0.0.1', port }])
  const count = number('--idle', 500)
  const resident = () => {
    if (global.gc) global.gc()
    return Math.round(process.memoryUsage.rss() / 1024)
  }
  const before = resident()
  const all = []
  for (let i = 0; i < count; i += 20) {
    const batch = Array.from({ length: Math.min(20, count - i) }, () => dht.connect(Buffer.from(key, 'hex')))
    for (const stream of batch) stream.on('error', () => {})
    await Promise.all(batch.map((stream) => new Promise((resolve) => stream.once('open', resolve))))
    all.push(...batch)
  }
  await new Promise((resolve) => setTimeout(resolve, 2000))
  print({ before, after: resident(), open: all.filter((stream) => !stream.destroyed).length })
  process.stdin.on('end', () => process.exit(0)).resume()
}

if (at('--network') !== -1) {
  await network(number('--network', 20))
  process.stdin.on('end', () => process.exit(0)).resume()
} else if (at('--listen') !== -1) {
  const dht = await node([{ host: '127.0.0.1', port: number('--listen', 0) }], { ephemeral: true })
  print({ publicKey: (await listen(dht)).publicKey.toString('hex') })
  process.stdin.on('data', () => {
    if (global.gc) global.gc()
    print({ resident: Math.round(process.memoryUsage.rss() / 1024) })
  }).on('end', () => process.exit(0))
} else if (at('--client') !== -1) {
  await client(Number(args[at('--client') + 1]), args[at('--client') + 2])
  process.exit(0)
} else if (at('--connect') !== -1) {
  await idle(Number(args[at('--connect') + 1]), args[at('--connect') + 2])
} else {
  process.stderr.write('usage: node bench-dht.mjs [--node-modules DIR] --network N | --listen PORT | --client PORT KEY | --connect PORT KEY\n')
  process.exit(2)
}
