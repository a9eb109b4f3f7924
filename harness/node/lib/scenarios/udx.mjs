// Scenarios of plain UDX streams: 1001 on port 40001, 2002 on port 40002.
import { spawnSync } from 'node:child_process'
import { load } from '../packages.mjs'
import { hex, once, sha256, sleep } from './stage.mjs'

function streams (stage) {
  const udx = new (load('udx-native'))()
  const make = (name, port, id) => {
    const socket = udx.createSocket()
    socket.bind(port, '127.0.0.1')
    const stream = udx.createStream(id)
    stream.on('error', () => {})
    stage.peers[name] = { host: '127.0.0.1', port, streamId: id }
    stage.closers.push(() => socket.close())
    return { socket, stream }
  }
  const a = make('a', 40001, 1001)
  const b = make('b', 40002, 2002)
  a.stream.connect(a.socket, 2002, 40002, '127.0.0.1')
  b.stream.connect(b.socket, 1001, 40001, '127.0.0.1')
  return { a: a.stream, b: b.stream }
}

const received = (stream) => new Promise((resolve) => {
  const parts = []
  stream.on('data', (data) => parts.push(Buffer.from(data)))
  stream.on('end', () => resolve(Buffer.concat(parts)))
})

async function oneWay (stage, length) {
  const { a, b } = streams(stage)
  const data = stage.bytes('data', length)
  const arrived = received(b)
  a.write(data)
  a.end()
  const got = await arrived
  stage.event('b', 'received', { bytes: got.length, ok: got.equals(data), sha256: sha256(got) })
  b.end()
  await sleep(200)
}

export const scenarios = {
  'udx-bulk': (stage) => oneWay(stage, 1024 * 1024),

  // The kernel drops after the capture point, so the capture shows what was sent, not what arrived.
  async 'udx-lossy' (stage) {
    const table = 'hyperconform_lossy'
    const nft = (rules) => spawnSync('nft', ['-f', '-'], { input: rules })
    const made = nft(`table ip ${table} { chain in { type filter hook input priority 0; udp dport 40002 numgen inc mod 20 3 drop; }; }\n`)
    if (made.error || made.status !== 0) throw Object.assign(new Error('needs nftables and the right to use them'), { notRun: true })
    try {
      await oneWay(stage, 600000)
    } finally {
      nft(`delete table ip ${table}\n`)
    }
  },

  async 'udx-both-ways' (stage) {
    const { a, b } = streams(stage)
    const sent = { a: stage.bytes('from a', 200000), b: stage.bytes('from b', 150000) }
    const arrived = { a: received(a), b: received(b) }
    const write = (stream, data, piece) => {
      for (let i = 0; i < data.length; i += piece) stream.write(data.subarray(i, i + piece))
      stream.end()
    }
    write(a, sent.a, 5000)
    write(b, sent.b, 333)
    for (const [who, other] of [['a', 'b'], ['b', 'a']]) {
      const got = await arrived[who]
      stage.event(who, 'received', { ok: got.equals(sent[other]), bytes: got.length, sha256: sha256(got) })
    }
    await sleep(200)
  },

  async 'udx-messages' (stage) {
    const { a, b } = streams(stage)
    const got = []
    b.on('message', (message) => got.push(hex(message)))
    const arrived = once(b, 'data')
    for (let i = 0; i < 20; i++) a.send(Buffer.from(`unordered ${i}`))
    a.write('ordered')
    await arrived
    await sleep(100)
    stage.event('b', 'messages', { got })
    a.end()
    b.end()
    await sleep(200)
  },

  async 'udx-destroy' (stage) {
    const { a, b } = streams(stage)
    b.on('error', (error) => stage.event('b', 'error', { code: error.code }))
    const arrived = once(b, 'data')
    a.write('some data first')
    await arrived
    a.destroy()
    await new Promise((resolve) => b.on('close', resolve))
    stage.event('b', 'closed', { destroyed: b.destroyed })
  },

  async 'udx-half-open' (stage) {
    const { a, b } = streams(stage)
    const bye = received(b)
    const answer = once(a, 'data')
    a.write('bye')
    a.end()
    stage.event('b', 'got', { g: (await bye).toString() })
    await sleep(300)
    b.write('still here')
    stage.event('a', 'got', { h: (await answer).toString() })
    b.end()
    await sleep(100)
  }
}
