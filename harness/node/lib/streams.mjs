// What is common to all byte pipes: connections, UDX streams, stand-alone secret-streams (section 5 of ../PEERS.md).
import { createHash } from 'node:crypto'
import { boolean, bytes, integer, list, nullable, object, oneOf, optional, text, BadRequest } from './arguments.mjs'
import { describeStreamError } from './contract.mjs'
import { openChannel } from './channels.mjs'
import { load } from './packages.mjs'

const hex = (b) => (b ? Buffer.from(b).toString('hex') : null)

export const receiveFields = {
  receive: optional(oneOf('events', 'digest', 'echo', 'protomux'), 'events'),
  channels: optional(list(object({
    protocol: text,
    channelId: optional(nullable(bytes()), null),
    handshake: optional(nullable(bytes()), null),
    messages: optional(integer(0, 256), 1),
    aliases: optional(list(text), [])
  })), [])
}

export function checkReceive (a) {
  if (a.channels.length && a.receive !== 'protomux') throw new BadRequest('channels need "receive": "protomux"')
}

export function describeConnection (stream) {
  const raw = stream.rawStream
  const udx = raw && raw.udx ? { localId: raw.id, remoteId: raw.remoteId } : null
  const remoteAddress = raw && raw.remoteHost && raw.remotePort
    ? { host: raw.remoteHost, port: raw.remotePort }
    : raw && raw.remoteAddress ? { host: raw.remoteAddress, port: raw.remotePort } : null
  return {
    publicKey: hex(stream.publicKey), remotePublicKey: hex(stream.remotePublicKey), handshakeHash: hex(stream.handshakeHash),
    initiator: stream.isInitiator, remoteAddress, udx
  }
}

export class StreamEntry {
  constructor (contract, stream, { receive = 'events', channels = [], held = false, announce = null }) {
    this.contract = contract
    this.stream = stream
    this.receive = receive
    this.received = 0
    this.hash = createHash('sha256')
    this.error = null
    this.closed = false
    this.mux = null
    this.handle = contract.add('stream', this, held)
    if (announce) announce(this.handle)

    stream.on('error', (error) => { this.error = error })
    stream.on('end', () => {
      this.event('end', {})
      if (receive === 'echo') stream.end()
    })
    stream.on('drain', () => this.event('drain', {}))
    stream.on('close', () => {
      if (this.closed) return
      this.closed = true
      this.event('close', { error: describeStreamError(this.error) })
      contract.remove(this.handle)
    })
    if (typeof stream.changeRemote === 'function') {
      stream.on('remote-changed', () => this.event('remoteChanged', {
        remoteAddress: { host: stream.remoteHost, port: stream.remotePort }, remoteId: stream.remoteId
      }))
    }
    stream.on('message', (data) => {
      if (receive === 'echo') stream.trySend(data)
      else this.event('message', { data: hex(data) })
    })

    if (receive === 'protomux') {
      stream.on('data', (data) => this.count(data)) // before the mux, which may write answers
      this.mux = load('protomux').from(stream)
      this.watchRefusals()
      for (const options of channels) openChannel(this.contract, this, options, true)
    } else {
      stream.on('data', (data) => this.ondata(data))
    }
  }

  event (name, fields) {
    this.contract.event(name, { stream: this.handle, ...fields })
  }

  count (data) {
    this.received += data.byteLength
    this.hash.update(data)
  }

  ondata (data) {
    this.count(data)
    if (this.receive === 'events') this.event('data', { data: hex(data) })
    if (this.receive === 'echo' && this.stream.write(data) === false) {
      this.stream.pause()
      this.stream.once('drain', () => this.stream.resume())
    }
  }

  watchRefusals () {
    const reject = this.mux._rejectSession
    this.mux._rejectSession = (info, remoteId) => {
      if (info) this.event('channelRefused', { protocol: info.protocol, channelId: hex(info.id) })
      return reject.call(this.mux, info, remoteId)
    }
  }

  close () {
    if (this.closed) return
    return new Promise((resolve) => {
      this.stream.once('close', resolve)
      this.stream.end()
      const isUDX = typeof this.stream.changeRemote === 'function'
      if (isUDX && !this.stream.connected) this.stream.destroy()
    })
  }
}

export function pattern (length) {
  const out = Buffer.allocUnsafe(length)
  for (let k = 0; k < length; k++) out[k] = k + (k >>> 8) + (k >>> 16)
  return out
}

export function streamCommands (contract) {
  const stream = contract.handle('stream')

  contract.command('write', { stream, data: optional(bytes()), generate: optional(integer(0, 1 << 28)) }, (a) => {
    if ((a.data === undefined) === (a.generate === undefined)) throw new BadRequest('write takes either data or generate')
    return { drained: a.stream.stream.write(a.data === undefined ? pattern(a.generate) : a.data) !== false }
  })

  contract.command('send', { stream, data: bytes() }, async (a) => {
    const sent = await a.stream.stream.send(a.data)
    return { sent: sent !== false }
  })

  contract.command('end', { stream }, (a) => { a.stream.stream.end() })

  contract.command('destroy', { stream }, (a) => { a.stream.stream.destroy() })

  contract.command('digest', { stream }, (a) => ({ bytes: a.stream.received, sha256: a.stream.hash.copy().digest('hex') }))

  contract.command('pause', { stream }, (a) => { a.stream.stream.pause() })
  contract.command('unpause', { stream }, (a) => { a.stream.stream.resume() })
}

export function streamStats (stream) {
  const raw = stream.rawStream || stream
  const of = (key) => (typeof raw[key] === 'number' ? raw[key] : null)
  return {
    bytesReceived: of('bytesReceived'), bytesTransmitted: of('bytesTransmitted'), packetsReceived: of('packetsReceived'),
    packetsTransmitted: of('packetsTransmitted'), rttMilliseconds: of('rtt'), retransmits: of('retransmits'), mtu: of('mtu'),
    congestionWindow: of('cwnd'), inflight: of('inflight'), other: {}
  }
}
