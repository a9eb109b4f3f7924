// Nodes and swarms: section 3 of ../PEERS.md, without the DHT's own operations (dht.mjs).
import { isIPv4 } from 'node:net'
import { addresses, anyPort, boolean, bytes, firewall, host, integer, list, nullable, oneOf, optional, BadRequest } from './arguments.mjs'
import { load } from './packages.mjs'
import { StreamEntry, checkReceive, describeConnection, receiveFields, streamStats } from './streams.mjs'

const hex = (b) => (b ? Buffer.from(b).toString('hex') : null)

class NodeEntry {
  constructor (contract, dht, swarm) {
    this.contract = contract
    this.dht = dht
    this.swarm = swarm
    this.handle = contract.add('node', this, true)
    this.relays = []
  }

  async close () {
    this.contract.remove(this.handle)
    for (const relay of this.relays) await relay.close()
    await (this.swarm || this.dht).destroy()
  }

  info () {
    const { dht } = this
    const bound = dht.io.serverSocket
    const at = (socket) => {
      const { host, port } = socket.address()
      return { host, port }
    }
    return {
      publicKey: hex(dht.defaultKeyPair.publicKey),
      address: bound ? at(bound) : null,
      clientPort: dht.io.clientSocket ? dht.io.clientSocket.address().port : null,
      remoteAddress: dht.host && dht.port ? { host: dht.host, port: dht.port } : null, // port 0: it differs from peer to peer
      nodeId: dht.ephemeral ? null : hex(dht.id),
      ephemeral: dht.ephemeral,
      firewalled: dht.firewalled,
      bootstrapped: dht.bootstrapped
    }
  }

  stats () {
    const { dht, swarm } = this
    const out = {
      ...this.info(), tableSize: dht.nodes.length, connections: swarm ? swarm.connections.size : dht.rawStreams.size,
      punches: { ...dht.stats.punches }, relaying: { ...dht.stats.relaying }
    }
    if (swarm) Object.assign(out, { connecting: swarm.connecting, peers: swarm.peers.size })
    out.other = { randomized: dht.randomized, requests: dht.stats.requests, queries: dht.stats.queries, swarm: swarm ? swarm.stats : null }
    return out
  }
}

// hyperdht takes port 0 for "49737 and the four after it"; a range that starts and ends with 0 is really any port.
const portOption = (port) => (port === 0 ? [0, 0] : port)

function bootstrapper (HyperDHT, { bootstrap, port, host, ...options }) {
  if (bootstrap.length || !port || port.length || !isIPv4(host)) throw new BadRequest('a bootstrapper needs "bootstrap": [], an IPv4 host and a port')
  return HyperDHT.bootstrapper(port, host, { ...options, host, ephemeral: false, firewalled: false })
}

