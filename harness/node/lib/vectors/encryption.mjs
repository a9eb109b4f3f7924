// Noise and secret-stream.
import { EventEmitter } from 'node:events'
import { load } from '../packages.mjs'
import { hex, keyPairOf, unhex, withRandomness, withSecretStreamHeader } from './common.mjs'

function state (pattern, initiator, keys, prologue, remoteStatic) {
  const NoiseState = load('noise-handshake')
  const s = new NoiseState(pattern, initiator, keyPairOf(unhex(keys.staticSecret)), { curve: load('noise-curve-ed') })
  s.initialise(unhex(prologue), remoteStatic)
  s.e = keyPairOf(unhex(keys.ephemeralSecret)) // a copy: the state wipes it
  s.e = { publicKey: Buffer.from(s.e.publicKey), secretKey: Buffer.from(s.e.secretKey) }
  return s
}

const withPublicKeys = (keys) => ({
  staticSecret: keys.staticSecret, staticPublic: keys.staticSecret.slice(64), ephemeralSecret: keys.ephemeralSecret, ephemeralPublic: keys.ephemeralSecret.slice(64)
})

const initiatorKnowsResponder = new Set(['IK'])

export const noise = {
  suite: 'noise',
  inputs: ['id', 'pattern', 'prologue', 'initiator', 'responder', 'messages'],
  sources: ['noise-handshake', 'noise-curve-ed'],
  compute: ({ pattern, prologue, initiator, responder, messages }) => {
    const remote = initiatorKnowsResponder.has(pattern) ? unhex(responder.staticSecret).subarray(32) : null
    const a = state(pattern, true, initiator, prologue, remote)
    const b = state(pattern, false, responder, prologue, null)
    const made = messages.map(({ from, payload }) => {
      const [sender, receiver] = from === 'initiator' ? [a, b] : [b, a]
      const message = sender.send(unhex(payload))
      const out = { from, payload, message: hex(message) }
      const got = receiver.recv(Buffer.from(message)) // a copy: the receiver wipes the key inside
      if (hex(got) !== payload) throw new Error('the payload did not come through')
      return out
    })
    if (hex(a.hash) !== hex(b.hash) || hex(a.tx) !== hex(b.rx)) throw new Error('the two sides disagree')
    return {
      protocol: Buffer.from(a.protocol).toString(), initiator: withPublicKeys(initiator), responder: withPublicKeys(responder), messages: made,
      handshakeHash: hex(a.hash), initiatorTx: hex(a.tx), initiatorRx: hex(a.rx)
    }
  }
}

export const noiseInvalid = {
  suite: 'noise-invalid',
  inputs: ['comment', 'handshake', 'at', 'message'],
  sources: ['noise-handshake', 'noise-curve-ed'],
  needs: ['noise'],
  compute: ({ handshake, message }, others) => {
    const { pattern, prologue, responder } = others.noise.find((c) => c.id === handshake)
    try {
      state(pattern, false, responder, prologue, null).recv(unhex(message))
      return { refused: false, error: null }
    } catch (error) {
      return { refused: true, error: error.message }
    }
  }
}

class Sink extends EventEmitter {
  constructor () {
    super()
    this.written = []
    this.sent = []
  }

  write (data) {
    this.written.push(Buffer.from(data))
    return true
  }

  trySend (data) {
    this.sent.push(Buffer.from(data))
  }

  end () {}
  destroy () {}
  pause () {}
  resume () {}
}

function secretStream (initiator, hash, tx) {
  const SecretStream = load('@hyperswarm/secret-stream')
  const raw = new Sink()
  const key = Buffer.alloc(32)
  const stream = new SecretStream(initiator, raw, { handshake: { tx, rx: Buffer.alloc(32), hash, publicKey: key, remotePublicKey: key } })
  stream.on('error', () => {})
  return { stream, raw }
}

export const secretStreams = {
  suite: 'secret-stream',
  inputs: ['handshakeHash', 'initiatorTxKey', 'header', 'frames'],
  sources: ['@hyperswarm/secret-stream', 'sodium-secretstream'],
  compute: async ({ handshakeHash, initiatorTxKey, header, frames }) => {
    const SecretStream = load('@hyperswarm/secret-stream')
    const hash = unhex(handshakeHash)
    const { stream, raw } = withSecretStreamHeader(unhex(header), () => secretStream(true, hash, unhex(initiatorTxKey)))
    await stream.opened
    for (const { plaintext } of frames) {
      await new Promise((resolve) => {
        if (stream.write(unhex(plaintext))) resolve()
        else stream.once('drain', resolve)
      })
    }
    while (raw.written.length < 1 + frames.length) await new Promise(setImmediate)
    return {
      initiatorStreamId: hex(SecretStream.id(hash, true)), responderStreamId: hex(SecretStream.id(hash, false)),
      initiatorHeaderFrame: hex(raw.written[0]), frames: frames.map(({ plaintext }, i) => ({ plaintext, frame: hex(raw.written[i + 1]) }))
    }
  }
}

export const secretStreamMessages = {
  suite: 'secret-stream-messages',
  inputs: ['handshakeHash', 'sender', 'counter', 'plaintext'],
  sources: ['@hyperswarm/secret-stream'],
  compute: async ({ handshakeHash, sender, counter, plaintext }) => {
    // The first message carries the drawn counter plus one.
    const drawn = unhex(counter)
    for (let i = 0; i < 8; i++) if (drawn[i]-- !== 0) break
    const { stream, raw } = withRandomness(drawn, () => secretStream(sender === 'initiator', unhex(handshakeHash), Buffer.alloc(32, 1)))
    stream.trySend(unhex(plaintext))
    return { key: hex(stream._sendState.subarray(0, 32)), message: hex(raw.sent[0]) }
  }
}
