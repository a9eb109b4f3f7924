// Negative controls: the reference with one thing wrong on the wire. A harness that passes such a peer is asleep; one that fails it has
// to name the right layer. For tests of the harness only.
import { randomBytes } from 'node:crypto'
import { load } from './packages.mjs'

export const LIES = {
  'byte-order': {
    layer: 'dht-rpc',
    what: 'ports in addresses are big-endian',
    tell () {
      const { ipv4 } = load('dht-rpc/lib/peer')
      const encode = ipv4.encode
      ipv4.encode = (state, address) => {
        encode(state, address)
        state.buffer.subarray(state.start - 2, state.start).reverse()
      }
    }
  },
  'node-id': {
    layer: 'dht-rpc',
    what: 'the node id is no hash of the address',
    tell () {
      const IO = load('dht-rpc/lib/io').prototype
      const create = IO.createRequest
      const own = randomBytes(32)
      IO.createRequest = function (...args) {
        this.table.id = own
        return create.apply(this, args)
      }
    }
  },
  'announce-namespace': {
    layer: 'hyperdht',
    what: 'announces are signed under another namespace',
    tell: () => load('hyperdht/lib/constants').NS.ANNOUNCE.fill(7)
  },
  namespace: {
    layer: 'noise',
    what: 'another prologue in the handshake',
    tell: () => load('hyperdht/lib/constants').NS.PEER_HANDSHAKE.fill(7)
  },
  key: {
    layer: 'noise',
    what: 'the handshake is done with a key other than the announced one',
    tell () {
      const NoiseState = load('noise-handshake')
      const initialise = NoiseState.prototype.initialise
      const other = load('hyperdht').keyPair(Buffer.alloc(32, 7))
      NoiseState.prototype.initialise = function (...args) {
        if (!this.initiator) this.s = other
        return initialise.apply(this, args)
      }
    }
  },
  'stream-id': {
    layer: 'secret-stream',
    what: 'the header names the other side\'s id',
    tell: () => onHeader((frame, stream) => {
      load('@hyperswarm/secret-stream').id(stream.handshakeHash, !stream.isInitiator, frame.subarray(3, 35))
      return frame
    })
  },
  'truncated-header': {
    layer: 'secret-stream',
    what: 'the header is one byte short',
    tell: () => onHeader((frame) => {
      frame[0]--
      return frame.subarray(0, frame.length - 1)
    })
  },
  'channel-id': {
    layer: 'protomux',
    what: 'channels are counted from 2',
    tell () {
      const Protomux = load('protomux')
      const create = Protomux.prototype.createChannel
      Protomux.prototype.createChannel = function (options) {
        if (this._local.length === 0) this._local.push(null)
        return create.call(this, options)
      }
    }
  }
}

// The header is the first that a secret-stream writes when its keys are there: 3 bytes of length, 32 of id, 24 of header.
function onHeader (change) {
  const SecretStream = load('@hyperswarm/secret-stream').prototype
  const setup = SecretStream._setupSecretStream
  SecretStream._setupSecretStream = function (...args) {
    const raw = this._rawStream
    const write = raw.write
    raw.write = (data) => {
      raw.write = write
      return write.call(raw, change(data, this))
    }
    return setup.apply(this, args)
  }
}