export function nodeCommands (contract) {
  const node = contract.handle('node')
  const any = contract.handle('node', 'stream')

  contract.command('start', {
    bootstrap: addresses, kind: optional(oneOf('dht', 'swarm'), 'dht'), host: optional(host, '127.0.0.1'), port: optional(anyPort), bootstrapper: optional(boolean, false),
    ephemeral: optional(nullable(boolean), null), firewalled: optional(boolean), quickFirewall: optional(boolean), seed: optional(bytes(32)),
    nodes: optional(addresses, []), connectionKeepAlive: optional(integer()), randomPunchInterval: optional(integer()), wait: optional(boolean, true),
    maxPeers: optional(integer()), maxParallel: optional(integer()), maxClientConnections: optional(integer()),
    maxServerConnections: optional(integer()), firewall: optional(firewall), relayThrough: optional(bytes(32)),
    backoffs: optional(list(integer(), 4)), jitter: optional(integer()), ...receiveFields
  }, async (a) => {
    checkReceive(a)
    const HyperDHT = load('hyperdht')
    const keyPair = HyperDHT.keyPair(a.seed)
    const options = {
      bootstrap: a.bootstrap, nodes: a.nodes, host: a.host, port: portOption(a.port), keyPair, firewalled: a.firewalled,
      quickFirewall: a.quickFirewall, randomPunchInterval: a.randomPunchInterval,
      connectionKeepAlive: a.connectionKeepAlive === 0 ? false : a.connectionKeepAlive
    }
    if (a.ephemeral !== null) options.ephemeral = a.ephemeral
    for (const key of Object.keys(options)) if (options[key] === undefined) delete options[key]
    const dht = a.bootstrapper ? bootstrapper(HyperDHT, options) : new HyperDHT(options)
    let swarm = null
    if (a.kind === 'swarm') {
      const Hyperswarm = load('hyperswarm')
      const swarmOptions = { dht, keyPair }
      for (const key of ['maxPeers', 'maxParallel', 'maxClientConnections', 'maxServerConnections', 'relayThrough', 'backoffs', 'jitter']) {
        if (a[key] !== undefined) swarmOptions[key] = a[key]
      }
      if (a.firewall) swarmOptions.firewall = (key) => judge(key)
      swarm = new Hyperswarm(swarmOptions)
    }
    const entry = new NodeEntry(contract, dht, swarm)
    const event = (name, fields) => contract.event(name, { node: entry.handle, ...fields })
    const judge = (key) => {
      const refused = a.firewall(key)
      event('firewall', { remotePublicKey: hex(key), refused })
      return refused
    }
    dht.on('persistent', () => event('persistent', { nodeId: hex(dht.id) }))
    dht.on('ephemeral', () => event('ephemeral', { nodeId: null }))
    dht.on('network-change', () => event('networkChange', {}))
    if (swarm) {
      swarm.on('ban', (peer) => event('ban', { publicKey: hex(peer.publicKey) }))
      swarm.on('connection', (stream, peer) => {
        // eslint-disable-next-line no-new
        new StreamEntry(contract, stream, {
          ...a,
          announce: (id) => event('connection', {
            stream: id, ...describeConnection(stream), client: peer.client, topics: peer.topics.map(hex)
          })
        })
      })
    }
    if (a.wait) await dht.fullyBootstrapped()
    else await dht.io.bind()
    return { node: entry.handle, ...entry.info() }
  })

  contract.command('info', { node }, (a) => a.node.info())

  contract.command('stats', { node: optional(any), stream: optional(any) }, (a) => {
    if ((a.node === undefined) === (a.stream === undefined)) throw new BadRequest('stats takes either node or stream')
    return a.node ? a.node.stats() : streamStats(a.stream.stream)
  })

  contract.command('suspend', { node }, async (a) => { await (a.node.swarm || a.node.dht).suspend() })
  contract.command('resume', { node }, async (a) => { await (a.node.swarm || a.node.dht).resume() })

  contract.command('flush', { node: optional(any), stream: optional(any), topic: optional(bytes(32)) }, async (a) => {
    if ((a.node === undefined) === (a.stream === undefined)) throw new BadRequest('flush takes either node or stream')
    if (a.stream) {
      if (a.topic) throw new BadRequest('topic is no argument for a stream')
      return { flushed: (await a.stream.stream.flush()) !== false }
    }
    const swarm = needSwarm(a.node)
    if (!a.topic) return { flushed: (await swarm.flush()) !== false }
    const discovery = swarm.status(a.topic)
    if (!discovery) throw new BadRequest('the swarm has not joined this topic')
    return { flushed: (await discovery.flushed()) !== false }
  })

  // --- servers and connections

  contract.command('listen', {
    node, seed: optional(bytes(32)), firewall: optional(firewall), holepunch: optional(boolean, true), shareLocalAddress: optional(boolean, true),
    relayThrough: optional(bytes(32)), ...receiveFields
  }, async (a) => {
    checkReceive(a)
    const { dht } = a.node
    const entry = {}
    const handle = contract.add('server', entry, true)
    const options = { shareLocalAddress: a.shareLocalAddress }
    if (!a.holepunch) options.holepunch = false
    if (a.relayThrough) options.relayThrough = a.relayThrough
    if (a.firewall) {
      options.firewall = (key) => {
        const refused = a.firewall(key)
        contract.event('firewall', { server: handle, remotePublicKey: hex(key), refused })
        return refused
      }
    }
    const server = dht.createServer(options, (stream) => {
      // eslint-disable-next-line no-new
      new StreamEntry(contract, stream, {
        ...a, announce: (id) => contract.event('connection', { server: handle, stream: id, ...describeConnection(stream) })
      })
    })
    entry.close = async () => {
      contract.remove(handle)
      await server.close()
    }
    await server.listen(a.seed ? load('hyperdht').keyPair(a.seed) : dht.defaultKeyPair)
    const { host, port } = server.address()
    return {
      server: handle, publicKey: hex(server.publicKey), address: { host: host || dht.io.serverSocket.address().host, port: port || dht.io.serverSocket.address().port },
      relayAddresses: server.relayAddresses.map(({ host, port }) => ({ host, port }))
    }
  })

  contract.command('connect', {
    node, publicKey: bytes(32), seed: optional(bytes(32)), relayAddresses: optional(addresses), localConnection: optional(boolean, true),
    fastOpen: optional(boolean, true), holepunch: optional(boolean, true), relayThrough: optional(bytes(32)), ...receiveFields
  }, (a) => {
    checkReceive(a)
    const options = { localConnection: a.localConnection, fastOpen: a.fastOpen }
    if (a.seed) options.keyPair = load('hyperdht').keyPair(a.seed)
    if (a.relayAddresses) options.relayAddresses = a.relayAddresses
    if (a.relayThrough) options.relayThrough = a.relayThrough
    if (!a.holepunch) options.holepunch = () => false
    const stream = a.node.dht.connect(a.publicKey, options)
    const entry = new StreamEntry(contract, stream, { ...a, held: true })
    stream.on('open', () => entry.event('open', describeConnection(stream)))
    return { stream: entry.handle }
  })

  contract.command('relay', { node, seed: optional(bytes(32)), accept: optional(firewall) }, async (a) => {
    const { dht } = a.node
    const relay = new (load('blind-relay').Server)({ createStream: (options) => dht.createRawStream({ ...options, framed: true }) })
    const entry = {}
    const handle = contract.add('server', entry, true)
    const options = { shareLocalAddress: false }
    if (a.accept) options.firewall = a.accept
    const server = dht.createServer(options, (stream) => {
      stream.on('error', () => {})
      const session = relay.accept(stream, { id: stream.remotePublicKey })
      session.on('error', () => {})
    })
    entry.close = async () => {
      contract.remove(handle)
      await relay.close()
      await server.close()
    }
    a.node.relays.push(entry)
    await server.listen(a.seed ? load('hyperdht').keyPair(a.seed) : dht.defaultKeyPair)
    return { server: handle, publicKey: hex(server.publicKey) }
  })

  // --- swarms

  const topic = bytes(32)
  const publicKey = bytes(32)

  contract.command('join', {
    node, topic, server: optional(boolean, true), client: optional(boolean, true), limit: optional(integer())
  }, async (a) => {
    const swarm = needSwarm(a.node)
    const options = { server: a.server, client: a.client }
    if (a.limit !== undefined) options.limit = a.limit
    const sessions = a.node.sessions || (a.node.sessions = new Map())
    const key = hex(a.topic)
    const old = sessions.get(key)
    if (old && swarm.status(a.topic) && !swarm.status(a.topic).destroyed) await old.refresh(options)
    else sessions.set(key, swarm.join(a.topic, options))
  })

  contract.command('leave', { node, topic }, async (a) => { await needSwarm(a.node).leave(a.topic) })
  contract.command('joinPeer', { node, publicKey }, (a) => { needSwarm(a.node).joinPeer(a.publicKey) })
  contract.command('leavePeer', { node, publicKey }, (a) => { needSwarm(a.node).leavePeer(a.publicKey) })

  contract.command('ban', { node, publicKey, banned: optional(boolean, true) }, (a) => {
    const peer = needSwarm(a.node).peers.get(hex(a.publicKey))
    if (!peer) throw new BadRequest('the swarm does not know this peer')
    peer.ban(a.banned)
  })

  contract.command('peers', { node }, (a) => {
    const swarm = needSwarm(a.node)
    const open = new Set([...swarm.connections].map((c) => hex(c.remotePublicKey)))
    return {
      peers: [...swarm.peers.values()].map((p) => ({
        publicKey: hex(p.publicKey), topics: p.topics.map(hex), connected: open.has(hex(p.publicKey)), banned: p.banned,
        attempts: p.attempts, priority: p.priority
      }))
    }
  })
}

function needSwarm (entry) {
  if (!entry.swarm) throw new BadRequest('this node was not started as a swarm')
  return entry.swarm
}
