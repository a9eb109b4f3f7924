#!/usr/bin/env node
// The reference implementation behind the peer contract (../PEERS.md).
//
//   node peer.mjs                                  packages from npm ci, beside this file
//   node peer.mjs --node-modules DIR               packages laid out in DIR
//   node peer.mjs --lie NAME                       with one thing wrong on the wire (--lies lists them): to test a harness
import { createRequire } from 'node:module'
import readline from 'node:readline'
import { integer, optional, text, BadRequest } from './lib/arguments.mjs'
import { Contract, Unsupported, microseconds } from './lib/contract.mjs'
import { channelCommands } from './lib/channels.mjs'
import { dhtCommands } from './lib/dht.mjs'
import { nodeCommands } from './lib/nodes.mjs'
import { LIES } from './lib/lies.mjs'
import { load, takeDirectoryOption, version, versions } from './lib/packages.mjs'
import { secretStreamCommands } from './lib/secret-streams.mjs'
import { streamCommands } from './lib/streams.mjs'
import { udxCommands } from './lib/udx.mjs'

const require = createRequire(import.meta.url)
const keylog = require('./keylog.cjs') // before any of the packages is loaded

const rest = takeDirectoryOption(process.argv.slice(2))
if (rest[0] === '--lies') {
  for (const [name, { layer, what }] of Object.entries(LIES)) process.stdout.write(`${name}: ${layer}: ${what}\n`)
  process.exit(0)
}
const lie = rest[0] === '--lie' && Object.hasOwn(LIES, rest[1]) ? rest[1] : null
if (rest.length !== (lie ? 2 : 0)) {
  process.stderr.write('usage: node peer.mjs [--node-modules DIR] [--lie NAME | --lies]\n')
  process.exit(2)
}
if (version('hyperdht') === null) {
  process.stderr.write('hyperdht is not installed: run npm ci beside this file, or say --node-modules DIR\n')
  process.exit(2)
}

if (lie) LIES[lie].tell()

const contract = new Contract((line) => process.stdout.write(line + '\n'))

contract.command('hello', { contract: integer() }, (a) => {
  if (a.contract !== 1) throw new Unsupported('contract')
  return {
    contract: 1, name: lie ? `node-lying-${lie}` : 'node', language: 'javascript', versions: { node: process.version, ...versions() },
    commands: [...contract.commands.keys()], layers: ['dht', 'swarm', 'udx', 'secret-stream', 'protomux', 'relay']
  }
})

const openFile = (open, path) => {
  try {
    open(path)
  } catch (error) {
    throw new BadRequest(error.message)
  }
}
contract.command('keylog', { path: text }, (a) => { openFile(keylog.open, a.path) })
contract.command('clock', {}, () => ({ t: microseconds() }))

nodeCommands(contract)
dhtCommands(contract)
streamCommands(contract)
udxCommands(contract)
secretStreamCommands(contract)
channelCommands(contract)

const kinds = ['node', 'server', 'stream', 'socket', 'channel']
const closeFields = Object.fromEntries(kinds.map((kind) => [kind, optional(contract.handle(kind))]))
contract.command('close', closeFields, async (a) => {
  const given = kinds.filter((kind) => a[kind] !== undefined)
  if (given.length > 1) throw new BadRequest('close takes one handle, or none')
  if (given.length === 0) return closeAll()
  if (given[0] === 'channel') return a.channel.channel.close()
  await a[given[0]].close()
})

async function closeAll () {
  const order = ['channel', 'server', 'node', 'stream', 'socket']
  for (const kind of order) {
    const open = [...contract.handles.values()].filter((entry) => entry.kind === kind && !entry.gone)
    await Promise.allSettled(open.map((entry) => (kind === 'channel' ? entry.object.channel.close() : entry.object.close())))
  }
}

// What another host sends must never end this process; what ends up here is a fault of the reference or of this file.
process.on('uncaughtException', (error) => process.stderr.write(`uncaught: ${error.stack || error}\n`))
process.on('unhandledRejection', (error) => process.stderr.write(`unhandled rejection: ${(error && error.stack) || error}\n`))

const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity, terminal: false })
lines.on('line', (line) => { contract.line(line) })
lines.on('close', () => {
  setTimeout(() => process.exit(0), 4000).unref()
  closeAll().finally(() => process.exit(0))
})
