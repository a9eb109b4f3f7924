// The DHT's operations (section 3 of ../PEERS.md).
import { addresses, boolean, bytes, host, integer, optional, port, BadRequest } from './arguments.mjs'
import { load } from './packages.mjs'

const hex = (b) => (b ? Buffer.from(b).toString('hex') : null)
const address = (a) => (a && a.host ? { host: a.host, port: a.port } : null)
const reply = (n) => ({ id: hex(n.id), host: n.host, port: n.port })
const replies = (list) => (list || []).map(reply)
const record = (p) => ({ publicKey: hex(p.publicKey), relayAddresses: p.relayAddresses.map(address) })

export function dhtCommands (contract) {
  const node = contract.handle('node')
  const topic = bytes(32)
  const seed = optional(bytes(32))
  const keyPair = (a) => (a.seed ? load('hyperdht').keyPair(a.seed) : a.node.dht.defaultKeyPair)

  const pong = (r) => ({ from: reply(r.from), rttMilliseconds: Math.round(r.rtt), to: address(r.to) })

  contract.command('ping', { node, host, port, size: optional(integer(0, 65000)) }, async (a) => {
    return pong(await a.node.dht.ping({ host: a.host, port: a.port }, a.size === undefined ? undefined : { size: a.size }))
  })

  contract.command('delayedPing', { node, host, port, delayMilliseconds: integer(0, 0xffffffff) }, async (a) => {
    return pong(await a.node.dht.delayedPing({ host: a.host, port: a.port }, a.delayMilliseconds))
  })

  contract.command('findNode', { node, target: topic }, async (a) => {
    const query = a.node.dht.findNode(a.target)
    const out = []
    for await (const r of query) out.push({ from: reply(r.from), closerNodes: (r.closerNodes || []).length })
    return { replies: out, closestNodes: replies(query.closestNodes) }
  })

  contract.command('announce', {
    node, topic, seed, relayAddresses: optional(addresses, []), bump: optional(integer())
  }, async (a) => {
    const query = a.node.dht.announce(a.topic, keyPair(a), a.relayAddresses, a.bump === undefined ? {} : { bump: a.bump })
    await query.finished()
    return { closestNodes: replies(query.closestNodes) }
  })

  contract.command('unannounce', { node, topic, seed }, async (a) => { await a.node.dht.unannounce(a.topic, keyPair(a)) })

  contract.command('lookup', { node, topic }, async (a) => {
    const query = a.node.dht.lookup(a.topic)
    const results = []
    for await (const r of query) results.push({ from: reply(r.from), peers: r.peers.map(record) })
    return { results, closestNodes: replies(query.closestNodes) }
  })

  contract.command('findPeer', { node, publicKey: bytes(32) }, async (a) => {
    const query = a.node.dht.findPeer(a.publicKey)
    const results = []
    for await (const r of query) results.push({ from: reply(r.from), peer: record(r.peer) })
    return { results, closestNodes: replies(query.closestNodes) }
  })

  contract.command('mutablePut', { node, seed, value: bytes(), seq: optional(integer(), 0) }, async (a) => {
    const r = await a.node.dht.mutablePut(keyPair(a), a.value, { seq: a.seq })
    return { publicKey: hex(r.publicKey), seq: r.seq, signature: hex(r.signature), closestNodes: replies(r.closestNodes) }
  })

  contract.command('mutableGet', {
    node, publicKey: bytes(32), seq: optional(integer(), 0), latest: optional(boolean, true)
  }, async (a) => {
    const r = await a.node.dht.mutableGet(a.publicKey, { seq: a.seq, latest: a.latest })
    return r ? { found: true, seq: r.seq, value: hex(r.value), signature: hex(r.signature), from: reply(r.from) } : { found: false }
  })

  contract.command('immutablePut', { node, value: bytes() }, async (a) => {
    const r = await a.node.dht.immutablePut(a.value)
    return { hash: hex(r.hash), closestNodes: replies(r.closestNodes) }
  })

  contract.command('immutableGet', { node, hash: bytes(32) }, async (a) => {
    const r = await a.node.dht.immutableGet(a.hash)
    return r ? { found: true, value: hex(r.value), from: reply(r.from) } : { found: false }
  })

  const answer = (r) => ({
    from: reply(r.from), errorCode: r.error, token: hex(r.token), value: r.value === null ? null : hex(r.value) || '', closerNodes: replies(r.closerNodes)
  })
  const optionalBytes = (length) => optional(bytes(length), null)

  contract.command('request', {
    node, host, port, number: integer(), internal: optional(boolean, false), target: optionalBytes(32), token: optionalBytes(32),
    value: optionalBytes(null), retry: optional(boolean, true)
  }, async (a) => {
    const { dht } = a.node
    const to = { id: null, host: a.host, port: a.port }
    const request = dht.io.createRequest(to, a.token, a.internal, a.number, a.target, a.value, null)
    const r = await dht._requestToPromise(request, { retry: a.retry })
    return { ...answer(r), rttMilliseconds: Math.round(r.rtt) }
  })

  contract.command('query', {
    node, number: integer(), internal: optional(boolean, false), target: bytes(32), value: optionalBytes(null)
  }, async (a) => {
    if (a.internal) throw new BadRequest('only find-node is an internal query; use findNode')
    const query = a.node.dht.query({ target: a.target, command: a.number, value: a.value })
    const out = []
    for await (const r of query) out.push(answer(r))
    return { replies: out, closestNodes: replies(query.closestNodes) }
  })
}
