// What every scenario needs: seeds, a network, peers that end up in the manifest, events, and an orderly end.
import { createHash, randomBytes } from 'node:crypto'
import { load } from '../packages.mjs'
import { microseconds } from '../contract.mjs'

export const hex = (b) => (b ? Buffer.from(b).toString('hex') : null)
export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
export const sha256 = (b) => createHash('sha256').update(b).digest('hex')
export const once = (emitter, event) => new Promise((resolve, reject) => {
  emitter.once(event, resolve)
  emitter.once('error', reject)
})

export class Stage {
  // `seed`: a text from which all key seeds, topics and payloads are derived; without it they are random.
  constructor (scenario, seed, writeEvent) {
    this.scenario = scenario
    this.seed = seed
    this.writeEvent = writeEvent
    this.peers = {}
    this.describers = []
    this.nodes = [] // of the network, in order of their start
    this.closers = [] // run last to first
    this.network = []
  }

  bytes (name, length = 32) {
    if (this.seed === null) return randomBytes(length)
    let out = Buffer.alloc(0)
    for (let i = 0; out.length < length; i++) {
      out = Buffer.concat([out, createHash('sha512').update(`${this.seed}/${this.scenario}/${name}/${i}`).digest()])
    }
    return out.subarray(0, length)
  }

  event (who, event, fields = {}) {
    this.writeEvent({ t: microseconds(), who, event, ...fields })
  }

  // A network of `size` public nodes on 127.0.0.1, started one after the other.
  async start (size) {
    const HyperDHT = load('hyperdht')
    for (let i = 0; i < size; i++) {
      const node = new HyperDHT({ bootstrap: this.network, host: '127.0.0.1', ephemeral: false, firewalled: false })
      await node.fullyBootstrapped()
      if (i === 0) this.network = [{ host: '127.0.0.1', port: node.address().port }]
      this.nodes.push(node)
      this.note(`dht${i}`, node, {})
      this.closers.push(() => node.destroy())
    }
  }

  // A node of its own, with a key pair from a seed.
  async node (name, options = {}) {
    const HyperDHT = load('hyperdht')
    const seed = this.bytes(name)
    const keyPair = HyperDHT.keyPair(seed)
    const node = new HyperDHT({ bootstrap: this.network, host: '127.0.0.1', keyPair, ...options })
    await node.fullyBootstrapped()
    this.note(name, node, { seed: hex(seed), publicKey: hex(keyPair.publicKey) })
    this.closers.push(() => node.destroy())
    return node
  }

  swarm (name, options = {}) {
    const HyperDHT = load('hyperdht')
    const Hyperswarm = load('hyperswarm')
    const seed = this.bytes(name)
    const keyPair = HyperDHT.keyPair(seed)
    const dht = new HyperDHT({ bootstrap: this.network, host: '127.0.0.1', keyPair })
    const swarm = new Hyperswarm({ dht, keyPair, ...options })
    this.note(name, dht, { seed: hex(seed), publicKey: hex(keyPair.publicKey) })
    return swarm
  }

  note (name, dht, keys) {
    this.peers[name] = keys
    this.describers.push(() => {
      const { serverSocket, clientSocket } = dht.io
      if (dht.destroyed || !serverSocket) return
      Object.assign(this.peers[name], {
        host: '127.0.0.1', serverPort: serverSocket.address().port, clientPort: clientSocket.address().port, firewalled: dht.firewalled,
        ephemeral: dht.ephemeral, nodeId: hex(dht.table.id)
      })
    })
  }

  // Before a node goes: what it is.
  describe () {
    for (const describe of this.describers) {
      try {
        describe()
      } catch {} // a closed socket has no address any more
    }
  }

  async end () {
    this.describe()
    for (const close of this.closers.reverse()) await close()
  }
}
