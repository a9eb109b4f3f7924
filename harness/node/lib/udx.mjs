// UDX alone (section 6 of ../PEERS.md).
import { anyPort, boolean, bytes, host, integer, optional, port } from './arguments.mjs'
import { ContractError } from './contract.mjs'
import { load } from './packages.mjs'
import { StreamEntry, checkReceive, receiveFields } from './streams.mjs'

const id32 = integer(0, 0xffffffff)

export function udxCommands (contract) {
  const socket = contract.handle('socket')
  const stream = contract.handle('stream')
  let udx = null
  const instance = () => udx || (udx = new (load('udx-native'))())

  contract.command('udx.bind', { host: optional(host, '127.0.0.1'), port: optional(anyPort, 0) }, (a) => {
    const s = instance().createSocket()
    try {
      s.bind(a.port, a.host)
    } catch (error) {
      throw new ContractError('BIND_FAILED', error.message)
    }
    const entry = { socket: s, close: () => s.close() }
    const handle = contract.add('socket', entry, true)
    s.on('message', (data, from) => contract.event('socketMessage', {
      socket: handle, data: Buffer.from(data).toString('hex'), from: { host: from.host, port: from.port }
    }))
    s.on('close', () => contract.remove(handle))
    const { host, port } = s.address()
    return { socket: handle, address: { host, port } }
  })

  contract.command('udx.socketSend', { socket, host, port, data: bytes(), ttl: optional(integer(1, 255)) }, async (a) => {
    return { sent: (await a.socket.socket.send(a.data, a.port, a.host, a.ttl)) !== false }
  })

  contract.command('udx.stream', {
    localId: id32, firstSequence: optional(id32, 0), framed: optional(boolean, false), ...receiveFields
  }, (a) => {
    checkReceive(a)
    const s = instance().createStream(a.localId, { seq: a.firstSequence, framed: a.framed })
    return { stream: new StreamEntry(contract, s, { ...a, held: true }).handle }
  })

  contract.command('udx.connect', { stream, socket, remoteId: id32, host, port, acknowledged: optional(id32, 0) }, (a) => {
    a.stream.stream.connect(a.socket.socket, a.remoteId, a.port, a.host, { ack: a.acknowledged })
  })

  contract.command('udx.changeRemote', { stream, socket, remoteId: id32, host, port }, async (a) => {
    await a.stream.stream.changeRemote(a.socket.socket, a.remoteId, a.port, a.host)
  })

  contract.command('udx.relay', { stream, to: stream }, (a) => { a.stream.stream.relayTo(a.to.stream) })
}
