// Scenarios of connections by key, secret-stream and Protomux.
import net from 'node:net'
import { load } from '../packages.mjs'
import { hex, once, sleep } from './stage.mjs'

const BIG = 100000

// A server that echoes, a client that says hello and then a lot.
async function echo (stage, { server: serverOptions = {}, listen = {}, connect = {} }) {
  await stage.start(6)
  const host = await stage.node('server', serverOptions)
  const guest = await stage.node('client')
  const server = host.createServer(listen)
  server.on('connection', (stream) => {
    stage.event('server', 'connection', { remote: hex(stream.remotePublicKey) })
    // What arrives is answered message by message; the stream delivers whole messages.
    stream.on('data', (data) => {
      stage.event('server', 'data', { len: data.byteLength })
      stream.write(data)
    })
    stream.on('end', () => stream.end())
    stream.on('error', (error) => stage.event('server', 'error', { code: error.code, message: error.message }))
    stream.on('close', () => stage.event('server', 'closed'))
  })
  await server.listen(host.defaultKeyPair)
  stage.event('server', 'listening', { publicKey: hex(server.publicKey) })
  const stream = guest.connect(server.publicKey, connect)
  stream.write('hello conformance')
  stage.event('client', 'echo', { got: (await once(stream, 'data')).toString() })
  const big = stage.bytes('big', BIG)
  stream.write(big)
  const got = []
  for (let n = 0; n < BIG;) {
    const data = await once(stream, 'data')
    got.push(data)
    n += data.byteLength
  }
  stage.event('client', 'echo-big', { ok: big.equals(Buffer.concat(got)) })
  stream.end()
  await once(stream, 'close')
  await server.close()
}

// A connection that fails: the error is the result.
async function failing (stage, node, publicKey) {
  const stream = node.connect(publicKey)
  const error = await new Promise((resolve) => stream.on('error', resolve))
  stage.event('client', 'error', { code: error.code, message: error.message })
}

