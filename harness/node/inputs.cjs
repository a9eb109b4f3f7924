'use strict'
// Writes what a run takes in besides packets, in the format of the trace bundles (hyperswarm-inputs/1): random draws with where in the
// packages they are made, and calls of the public API. A call made inside another one is not written: it follows from that one.
// Calls that the stack makes of itself after waiting are written.

const { createHash } = require('node:crypto')
const fs = require('node:fs')

const SCHEMA = 'hyperswarm-inputs/1'
const LONGEST_HEX = 64 // bytes; longer ones are written as their length and digest

let file = null
let depth = 0
let installed = false

const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000)
const hex = (bytes) => (bytes ? Buffer.from(bytes).toString('hex') : null)

function open (name, load) {
  close()
  file = fs.openSync(name, 'w')
  write({ t: now(), kind: 'header', schema: SCHEMA })
  if (installed) return
  installed = true
  depth++ // what packages draw while they are loaded counts; the calls that we make to find their classes do not
  install(load)
  depth--
}

function close () {
  if (file !== null) fs.closeSync(file)
  file = null
}

function write (line) {
  if (file !== null) fs.writeSync(file, JSON.stringify(line) + '\n')
}

// --- draws

function drawnAt () {
  for (const line of new Error().stack.split('\n').slice(2)) {
    const m = /^\s*at (?:(?:new )?(.*?) )?\(?(.+?):(\d+):\d+\)?$/.exec(line)
    if (!m) continue
    const [, name, where, number] = m
    const at = packagePath(where)
    if (at === null) continue
    return { at, line: Number(number), function: name ? name.replace(/ \[as .*\]$/, '') : '<anonymous>' }
  }
  return null
}

let root = ''

function packagePath (file) {
  const path = file.replaceAll('\\', '/').replace(/^file:\/\//, '')
  const marker = '/node_modules/'
  let at = null
  if (path.includes(marker)) at = path.slice(path.lastIndexOf(marker) + marker.length)
  else if (root && path.startsWith(root)) at = path.slice(root.length)
  return at === null || /^sodium-(universal|native)\//.test(at) ? null : at
}

function install (load) {
  const random = Math.random
  Math.random = function () {
    const value = random()
    if (file !== null) {
      const where = drawnAt()
      if (where) write({ t: now(), kind: 'draw', source: 'Math.random', value, ...where })
    }
    return value
  }

  const sodium = load('sodium-universal')
  const fill = sodium.randombytes_buf
  sodium.randombytes_buf = function (buffer) {
    fill(buffer)
    if (file !== null) {
      const where = drawnAt()
      if (where) write({ t: now(), kind: 'draw', source: 'randombytes_buf', bytes: hex(buffer), ...where })
    }
  }

  const HyperDHT = load('hyperdht')
  const UDX = load('udx-native')
  patch('HyperDHT', HyperDHT.prototype, [
    'fullyBootstrapped', 'announce', 'unannounce', 'lookup', 'findPeer', 'findNode', 'ping', 'delayedPing', 'request', 'connect', 'createServer',
    'mutablePut', 'mutableGet', 'immutablePut', 'immutableGet', 'suspend', 'resume', 'destroy'
  ], (dht) => ({ serverPort: dht.io && dht.io.serverSocket && dht.io.serverSocket.bound ? dht.io.serverSocket.address().port : null }))
  const Server = serverClass(HyperDHT)
  patch('Server', Server.prototype, ['listen', 'close', 'suspend', 'resume'], (server) => ({ publicKey: hex(server.publicKey) }))
  patch('SecretStream', load('@hyperswarm/secret-stream').prototype, ['write', 'end', 'destroy', 'send'], (stream) => ({
    publicKey: hex(stream.publicKey), remotePublicKey: hex(stream.remotePublicKey), initiator: stream.isInitiator
  }))
  const probe = new UDX().createStream(1)
  patch('UDXStream', probe.constructor.prototype, ['connect', 'write', 'end', 'destroy', 'send', 'relayTo', 'pause', 'resume'], (stream) => ({ localId: stream.id }))
  probe.destroy()
  patch('Hyperswarm', load('hyperswarm').prototype, ['join', 'leave', 'joinPeer', 'leavePeer', 'listen', 'flush', 'suspend', 'resume', 'destroy'],
    (swarm) => ({ publicKey: hex(swarm.keyPair && swarm.keyPair.publicKey) }))
}

// The server's class is not exported: an object that is never used shows it.
function serverClass (HyperDHT) {
  return HyperDHT.prototype.createServer.call({ listening: new Set() }, {}).constructor
}

// --- calls

function patch (object, prototype, methods, identify) {
  for (const method of methods) {
    const original = prototype[method]
    if (typeof original !== 'function') continue
    prototype[method] = function (...args) {
      if (file === null) return original.apply(this, args)
      if (depth === 0) write({ t: now(), kind: 'call', object, id: identify(this), method, args: args.map((a) => describe(a, true)) })
      depth++
      try {
        return original.apply(this, args)
      } finally {
        depth--
      }
    }
  }
}

function describe (value, top = false) {
  if (value === undefined || value === null) return null
  if (typeof value === 'function') return top ? null : undefined
  if (typeof value !== 'object') return value
  if (ArrayBuffer.isView(value)) {
    if (value.byteLength <= LONGEST_HEX) return hex(value)
    return { bytes: value.byteLength, sha256: createHash('sha256').update(value).digest('hex') }
  }
  if (Array.isArray(value)) return value.map((v) => describe(v))
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value.constructor.name
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, describe(v)]).filter(([, v]) => v !== undefined))
}

module.exports = { open, close, SCHEMA, describe }
