// Messages, signatures and boxes of dht-rpc and HyperDHT.
import { load } from '../packages.mjs'
import { hex, keyPairOf, plain, unhex, withRandomness } from './common.mjs'

export const dhtRPCMessages = {
  suite: 'dht-rpc-messages',
  inputs: ['kind', 'tid', 'to', 'nodeId', 'token', 'internal', 'command', 'target', 'value', 'closerNodes', 'error'],
  sources: ['dht-rpc'],
  compute: (m) => {
    const IO = load('dht-rpc/lib/io')
    const sent = []
    const socket = { trySend: (buffer) => sent.push(buffer) }
    const io = Object.assign(Object.create(IO.prototype), {
      ephemeral: m.nodeId === null, serverSocket: socket, clientSocket: socket, firewalled: false, inflight: [], _tid: m.tid, _destroying: null,
      table: { id: unhex(m.nodeId), closest: () => m.closerNodes }, token: () => unhex(m.token),
      stats: { commands: [], requests: { active: 0, total: 0 } }
    })
    const to = { id: null, ...m.to }
    const request = io.createRequest(to, unhex(m.token), !!m.internal, m.command || 0, m.kind === 'request' ? unhex(m.target) : Buffer.alloc(32), unhex(m.value), null)
    if (m.kind === 'request') return { encoded: hex(request._encodeRequest(unhex(m.token), unhex(m.value), to, socket)) }
    request._sendReply(m.error, unhex(m.value), m.token !== null, m.closerNodes.length > 0, to, socket)
    return { encoded: hex(sent[0]) }
  }
}

const hexFields = new Set(['noise', 'payload', 'publicKey', 'token', 'remoteToken', 'refresh', 'signature', 'value'])

// Digits back to bytes, in the fields that hold bytes.
function binary (value, key = null) {
  if (Array.isArray(value)) return value.map((v) => binary(v))
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, binary(v, k)]))
  return typeof value === 'string' && hexFields.has(key) ? unhex(value) : value
}

export const hyperdhtMessages = {
  suite: 'hyperdht-messages',
  inputs: ['type', 'value'],
  sources: ['hyperdht', 'compact-encoding'],
  compute: ({ type, value }) => {
    const c = load('compact-encoding')
    const codec = load('hyperdht/lib/messages')[type]
    const message = binary(value)
    // A node keeps the records of a lookup encoded, and answers with them as they are.
    if (type === 'lookupRawReply') message.peers = message.peers.map((record) => encodeWith(load('hyperdht/lib/messages').peer, record))
    const encoded = encodeWith(codec, message)
    return { encoded: hex(encoded), decoded: plain(c.decode(codec, Buffer.from(encoded))) }
  }
}

function encodeWith (codec, value) {
  const state = { start: 0, end: 0, buffer: null }
  codec.preencode(state, value)
  state.buffer = Buffer.alloc(state.end)
  codec.encode(state, value)
  return state.buffer
}

export const hyperdhtSignatures = {
  suite: 'hyperdht-signatures',
  inputs: ['kind', 'secretKey', 'target', 'token', 'nodeId', 'peer', 'refresh', 'seq', 'value'],
  sources: ['hyperdht'],
  compute: async ({ kind, secretKey, target, token, nodeId, peer, refresh, seq, value }) => {
    const Persistent = load('hyperdht/lib/persistent')
    const pair = keyPairOf(unhex(secretKey))
    if (kind === 'mutable') {
      return { publicKey: hex(pair.publicKey), signature: hex(await Persistent.signMutable(seq, unhex(value), pair)) }
    }
    const sign = kind === 'announce' ? Persistent.signAnnounce : Persistent.signUnannounce
    return { signature: hex(await sign(unhex(target), unhex(token), unhex(nodeId), { peer: binary(peer), refresh: unhex(refresh) }, pair)) }
  }
}

export const holepunchPayload = {
  suite: 'holepunch-payload',
  inputs: ['sharedSecret', 'payload', 'nonce', 'handshakeHash'],
  sources: ['hyperdht'],
  compute: ({ sharedSecret, payload, nonce, handshakeHash }) => {
    if (handshakeHash) return { sharedSecret: hex(holepunchSecret(unhex(handshakeHash))) }
    const SecurePayload = load('hyperdht/lib/secure-payload')
    const box = new SecurePayload(unhex(sharedSecret))
    const encrypted = withRandomness(unhex(nonce), () => box.encrypt(binary(payload)))
    return { plaintext: hex(encodeWith(load('hyperdht/lib/messages').holepunchPayload, binary(payload))), encrypted: hex(encrypted) }
  }
}

function holepunchSecret (hash) {
  const NoiseWrap = load('hyperdht/lib/noise-wrap')
  const key = Buffer.alloc(32)
  const handshake = { complete: true, hash, rx: key, tx: key }
  return NoiseWrap.prototype.final.call({ handshake, isInitiator: true, keyPair: { publicKey: key }, remotePublicKey: key }).holepunchSecret
}
