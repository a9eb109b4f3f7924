#!/usr/bin/env node
// Prints the golden vector files from the packages.
//
//   node vectors.mjs [--node-modules DIR] [--vectors DIR] --list
//   node vectors.mjs ... SUITE...             prints these suites (one: the file itself; more: one after the other)
//   node vectors.mjs ... --out DIR [SUITE...] writes the files
//   node vectors.mjs ... --check [SUITE...]   compares with the files in the vectors directory; status 1 and the differences, if any
//   node vectors.mjs ... --renew TEXT ...     first replaces the random inputs by others, derived from TEXT
//
// Inputs are those of the files in the vectors directory (../../vectors); everything else in a case is computed. So a new version of a
// package is judged by --check, and blessed by --out.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { takeDirectoryOption, version } from './lib/packages.mjs'
import * as channels from './lib/vectors/channels.mjs'
import * as dht from './lib/vectors/dht.mjs'
import * as encryption from './lib/vectors/encryption.mjs'
import * as ground from './lib/vectors/ground.mjs'

const SUITES = [...Object.values(ground), ...Object.values(encryption), ...Object.values(dht), ...Object.values(channels)]
const NOT_MADE_HERE = ['udx-packets (packets of recordings)', 'udx-exchanges, dht-exchanges (scripted testers against a live peer: hyperconform probe)']

let directory = fileURLToPath(new URL('../../vectors', import.meta.url))
const read = (suite) => JSON.parse(readFileSync(path.join(directory, suite + '.json'), 'utf8'))

async function make (suite, renew) {
  const file = read(suite.suite)
  const cases = renew ? file.cases.map((c) => renewCase(suite, c, renew)) : file.cases
  const others = Object.fromEntries((suite.needs || []).map((name) => [name, read(name).cases]))
  const computed = suite.sequence ? await suite.sequence(cases) : []
  if (!suite.sequence) for (const c of cases) computed.push(await suite.compute(c, others))
  const made = cases.map((c, i) => {
    const keys = new Set([...suite.inputs, 'id'])
    for (const key of Object.keys(c)) {
      if (!keys.has(key) && !Object.hasOwn(computed[i], key)) throw new Error(`${suite.suite}: nothing computes ${key}`)
    }
    for (const key of Object.keys(computed[i])) {
      if (!Object.hasOwn(c, key)) throw new Error(`${suite.suite}: ${key} is not in the file`)
    }
    return Object.fromEntries(Object.keys(c).map((key) => [key, Object.hasOwn(computed[i], key) ? computed[i][key] : c[key]]))
  })
  const source = Object.fromEntries(suite.sources.map((name) => [name, version(name)]))
  return { schema: file.schema, suite: file.suite, description: file.description, source, cases: made }
}

// Other bytes of the same length in place of each long run of digits among the inputs; secret keys become proper ones.
function renewCase (suite, c, seed) {
  const fixed = new Set(['compact-encoding-invalid', 'noise-invalid', 'ed25519-dh', 'keys'])
  if (fixed.has(suite.suite)) return c
  const fresh = (digits) => {
    const length = digits.length / 2
    let out = Buffer.alloc(0)
    for (let i = 0; out.length < length; i++) out = Buffer.concat([out, createHash('sha256').update(`${seed} ${i} ${digits}`).digest()])
    return out.subarray(0, length)
  }
  const renew = (v, key) => {
    if (Array.isArray(v)) return v.map((x) => renew(x, key))
    if (v && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, renew(x, k)]))
    if (typeof v !== 'string' || v.length < 16 || v.length % 2 || !/^[0-9a-f]*[a-f][0-9a-f]*$/.test(v) || key === 'prologue') return v
    if (/secret(Key)?$/i.test(key) && v.length === 128) return ground.keys.compute({ seed: fresh(v.slice(0, 64)).toString('hex') }).secretKey
    return fresh(v).toString('hex')
  }
  return Object.fromEntries(Object.entries(c).map(([k, v]) => [k, suite.inputs.includes(k) && k !== 'id' ? renew(v, k) : v]))
}

function differences (a, b, at) {
  if (a && b && typeof a === 'object' && typeof b === 'object') {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) => differences(a[key], b[key], `${at}.${key}`))
  }
  return a === b ? [] : [`${at}: the file has ${JSON.stringify(a)}, the packages give ${JSON.stringify(b)}`]
}

function usage (message) {
  process.stderr.write(message + '\n')
  process.exit(2)
}

const args = takeDirectoryOption(process.argv.slice(2))
const options = { suites: [], check: false, list: false, out: null, renew: null }
for (let i = 0; i < args.length; i++) {
  const next = () => args[++i] || usage(`${args[i - 1]} needs a value`)
  if (args[i] === '--check') options.check = true
  else if (args[i] === '--list') options.list = true
  else if (args[i] === '--out') options.out = next()
  else if (args[i] === '--renew') options.renew = next()
  else if (args[i] === '--vectors') directory = path.resolve(next())
  else if (args[i].startsWith('--')) usage(`unknown option ${args[i]}`)
  else options.suites.push(args[i])
}

if (options.list) {
  for (const { suite } of SUITES) process.stdout.write(suite + '\n')
  for (const text of NOT_MADE_HERE) process.stdout.write(`not made here: ${text}\n`)
  process.exit(0)
}

const chosen = options.suites.length ? options.suites.map((name) => SUITES.find((s) => s.suite === name) || usage(`no suite ${name}`)) : SUITES
if (!options.check && !options.out && !options.suites.length) usage('name suites, or say --check or --out DIR')
if (options.check && options.renew) usage('--check compares with the inputs of the files: it takes no --renew')
if (options.out) mkdirSync(options.out, { recursive: true })

let failed = 0
let compared = 0
for (const suite of chosen) {
  if (options.renew && suite.needs) {
    process.stderr.write(`${suite.suite} is about the handshakes of the present files: not renewed\n`)
    continue
  }
  const made = await make(suite, options.renew)
  if (options.check) {
    const file = read(suite.suite)
    const found = file.cases.flatMap((c, i) => differences(c, made.cases[i], c.id))
    compared += made.cases.length
    failed += found.length
    process.stdout.write(`${suite.suite}: ${made.cases.length} cases, ${found.length ? found.length + ' differences' : 'equal'}\n`)
    for (const text of found.slice(0, 20)) process.stdout.write(`  ${text}\n`)
    for (const [name, v] of Object.entries(made.source)) {
      if (file.source[name] !== v) process.stdout.write(`  ${name}: the file is from ${file.source[name]}, this is ${v}\n`)
    }
  } else {
    const text = JSON.stringify(made, null, 1) + '\n'
    if (options.out) writeFileSync(path.join(options.out, suite.suite + '.json'), text)
    else process.stdout.write(text)
  }
}
if (options.check) process.stdout.write(`${chosen.length} suites, ${compared} cases, ${failed} differences\n`)
process.exit(failed ? 1 : 0)
