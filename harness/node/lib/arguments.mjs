// Checks the arguments of a request. A type takes the JSON value and returns what the command wants, or throws BadRequest.
import { isIP } from 'node:net'

export class BadRequest extends Error {
  constructor (message) {
    super(message)
    this.code = 'BAD_REQUEST'
  }
}

const fail = (name, wants) => {
  throw new BadRequest(`${name} must be ${wants}`)
}

export const integer = (min = 0, max = Number.MAX_SAFE_INTEGER) => (v, name) =>
  Number.isSafeInteger(v) && v >= min && v <= max ? v : fail(name, `an integer from ${min} to ${max}`)

export const boolean = (v, name) => (typeof v === 'boolean' ? v : fail(name, 'true or false'))

export const text = (v, name) => (typeof v === 'string' ? v : fail(name, 'a text'))

export const bytes = (length = null) => (v, name) => {
  if (typeof v !== 'string' || v.length % 2 !== 0 || !/^[0-9a-f]*$/.test(v)) fail(name, 'bytes in lower-case hexadecimal digits')
  if (length !== null && v.length !== 2 * length) fail(name, `${length} bytes`)
  return Buffer.from(v, 'hex')
}

export const oneOf = (...values) => (v, name) => (values.includes(v) ? v : fail(name, values.map((x) => JSON.stringify(x)).join(' or ')))

export const list = (of, max = Infinity) => (v, name) =>
  Array.isArray(v) && v.length <= max ? v.map((x, i) => of(x, `${name}[${i}]`)) : fail(name, 'an array')

export const nullable = (of) => (v, name) => (v === null ? null : of(v, name))

export const host = (v, name) => (typeof v === 'string' && isIP(v) ? v : fail(name, 'an IP address'))
export const port = integer(1, 65535)
export const anyPort = integer(0, 65535)

export const object = (fields) => (v, name) => {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) fail(name, 'an object')
  return parse(fields, v, name)
}

export const address = object({ host, port })
export const addresses = list(address)

export const firewall = (v, name) => {
  const rule = object({ allow: optional(list(bytes(32))), deny: optional(list(bytes(32))) })(v, name)
  if ((rule.allow === undefined) === (rule.deny === undefined)) fail(name, 'an object with either allow or deny')
  const keys = new Set((rule.allow || rule.deny).map((key) => key.toString('hex')))
  const listed = (key) => keys.has(Buffer.from(key).toString('hex'))
  return rule.allow ? (key) => !listed(key) : listed // true: refuse
}

export const optional = (type, otherwise = undefined) => Object.assign((v, name) => type(v, name), { optional: true, otherwise })

export function parse (fields, values, where = '') {
  const prefix = where ? where + '.' : ''
  for (const key of Object.keys(values)) {
    if (!Object.hasOwn(fields, key)) throw new BadRequest(`${prefix}${key} is no argument here`)
  }
  const out = {}
  for (const [key, type] of Object.entries(fields)) {
    if (Object.hasOwn(values, key)) out[key] = type(values[key], prefix + key)
    else if (type.optional) out[key] = type.otherwise
    else throw new BadRequest(`${prefix}${key} is missing`)
  }
  return out
}
