// Protomux channels (section 7 of ../PEERS.md). Handshakes and messages are raw bytes: the driver owns their encodings.
import { boolean, bytes, integer, list, nullable, optional, text, BadRequest } from './arguments.mjs'
import { ContractError } from './contract.mjs'
import { load } from './packages.mjs'

const hex = (b) => (b ? Buffer.from(b).toString('hex') : null)

export function openChannel (contract, entry, options, announce) {
  const { raw } = load('compact-encoding')
  let handle = null
  const event = (name, fields) => contract.event(name, { channel: handle, ...fields })
  const messages = Array.from({ length: options.messages }, (_, type) => ({
    encoding: raw, onmessage: (data) => event('channelMessage', { type, data: hex(data) || '' })
  }))
  const channel = entry.mux.createChannel({
    protocol: options.protocol, aliases: options.aliases, id: options.channelId, unique: options.unique !== false,
    handshake: options.handshake === null ? null : raw,
    messages,
    onopen: (handshake) => event('channelOpen', { handshake: hex(handshake) }),
    onclose: (remote) => {
      event('channelClose', { remote: !!remote })
      contract.remove(handle)
    }
  })
  if (channel === null) throw new ContractError('CLOSED', 'such a channel exists already, or the stream is closed')
  handle = contract.add('channel', { channel, entry }, !announce)
  if (announce) contract.event('channel', { stream: entry.handle, channel: handle, protocol: options.protocol, channelId: hex(options.channelId) })
  channel.open(options.handshake === null ? undefined : options.handshake)
  return handle
}

export function channelCommands (contract) {
  const stream = contract.handle('stream')
  const channel = contract.handle('channel')
  const mux = (entry) => {
    if (entry.mux === null) throw new BadRequest('the stream was not made with "receive": "protomux"')
    return entry.mux
  }

  contract.command('channel.open', {
    stream, protocol: text, channelId: optional(nullable(bytes()), null), handshake: optional(nullable(bytes()), null),
    messages: optional(integer(0, 256), 1), aliases: optional(list(text), []), unique: optional(boolean, true)
  }, (a) => {
    mux(a.stream)
    return { channel: openChannel(contract, a.stream, a, false) }
  })

  contract.command('channel.send', { channel, type: optional(integer(0, 255), 0), data: bytes() }, (a) => {
    const message = a.channel.channel.messages[a.type]
    if (!message) throw new BadRequest('the channel has no such message type')
    return { drained: message.send(a.data) !== false }
  })

  contract.command('channel.cork', { stream }, (a) => { mux(a.stream).cork() })
  contract.command('channel.uncork', { stream }, (a) => { mux(a.stream).uncork() })
  contract.command('channel.close', { channel }, (a) => { a.channel.channel.close() })
}
