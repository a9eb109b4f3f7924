// Protomux and blind-relay, step by step: what each side does, and the frames that follow.
import { EventEmitter } from 'node:events'
import { load } from '../packages.mjs'
import { hex, unhex } from './common.mjs'

// Two ends of a message pipe; each write is noted, and reaches the other end a little later.
class End extends EventEmitter {
  constructor (name, journal) {
    super()
    Object.assign(this, { name, journal, other: null, userData: null, destroyed: false })
  }

  write (data) {
    const copy = Buffer.from(data)
    this.journal.push({ from: this.name, frame: hex(copy) })
    setImmediate(() => this.other.emit('data', copy))
    return true
  }

  end () {}
  destroy (error) { if (error) throw error }
  pause () {}
  resume () {}
}

function pipe (a, b, journal) {
  const ends = [new End(a, journal), new End(b, journal)]
  ends[0].other = ends[1]
  ends[1].other = ends[0]
  return ends
}

async function settle (journal) {
  for (let seen = -1; seen !== journal.length;) {
    seen = journal.length
    for (let i = 0; i < 5; i++) await new Promise(setImmediate)
  }
}

// Stateful: the cases of the file are the steps of one run, in order.
export const protomux = {
  suite: 'protomux',
  inputs: ['do'],
  sources: ['protomux', 'compact-encoding'],
  sequence: async (cases) => {
    const Protomux = load('protomux')
    const c = load('compact-encoding')
    const journal = []
    const [a, b] = pipe('a', 'b', journal).map((end) => new Protomux(end))
    const sides = { a: { mux: a, channels: new Map() }, b: { mux: b, channels: new Map() } }
    const out = []
    for (const { do: actions } of cases) {
      for (const action of actions) {
        const { mux, channels } = sides[action.side]
        switch (action.operation) {
          case 'open': {
            const known = action.handshake !== null
            const channel = mux.createChannel({
              protocol: action.protocol, id: unhex(action.channelId), handshake: known ? c.utf8 : null,
              messages: [{ encoding: c.utf8 }, { encoding: c.uint }]
            })
            channel.open(known ? action.handshake : undefined)
            if (known) channels.set(action.channelId, channel)
            break
          }
          case 'send': channels.get(action.channelId).messages[action.type].send(action.value); break
          case 'cork': mux.cork(); break
          case 'uncork': mux.uncork(); break
          case 'close': channels.get(action.channelId).close(); break
          default: throw new Error(`unknown operation ${action.operation}`)
        }
      }
      await settle(journal)
      out.push({ frames: journal.splice(0) })
    }
    return out
  }
}

class FakeStream extends EventEmitter {
  constructor (id) {
    super()
    this.id = id
  }

  relayTo () {}
  destroy () { this.emit('close') }
}

export const blindRelay = {
  suite: 'blind-relay',
  inputs: ['do'],
  sources: ['blind-relay', 'protomux'],
  sequence: async (cases) => {
    const relay = load('blind-relay')
    const journal = []
    let next = 9000
    const server = new relay.Server({ createStream: () => new FakeStream(next++) })
    const ends = {}
    for (const [client, far] of [['client', 'server'], ['client2', 'server2']]) {
      const [a, b] = pipe(client, far, journal)
      Object.assign(ends, { [client]: a, [far]: b })
    }
    const clients = {}
    const out = []
    for (const { do: actions } of cases) {
      for (const action of actions) {
        switch (action.operation) {
          case 'open':
            clients[action.side] = new relay.Client(ends[action.side], { id: unhex(action.channelId) })
            clients[action.side].on('error', () => {})
            break
          case 'accept': server.accept(ends[action.side], { id: unhex(action.channelId) }).on('error', () => {}); break
          case 'pair': clients[action.side].pair(action.isInitiator, unhex(action.token), new FakeStream(action.streamId)).on('error', () => {}).resume(); break
          case 'unpair': clients[action.side].unpair(unhex(action.token)); break
          default: throw new Error(`unknown operation ${action.operation}`)
        }
      }
      await settle(journal)
      out.push({ frames: journal.splice(0) })
    }
    return out
  }
}
