'use strict'
// Makes any Node application that uses these packages write its secrets to a file, in the format of the trace bundles
// (hyperswarm-keylog/2), so that a capture of it can be opened:
//
//   HYPERSWARM_KEYLOGFILE=keys.jsonl node -r ./keylog.cjs app.js
//
// The packages are patched as they are loaded; nothing is written, and nothing costs anything, while no file is open.

const fs = require('node:fs')
const path = require('node:path')
const Module = require('node:module')

const SCHEMA = 'hyperswarm-keylog/2'

let file = null
const hex = (bytes) => (bytes ? Buffer.from(bytes).toString('hex') : null)
const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000)

function open (name) {
  close()
  file = fs.openSync(name, 'a')
  if (fs.fstatSync(file).size === 0) append({ type: 'header', t: now(), schema: SCHEMA })
}

function close () {
  if (file !== null) fs.closeSync(file)
  file = null
}

// Synchronous on purpose: the secrets of a process that crashes are the ones that are wanted most.
function append (line) {
  if (file !== null) fs.writeSync(file, JSON.stringify(line) + '\n')
}

function log (type, fields) {
  append({ type, t: now(), ...fields })
}

// --- noise-handshake

const transcripts = new WeakMap()

function transcript (state) {
  let t = transcripts.get(state)
  if (!t) transcripts.set(state, (t = { prologue: null, messages: [], s: null, e: null, re: null }))
  return t
}

function keyPair (pair) {
  return pair ? { publicKey: hex(pair.publicKey), secretKey: hex(pair.secretKey) } : { publicKey: null, secretKey: null }
}

function patchNoise (NoiseState) {
  const { initialise, send, recv } = NoiseState.prototype

  NoiseState.prototype.initialise = function (prologue, remoteStatic) {
    const t = transcript(this)
    t.prologue = hex(prologue)
    return initialise.call(this, prologue, remoteStatic)
  }

  NoiseState.prototype.send = function (payload) {
    if (file === null) return send.call(this, payload)
    const t = begin(this)
    // The state draws its ephemeral key inside send, and may wipe it there: so it is drawn here, in the same way.
    if (this.e === null && tokens(this).includes('e')) {
      this.e = this.curve.generateKeyPair()
      noteEphemeral(this, t)
    }
    const plain = hex(payload || Buffer.alloc(0))
    const message = attempt(this, t, null, () => send.call(this, payload))
    t.messages.push({ dir: 'send', message: hex(message), payload: plain })
    finish(this, t)
    return message
  }

  NoiseState.prototype.recv = function (buffer) {
    if (file === null) return recv.call(this, buffer)
    const t = begin(this)
    const message = hex(buffer) // before: the state wipes the remote's ephemeral key inside this very buffer
    if (tokens(this).includes('e')) t.re = hex(buffer.subarray(0, this.curve.PKLEN))
    const payload = attempt(this, t, message, () => recv.call(this, buffer))
    t.messages.push({ dir: 'recv', message, payload: hex(payload) })
    finish(this, t)
    return payload
  }
}

function tokens (state) {
  const next = state.handshake[0]
  return Array.isArray(next) ? next.map((symbol) => symbol.description) : []
}

function begin (state) {
  const t = transcript(state)
  if (t.s === null) t.s = keyPair(state.s)
  if (t.e === null && state.e !== null) noteEphemeral(state, t)
  return t
}

function noteEphemeral (state, t) {
  t.e = keyPair(state.e)
  log('noise-ephemeral', {
    pattern: state.pattern, initiator: state.initiator,
    s: t.s.publicKey, sSecret: t.s.secretKey, e: t.e.publicKey, eSecret: t.e.secretKey, rs: hex(state.rs)
  })
}

function attempt (state, t, message, step) {
  try {
    return step()
  } catch (error) {
    log('noise-error', {
      pattern: state.pattern, initiator: state.initiator, s: t.s.publicKey, e: t.e && t.e.publicKey, rs: hex(state.rs), re: t.re,
      message, error: error.message
    })
    throw error
  }
}

function finish (state, t) {
  if (!state.complete) return
  log('noise', {
    pattern: state.pattern, protocol: Buffer.from(state.protocol).toString(), initiator: state.initiator, prologue: t.prologue,
    s: t.s.publicKey, sSecret: t.s.secretKey, e: t.e.publicKey, eSecret: t.e.secretKey, rs: hex(state.rs), re: t.re,
    messages: t.messages, hash: hex(state.hash), tx: hex(state.tx), rx: hex(state.rx)
  })
}

// --- secret-stream

function patchSecretStream (SecretStream) {
  const setup = SecretStream.prototype._setupSecretStream
  SecretStream.prototype._setupSecretStream = function (tx, rx, handshakeHash, publicKey, remotePublicKey) {
    if (file !== null) {
      const raw = this.rawStream
      const udx = raw && raw.udx && typeof raw.id === 'number' ? { localId: raw.id, remoteId: raw.remoteId } : null
      log('secret-stream', {
        initiator: this.isInitiator, publicKey: hex(publicKey), remotePublicKey: hex(remotePublicKey), handshakeHash: hex(handshakeHash),
        txKey: hex(tx.subarray(0, 32)), rxKey: hex(rx.subarray(0, 32)), udx
      })
    }
    return setup.call(this, tx, rx, handshakeHash, publicKey, remotePublicKey)
  }
}

// --- hyperdht's hole-punch payloads, logged when they are first used

function patchSecurePayload (SecurePayload) {
  const seen = new WeakSet()
  for (const name of ['encrypt', 'decrypt', 'token']) {
    const original = SecurePayload.prototype[name]
    SecurePayload.prototype[name] = function (...args) {
      if (file !== null && !seen.has(this)) {
        seen.add(this)
        log('holepunch', { sharedSecret: hex(this._sharedSecret), localSecret: hex(this._localSecret) })
      }
      return original.apply(this, args)
    }
  }
}

// --- dht-rpc's token secrets, logged when they are first used after a change

function patchIO (IO) {
  const last = new WeakMap()
  const token = IO.prototype.token
  IO.prototype.token = function (...args) {
    const out = token.apply(this, args)
    if (file !== null) {
      const secrets = this._secrets.map(hex)
      if (last.get(this) !== secrets.join()) {
        last.set(this, secrets.join())
        const address = this.serverSocket && this.serverSocket.address()
        log('token-secrets', { host: address ? address.host : null, port: address ? address.port : null, secrets })
      }
    }
    return out
  }
}

// --- hooking

const patches = [
  ['noise-handshake/noise.js', patchNoise],
  ['@hyperswarm/secret-stream/index.js', patchSecretStream],
  ['hyperdht/lib/secure-payload.js', patchSecurePayload],
  ['dht-rpc/lib/io.js', patchIO]
].map(([name, patch]) => [path.normalize('/' + name), patch])

const done = new WeakSet()
const loadModule = Module._load

Module._load = function (request, parent, isMain) {
  const exports = loadModule.call(this, request, parent, isMain)
  if (typeof exports === 'function' && !done.has(exports)) {
    let file = ''
    try {
      file = Module._resolveFilename(request, parent, isMain)
    } catch {}
    for (const [suffix, patch] of patches) {
      if (!file.endsWith(suffix)) continue
      done.add(exports)
      patch(exports)
    }
  }
  return exports
}

if (process.env.HYPERSWARM_KEYLOGFILE) open(process.env.HYPERSWARM_KEYLOGFILE)

module.exports = { open, close, SCHEMA }
