// Scenarios of the DHT: bootstrapping, single requests, records.
import { load } from '../packages.mjs'
import { hex } from './stage.mjs'

const address = ({ host, port }) => ({ host, port })

export const scenarios = {
  async 'dht-bootstrap' (stage) {
    await stage.start(6)
    const joiner = await stage.node('joiner')
    stage.event('joiner', 'bootstrapped', { closest: joiner.toArray().length })
  },

  async 'dht-rpc-commands' (stage) {
    await stage.start(6)
    const client = await stage.node('client')
    const to = { host: '127.0.0.1', port: stage.nodes[2].address().port }
    const pong = await client.ping(to)
    stage.event('client', 'ping', { port: pong.from.port, id: hex(pong.from.id) })
    await client.ping(to, { size: 512 })
    stage.event('client', 'ping-padded')
    const delayed = await client.delayedPing(to, 200)
    stage.event('client', 'delayed-ping', { rtt: delayed.rtt })
    for await (const reply of client.findNode(stage.bytes('target'))) {
      stage.event('client', 'find-node-reply', { port: reply.from.port, id: hex(reply.from.id), closer: reply.closerNodes.length })
    }
    const unknown = await client.request({ command: 99, target: stage.bytes('unknown'), value: Buffer.from('what') }, to)
    stage.event('client', 'unknown-command', { error: unknown.error })
    const bad = await client.request({ command: 8, target: load('hyperdht').hash(Buffer.from('v')), token: Buffer.alloc(32, 7), value: Buffer.from('v') }, to)
    stage.event('client', 'bad-token', { error: bad.error, token: bad.token !== null })
    stage.describe()
    await stage.nodes[4].destroy()
    for await (const reply of client.findNode(stage.bytes('with a dead node'))) {
      stage.event('client', 'find-node-reply', { port: reply.from.port })
    }
  },

  async 'announce-lookup' (stage) {
    await stage.start(8)
    const announcer = await stage.node('announcer')
    const looker = await stage.node('looker')
    const topic = stage.bytes('topic')
    const keyPair = announcer.defaultKeyPair
    const relays = [1, 2].map((i) => ({ host: '127.0.0.1', port: stage.nodes[i].address().port }))
    const lookup = async (name) => {
      for await (const { from, peers } of looker.lookup(topic)) {
        stage.event('looker', name, {
          from: from.port,
          peers: peers.map((p) => ({ publicKey: hex(p.publicKey), relayAddresses: p.relayAddresses.map(address) }))
        })
      }
    }
    await announcer.announce(topic, keyPair, relays).finished()
    stage.event('announcer', 'announced', { topic: hex(topic), relays })
    await lookup('lookup')
    await announcer.announce(topic, keyPair, relays, { bump: Date.now() }).finished()
    await lookup('lookup-after-bump')
    await announcer.unannounce(topic, keyPair)
    stage.event('announcer', 'unannounced')
    await lookup('lookup-after-unannounce')
  },

  async 'mutable-immutable' (stage) {
    await stage.start(8)
    const writer = await stage.node('writer')
    const reader = await stage.node('reader')
    const keyPair = writer.defaultKeyPair
    for (const [seq, value] of [[1, 'first'], [5, 'fifth'], [5, 'fifth but different'], [3, 'too low']]) {
      const put = await writer.mutablePut(keyPair, Buffer.from(value), { seq })
      stage.event('writer', 'mutable-put', { seq, value, signature: hex(put.signature) })
    }
    const got = await reader.mutableGet(keyPair.publicKey)
    stage.event('reader', 'mutable-get', { seq: got.seq, value: got.value.toString(), signature: hex(got.signature) })
    stage.event('reader', 'mutable-get-seq-6', { result: await reader.mutableGet(keyPair.publicKey, { seq: 6 }) })
    for (const size of [0, 1, 252, 253, 999, 1000]) {
      const value = stage.bytes(`value ${size}`, size)
      try {
        const { hash } = await writer.immutablePut(value)
        stage.event('writer', 'immutable-put', { size, hash: hex(hash) })
        const found = await reader.immutableGet(hash)
        stage.event('reader', 'immutable-get', { size, ok: found !== null && value.equals(found.value) })
      } catch (error) {
        stage.event('writer', 'immutable-error', { size, code: error.code, message: error.message })
      }
    }
    stage.event('reader', 'immutable-miss', { result: await reader.immutableGet(load('hyperdht').hash(stage.bytes('nowhere'))) })
  }
}