export const scenarios = {
  'connect-direct': (stage) => echo(stage, { server: { ephemeral: false, firewalled: false } }),
  'connect-firewalled': (stage) => echo(stage, {}),
  'connect-holepunch': (stage) => echo(stage, { listen: { shareLocalAddress: false }, connect: { localConnection: false } }),

  async 'connect-rejected' (stage) {
    await stage.start(6)
    const host = await stage.node('server')
    const guest = await stage.node('client')
    const server = host.createServer({
      firewall: (remotePublicKey) => {
        stage.event('server', 'firewall', { remotePublicKey: hex(remotePublicKey) })
        return true
      }
    })
    await server.listen(host.defaultKeyPair)
    await failing(stage, guest, server.publicKey)
    await server.close()
  },

  async 'connect-not-found' (stage) {
    await stage.start(6)
    const guest = await stage.node('client')
    const seed = stage.bytes('nobody')
    const { publicKey } = load('hyperdht').keyPair(seed)
    stage.peers.nobody = { seed: hex(seed), publicKey: hex(publicKey) }
    await failing(stage, guest, publicKey)
  },

  async 'connect-relayed' (stage) {
    await stage.start(6)
    const middle = await stage.node('relay', { ephemeral: false, firewalled: false })
    const host = await stage.node('server')
    const guest = await stage.node('client')
    const relay = new (load('blind-relay').Server)({ createStream: (options) => middle.createRawStream({ ...options, framed: true }) })
    const relayServer = middle.createServer({ shareLocalAddress: false }, (stream) => {
      stream.on('error', () => {})
      const session = relay.accept(stream, { id: stream.remotePublicKey })
      session.on('error', () => {})
      session.on('pair', (isInitiator, token, _, remoteId) => stage.event('relay', 'pair', { isInitiator, token: hex(token), remoteId }))
    })
    await relayServer.listen(middle.defaultKeyPair)
    const relayThrough = relayServer.publicKey
    const server = host.createServer({ relayThrough, shareLocalAddress: false }, (stream) => {
      stage.event('server', 'connection', { remote: hex(stream.remotePublicKey) })
      stream.on('data', (data) => stream.write(data))
      stream.on('end', () => stream.end())
      stream.on('error', () => {})
    })
    await server.listen(host.defaultKeyPair)
    const stream = guest.connect(server.publicKey, { relayThrough, localConnection: false, fastOpen: false })
    stream.write('through the relay')
    stage.event('client', 'echo', { back: (await once(stream, 'data')).toString() })
    stream.end()
    await once(stream, 'close')
    await server.close()
    await relayServer.close()
  },

  async 'secret-stream-xx' (stage) {
    const SecretStream = load('@hyperswarm/secret-stream')
    const pair = (name) => {
      const seed = stage.bytes(name)
      const keyPair = SecretStream.keyPair(seed)
      stage.peers[name] = { seed: hex(seed), publicKey: hex(keyPair.publicKey) }
      return keyPair
    }
    const initiator = pair('initiator')
    const responder = pair('responder')
    const server = net.createServer((socket) => {
      const stream = new SecretStream(false, socket, { keyPair: responder })
      stream.on('data', (data) => {
        stage.event('responder', 'data', { len: data.byteLength })
        stream.write(Buffer.concat([Buffer.from('re:'), data]))
      })
      stream.on('end', () => stream.end())
      stream.on('error', () => {})
    })
    await new Promise((resolve) => server.listen(40010, '127.0.0.1', resolve))
    const stream = new SecretStream(true, net.connect(40010, '127.0.0.1'), { keyPair: initiator })
    const big = stage.bytes('big', 70000)
    const total = big.length + 5 + 3 * 3
    let received = 0
    stream.write('hello')
    stream.write('')
    stream.write(big)
    stream.on('data', (data) => {
      received += data.byteLength
      if (received === total) {
        stage.event('initiator', 'data', { len: received })
        stream.end()
      }
    })
    await once(stream, 'close')
    stage.event('initiator', 'done', { bytes: received })
    await new Promise((resolve) => server.close(resolve))
  },

  async 'secret-stream-messages' (stage) {
    await stage.start(5)
    const host = await stage.node('server', { ephemeral: false, firewalled: false })
    const guest = await stage.node('client')
    const server = host.createServer((stream) => {
      stream.on('data', (data) => stream.write(data))
      stream.on('message', (message) => {
        stage.event('server', 'message', { m: message.toString() })
        stream.send(Buffer.concat([Buffer.from('re:'), message]))
      })
      stream.on('end', () => stream.end())
      stream.on('error', () => {})
    })
    await server.listen(host.defaultKeyPair)
    const stream = guest.connect(server.publicKey)
    stream.on('error', () => {})
    await once(stream, 'open')
    stream.write('sync')
    await once(stream, 'data')
    let answers = 0
    const all = new Promise((resolve) => {
      stream.on('message', (message) => {
        stage.event('client', 'message', { m: message.toString() })
        if (++answers === 5) resolve()
      })
    })
    for (let i = 0; i < 5; i++) stream.send(Buffer.from(`msg ${i}`))
    await all
    stream.end()
    await once(stream, 'close')
    await server.close()
  },

  async protomux (stage) {
    await stage.start(5)
    const Protomux = load('protomux')
    const c = load('compact-encoding')
    const host = await stage.node('server', { ephemeral: false, firewalled: false })
    const guest = await stage.node('client')
    const open = (mux, who, id, onmessage) => {
      const channel = mux.createChannel({
        protocol: 'conformance/echo', id: Buffer.from(id), handshake: c.utf8,
        onopen: (h) => stage.event(who, 'open', { id, h }),
        onclose: () => stage.event(who, 'close', { id }),
        messages: [
          { encoding: c.utf8, onmessage: (m) => { stage.event(who, 'm0', { id, m }); if (onmessage) onmessage(channel, m) } },
          { encoding: c.uint, onmessage: (m) => stage.event(who, 'm1', { id, m }) }
        ]
      })
      channel.open(`hello from ${who}`)
      return channel
    }
    const server = host.createServer((stream) => {
      stream.on('error', () => {})
      const mux = new Protomux(stream)
      for (const id of ['one', 'two']) open(mux, 'server', id, (channel, m) => channel.messages[0].send(`re:${m}`))
      stream.on('end', () => stream.end())
    })
    await server.listen(host.defaultKeyPair)
    const stream = guest.connect(server.publicKey)
    stream.on('error', () => {})
    const mux = new Protomux(stream)
    const [one, two] = ['one', 'two'].map((id) => open(mux, 'client', id))
    await Promise.all([one.fullyOpened(), two.fullyOpened()])
    one.messages[0].send('a')
    mux.cork()
    for (let i = 0; i < 5; i++) {
      one.messages[1].send(i * 100)
      two.messages[0].send(`batched ${i}`)
    }
    mux.uncork()
    await sleep(500)
    two.close()
    await sleep(300)
    one.close()
    await sleep(300)
    stream.end()
    await once(stream, 'close')
    await server.close()
  }
}
