// Stand-alone secret-streams over TCP (section 7 of ../PEERS.md).
import net from 'node:net'
import { anyPort, bytes, host, integer, oneOf, optional, port, BadRequest } from './arguments.mjs'
import { ContractError } from './contract.mjs'
import { load } from './packages.mjs'
import { StreamEntry, checkReceive, describeConnection, receiveFields } from './streams.mjs'

const common = {
  seed: optional(bytes(32)), pattern: optional(oneOf('XX', 'IK'), 'XX'), keepAliveMilliseconds: optional(integer(), 0), ...receiveFields
}

export function secretStreamCommands (contract) {
  const library = () => load('@hyperswarm/secret-stream')

  contract.command('secretStream.listen', { host: optional(host, '127.0.0.1'), port: optional(anyPort, 0), ...common }, async (a) => {
    checkReceive(a)
    const SecretStream = library()
    const keyPair = SecretStream.keyPair(a.seed)
    const entry = {}
    const handle = contract.add('server', entry, true)
    // Either side may end first and the other go on: TCP must not end both.
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      const stream = new SecretStream(false, socket, { keyPair, pattern: a.pattern, keepAlive: a.keepAliveMilliseconds })
      stream.on('error', () => {})
      stream.opened.then((opened) => {
        if (!opened) return
        // eslint-disable-next-line no-new
        new StreamEntry(contract, stream, {
          ...a, announce: (id) => contract.event('connection', { server: handle, stream: id, ...describeConnection(stream) })
        })
      })
    })
    entry.close = () => new Promise((resolve) => {
      contract.remove(handle)
      server.close(() => resolve())
      resolve()
    })
    await new Promise((resolve, reject) => {
      server.once('error', (error) => reject(new ContractError('BIND_FAILED', error.message)))
      server.listen(a.port, a.host, resolve)
    })
    return { server: handle, publicKey: keyPair.publicKey.toString('hex'), address: { host: a.host, port: server.address().port } }
  })

  contract.command('secretStream.connect', { host, port, remotePublicKey: optional(bytes(32)), ...common }, (a) => {
    checkReceive(a)
    if (a.pattern === 'IK' && !a.remotePublicKey) throw new BadRequest('IK needs remotePublicKey')
    const SecretStream = library()
    const socket = net.connect({ port: a.port, host: a.host, allowHalfOpen: true })
    const stream = new SecretStream(true, socket, {
      keyPair: SecretStream.keyPair(a.seed), remotePublicKey: a.remotePublicKey, pattern: a.pattern, keepAlive: a.keepAliveMilliseconds
    })
    const entry = new StreamEntry(contract, stream, { ...a, held: true })
    stream.opened.then((opened) => { if (opened) entry.event('open', describeConnection(stream)) })
    return { stream: entry.handle }
  })
}
