// The framing of ../PEERS.md: lines in, lines out, handles, and the order that replies and events promise.
import { BadRequest, parse } from './arguments.mjs'

const FRAME = ['id', 'command']

export class ContractError extends Error {
  constructor (code, message) {
    super(message)
    this.code = code
  }
}

export class Unsupported extends Error {
  constructor (argument) {
    super(argument)
    this.argument = argument
  }
}

export const microseconds = () => Math.round((performance.timeOrigin + performance.now()) * 1000)

export class Contract {
  constructor (writeLine) {
    this.commands = new Map()
    this.handles = new Map() // handle -> { kind, object, held: events waiting for the reply that brings the handle, or null }
    this.writeLine = writeLine
    this.nextHandle = 1
    this.usedIDs = new Set()
  }

  command (name, fields, run) {
    this.commands.set(name, { fields, run })
  }

  // --- handles

  // `held`: the handle is brought by the reply under way, so events about it wait until that is out.
  add (kind, object, held = false) {
    const handle = this.nextHandle++
    this.handles.set(handle, { kind, object, held: held ? [] : null })
    return handle
  }

  remove (handle) {
    const entry = this.handles.get(handle)
    if (entry) entry.gone = true
    if (entry && entry.held === null) this.handles.delete(handle)
  }

  release (handle) {
    const entry = this.handles.get(handle)
    if (!entry || entry.held === null) return
    const held = entry.held
    entry.held = null
    if (entry.gone) this.handles.delete(handle)
    for (const line of held) this.emitLine(line)
  }

  // An argument type: the object behind a handle of one of these kinds.
  handle (...kinds) {
    return (v, name) => {
      if (!Number.isSafeInteger(v)) throw new BadRequest(`${name} must be a handle`)
      const entry = this.handles.get(v)
      if (!entry || entry.gone || !kinds.includes(entry.kind)) throw new ContractError('UNKNOWN_HANDLE', `${name} ${v} is no open ${kinds.join(' or ')}`)
      return entry.object
    }
  }

  // --- events

  event (event, fields) {
    this.emitLine({ event, t: microseconds(), ...fields })
  }

  emitLine (line) {
    for (const key of ['node', 'server', 'stream', 'socket', 'channel']) {
      const entry = line[key] !== undefined && this.handles.get(line[key])
      if (entry && entry.held !== null) {
        entry.held.push(line)
        return
      }
    }
    this.writeLine(JSON.stringify(line))
  }

  // --- requests

  async line (text) {
    let request
    try {
      request = JSON.parse(text)
    } catch {
      return this.refuse(null, new BadRequest('the line is no JSON object'))
    }
    if (typeof request !== 'object' || request === null || Array.isArray(request)) return this.refuse(null, new BadRequest('the line is no JSON object'))
    const { id, command } = request
    if (!Number.isSafeInteger(id) || id < 0) return this.refuse(null, new BadRequest('id must be an integer from 0'))
    if (typeof command !== 'string') return this.refuse(id, new BadRequest('command must be a text'))
    if (this.usedIDs.has(id)) return this.refuse(id, new BadRequest('this id was used before'))
    this.usedIDs.add(id)

    const known = this.commands.get(command)
    if (!known) return this.writeLine(JSON.stringify({ id, unsupported: true }))

    const values = Object.fromEntries(Object.entries(request).filter(([key]) => !FRAME.includes(key)))
    try {
      const results = (await known.run(parse(known.fields, values))) || {}
      this.writeLine(JSON.stringify({ id, ok: true, ...results }))
      for (const key of ['node', 'server', 'stream', 'socket', 'channel']) {
        if (typeof results[key] === 'number') this.release(results[key])
      }
    } catch (error) {
      if (error instanceof Unsupported) this.writeLine(JSON.stringify({ id, unsupported: true, argument: error.argument }))
      else this.refuse(id, error)
    }
  }

  refuse (id, error) {
    this.writeLine(JSON.stringify({ id, error: describeError(error) }))
  }
}

export function describeError (error) {
  const code = typeof error.code === 'string' ? error.code : 'INTERNAL'
  return { code, message: String(error.message || error) }
}

// The error of a stream: a code of the reference's own, or STREAM_FAILED.
export function describeStreamError (error) {
  if (!error) return null
  return { code: typeof error.code === 'string' ? error.code : 'STREAM_FAILED', message: String(error.message || error) }
}
