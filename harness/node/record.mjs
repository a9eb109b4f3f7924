#!/usr/bin/env node
// Makes trace bundles of the reference: one folder a scenario, with capture, key log, inputs, events and manifest.
//
//   node record.mjs [--node-modules DIR] --out DIR [--seed TEXT] [--no-namespace] [SCENARIO...]
//   node record.mjs --list
//
// Needs tcpdump and the right to capture. As root each scenario runs in a network namespace of its own, so that nothing else is in its
// capture and every port is free; --no-namespace records on the machine's own loopback instead. --seed derives all keys, topics and
// payloads from a text; what the packages draw themselves stays random, and is in the inputs.
import { spawn, spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { load, takeDirectoryOption, version, versions } from './lib/packages.mjs'
import { Stage, sleep } from './lib/scenarios/stage.mjs'
import { scenarios as dht } from './lib/scenarios/dht.mjs'
import { scenarios as connections } from './lib/scenarios/connections.mjs'
import { scenarios as swarms } from './lib/scenarios/swarms.mjs'
import { scenarios as udx } from './lib/scenarios/udx.mjs'

const require = createRequire(import.meta.url)
const keylog = require('./keylog.cjs')
const inputs = require('./inputs.cjs')

const SCENARIOS = { ...dht, ...connections, ...swarms, ...udx }
const LIMIT_SECONDS = 60
const NOT_RUN = 5

const usage = (message) => {
  process.stderr.write(message + '\n')
  process.exit(2)
}

const all = process.argv.slice(2)
const args = takeDirectoryOption(all)
const options = { out: null, seed: null, list: false, namespace: true, inside: false, names: [] }
for (let i = 0; i < args.length; i++) {
  const next = () => args[++i] || usage(`${args[i - 1]} needs a value`)
  if (args[i] === '--out') options.out = path.resolve(next())
  else if (args[i] === '--seed') options.seed = next()
  else if (args[i] === '--list') options.list = true
  else if (args[i] === '--no-namespace') options.namespace = false
  else if (args[i] === '--inside') options.inside = true // what the namespaces' processes are started with
  else if (args[i].startsWith('--')) usage(`unknown option ${args[i]}`)
  else if (SCENARIOS[args[i]]) options.names.push(args[i])
  else usage(`no scenario ${args[i]}; --list names them`)
}
if (options.list) {
  process.stdout.write(Object.keys(SCENARIOS).join('\n') + '\n')
  process.exit(0)
}
if (!options.out) usage('say where to: --out DIR')
if (version('hyperdht') === null) usage('hyperdht is not installed: run npm ci beside this file, or say --node-modules DIR')

if (options.inside) process.exit(await record(options.names[0]))

let failed = 0
for (const name of options.names.length ? options.names : Object.keys(SCENARIOS)) {
  const status = await inProcess(name)
  const words = status === 0 ? 'recorded' : status === NOT_RUN ? 'not run' : `failed (${status})`
  process.stdout.write(`${name}: ${words}\n`)
  if (status !== 0 && status !== NOT_RUN) failed++
}
process.exit(failed ? 1 : 0)

// Each scenario in a process of its own: a fresh stack, and a namespace that ends with it.
async function inProcess (name) {
  const passed = all.filter((a) => a !== '--no-namespace' && !SCENARIOS[a])
  const command = [process.execPath, fileURLToPath(import.meta.url), ...passed, '--inside', name]
  const isolate = options.namespace && process.getuid && process.getuid() === 0 && spawnSync('unshare', ['--net', 'true']).status === 0
  const child = isolate
    ? spawn('unshare', ['--net', '--', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', ...command], { stdio: 'inherit' })
    : spawn(command[0], command.slice(1), { stdio: 'inherit' })
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_SECONDS * 1000)
  const status = await new Promise((resolve) => child.on('exit', (code, signal) => resolve(code === null ? signal : code)))
  clearTimeout(timer)
  return status
}

async function record (name) {
  const folder = path.join(options.out, name)
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  const events = fs.openSync(path.join(folder, 'events.jsonl'), 'w')
  const stage = new Stage(name, options.seed, (line) => fs.writeSync(events, JSON.stringify(line) + '\n'))
  const capture = await startCapture(path.join(folder, 'capture.pcap'))
  keylog.open(path.join(folder, 'keylog.jsonl'))
  inputs.open(path.join(folder, 'inputs.jsonl'), load)
  const manifest = {
    schema: 'hyperswarm-trace/1', scenario: name, started: new Date().toISOString(), implementation: 'node', node: process.version,
    versions: versions(), peers: stage.peers, ok: false
  }
  let status = 0
  try {
    await SCENARIOS[name](stage)
    await stage.end()
    manifest.ok = true
  } catch (error) {
    status = error.notRun ? NOT_RUN : 1
    process.stderr.write(`${name}: ${error.notRun ? error.message : error.stack}\n`)
  }
  inputs.close()
  keylog.close()
  const lost = await capture.stop()
  if (lost !== 0) {
    process.stderr.write(`${name}: the kernel dropped ${lost} packets of the capture\n`)
    manifest.ok = false
    status = status || 1
  }
  fs.writeFileSync(path.join(folder, 'manifest.json'), JSON.stringify(manifest, null, 2) + '\n')
  return status
}

// Not in immediate mode, and with a large ring: the other way loses packets under load.
async function startCapture (file) {
  const child = spawn('tcpdump', ['-i', 'lo', '-n', '-s', '262144', '-B', '65536', '-Z', 'root', '-w', file, 'udp or tcp port 40010'], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (data) => { said += data })
  const ended = new Promise((resolve) => child.on('close', resolve))
  child.on('error', (error) => { said += error.message })
  for (let i = 0; !said.includes('listening on'); i++) {
    if (i > 200 || child.exitCode !== null) throw new Error(`tcpdump does not capture: ${said.trim()}`)
    await sleep(25)
  }
  await sleep(50)
  return {
    async stop () {
      await sleep(1500) // tcpdump is handed what the ring holds once a second
      child.kill('SIGINT')
      await ended
      const m = /(\d+) packets? dropped by kernel/.exec(said)
      return m ? Number(m[1]) : -1
    }
  }
}
