// Where the reference comes from: the packages beside this file (npm ci), or a directory laid out by hand (--node-modules DIR).
import Module, { createRequire } from 'node:module'
import path from 'node:path'

const here = createRequire(import.meta.url)
let resolver = here

export const NAMES = [
  'hyperswarm', 'hyperdht', 'dht-rpc', 'udx-native', '@hyperswarm/secret-stream', 'noise-handshake', 'noise-curve-ed',
  'protomux', 'blind-relay', 'compact-encoding', 'sodium-universal', 'sodium-native'
]

export function useDirectory (directory) {
  const full = path.resolve(directory)
  resolver = createRequire(path.join(full, 'noop.js'))
  // Node looks into a folder called node_modules only; NODE_PATH makes any other name do, for the packages' own requires as well.
  process.env.NODE_PATH = [full, process.env.NODE_PATH].filter(Boolean).join(path.delimiter)
  Module._initPaths()
}

export function load (name) {
  return resolver(name)
}

export function version (name) {
  try {
    return resolver(name + '/package.json').version
  } catch {
    return null
  }
}

export function versions (names = NAMES) {
  const out = {}
  for (const name of names) {
    const v = version(name)
    if (v !== null) out[name] = v
  }
  return out
}

// Takes --node-modules DIR out of an argument list, wherever it stands.
export function takeDirectoryOption (args) {
  const rest = []
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--node-modules') {
      if (i + 1 === args.length) throw new Error('--node-modules needs a directory')
      useDirectory(args[++i])
    } else if (args[i].startsWith('--node-modules=')) {
      useDirectory(args[i].slice('--node-modules='.length))
    } else {
      rest.push(args[i])
    }
  }
  return rest
}

export { here }
