// compact-encoding, keys and derivations.
import { createHash } from 'node:crypto'
import { load } from '../packages.mjs'
import { hex, keyPairOf, plain, unhex } from './common.mjs'

const c = () => load('compact-encoding')
const buffers = new Set(['buffer', 'optionalBuffer', 'fixed32', 'fixed64', 'array(buffer)'])

function encoding (type) {
  const wrapped = /^(array|frame)\((.*)\)$/.exec(type)
  if (wrapped) return c()[wrapped[1]](encoding(wrapped[2]))
  return c()[type]
}

function value (type, json) {
  if (type === 'biguint64') return BigInt(json)
  if (buffers.has(type)) return Array.isArray(json) ? json.map(unhex) : unhex(json)
  return json
}

const number = (text) => (typeof text === 'string' && /^\d+$/.test(text) ? Number(text) : text)

export const compactEncoding = {
  suite: 'compact-encoding',
  inputs: ['type', 'value'],
  sources: ['compact-encoding'],
  compute: ({ type, value: json }) => ({ encoded: hex(c().encode(encoding(type), value(type, type === 'biguint64' ? json : number(json)))) })
}

export const compactEncodingInvalid = {
  suite: 'compact-encoding-invalid',
  inputs: ['type', 'encoded'],
  sources: ['compact-encoding'],
  compute: ({ type, encoded }) => {
    try {
      c().decode(encoding(type), unhex(encoded))
      return { refused: false, message: null }
    } catch (error) {
      return { refused: true, message: error.message }
    }
  }
}

export const keys = {
  suite: 'keys',
  inputs: ['seed'],
  sources: ['hyperdht', 'sodium-universal'],
  compute: ({ seed }) => {
    const HyperDHT = load('hyperdht')
    const pair = HyperDHT.keyPair(unhex(seed))
    return {
      publicKey: hex(pair.publicKey), secretKey: hex(pair.secretKey), target: hex(HyperDHT.hash(pair.publicKey)),
      discoveryKey: hex(load('hypercore-crypto').discoveryKey(pair.publicKey)), z32: load('hypercore-id-encoding').encode(pair.publicKey)
    }
  }
}

export const namespaces = {
  suite: 'namespaces',
  inputs: ['namespace', 'index'],
  sources: ['hypercore-crypto', 'hyperdht'],
  compute: ({ namespace, index }) => ({ output: hex(load('hypercore-crypto').namespace(namespace, [index])[0]) })
}

export const topicHash = {
  suite: 'topic-hash',
  inputs: ['name'],
  sources: ['hyperdht'],
  compute: ({ name }) => ({ blake2b256: hex(load('hyperdht').hash(Buffer.from(name))), sha256: createHash('sha256').update(name).digest('hex') })
}

export const nodeID = {
  suite: 'node-id',
  inputs: ['host', 'port'],
  sources: ['dht-rpc'],
  compute: ({ host, port }) => ({ nodeId: hex(load('dht-rpc/lib/peer').id(host, port)) })
}

export const dhtToken = {
  suite: 'dht-token',
  inputs: ['host', 'secret'],
  sources: ['dht-rpc'],
  compute: ({ host, secret }) => {
    const io = Object.create(load('dht-rpc/lib/io').prototype)
    io._secrets = [unhex(secret), unhex(secret)]
    return { token: hex(io.token({ host }, 0)) }
  }
}

export const hyperdhtAddress = {
  suite: 'hyperdht-address',
  inputs: ['key', 'nodes'],
  sources: ['hyperdht-address'],
  compute: ({ key, nodes }) => ({ encoded: hex(load('hyperdht-address').encode(unhex(key), nodes)) })
}

export const ed25519DH = {
  suite: 'ed25519-dh',
  inputs: ['comment', 'secretKeyA', 'secretKeyB', 'publicKeyB'],
  sources: ['noise-curve-ed'],
  compute: ({ secretKeyA, secretKeyB, publicKeyB }) => {
    const curve = load('noise-curve-ed')
    const a = unhex(secretKeyA)
    if (secretKeyB) {
      const b = unhex(secretKeyB)
      const shared = hex(curve.dh(keyPairOf(b).publicKey, keyPairOf(a)))
      if (shared !== hex(curve.dh(keyPairOf(a).publicKey, keyPairOf(b)))) throw new Error('the two sides disagree')
      return { publicKeyA: hex(keyPairOf(a).publicKey), publicKeyB: hex(keyPairOf(b).publicKey), shared }
    }
    try {
      return { shared: hex(curve.dh(unhex(publicKeyB), keyPairOf(a))) }
    } catch (error) {
      return { shared: null, error: error.message }
    }
  }
}

export const natSampler = {
  suite: 'nat-sampler',
  inputs: ['id', 'steps'],
  sources: ['nat-sampler'],
  compute: ({ steps }) => {
    const sampler = new (load('nat-sampler'))()
    return {
      steps: steps.map(({ add }) => {
        sampler.add(add.host, add.port)
        return plain({ add, host: sampler.host, port: sampler.port, size: sampler.size })
      })
    }
  }
}
