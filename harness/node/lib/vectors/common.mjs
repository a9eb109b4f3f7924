// Shared by the vector suites. A suite says which keys of a case are its inputs, and computes all others with the packages.
import { load } from '../packages.mjs'

export const hex = (b) => (b === null || b === undefined ? null : Buffer.from(b).toString('hex'))
export const unhex = (s) => (s === null || s === undefined ? null : Buffer.from(s, 'hex'))

// Makes sodium draw what we say, for as long as `run` takes: the only way to fix a header or a counter.
export function withRandomness (bytes, run) {
  const sodium = load('sodium-universal')
  const original = sodium.randombytes_buf
  sodium.randombytes_buf = (buffer) => { buffer.set(bytes.subarray(0, buffer.byteLength)) }
  try {
    return run()
  } finally {
    sodium.randombytes_buf = original
  }
}

// libsodium draws a secretstream's header where no hook reaches; pulling with a given header makes the same state, and it can push.
export function withSecretStreamHeader (header, run) {
  const sodium = load('sodium-universal')
  const name = 'crypto_secretstream_xchacha20poly1305_init_push'
  const original = sodium[name]
  sodium[name] = (state, out, key) => {
    out.set(header)
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
  }
  try {
    return run()
  } finally {
    sodium[name] = original
  }
}

export function keyPairOf (secretKey) {
  return { publicKey: secretKey.subarray(32), secretKey }
}

// Buffers to hexadecimal digits, bigints to strings, everywhere in a value.
export function plain (value) {
  if (value === undefined) return null
  if (typeof value === 'bigint') return value.toString()
  if (ArrayBuffer.isView(value)) return hex(value)
  if (Array.isArray(value)) return value.map(plain)
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
  return value
}
