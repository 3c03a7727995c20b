// A lane by hand, for packets that no library would send.

import Pushable from 'pull-pushable'
import Reader from 'pull-reader'

export const JSON_BODY = 2; export const END = 4; export const STREAM = 8

/** Header and body of a packet; a value that is no Buffer becomes JSON. */
export function packet (flags, req, value, length) {
  const body = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value))
  const head = Buffer.alloc(9)
  head[0] = flags
  head.writeUInt32BE(length ?? body.length, 1)
  head.writeInt32BE(req, 5)
  return Buffer.concat([head, body])
}

export const request = (req, name, args = [], type = 'async') =>
  packet(type === 'async' ? JSON_BODY : STREAM | JSON_BODY, req, { name: name.split('.'), args, type })

export const goodbye = Buffer.alloc(9)

export class Raw {
  #out = Pushable()
  #in = Reader(10_000)
  #end

  constructor (stream) {
    this.#in((abort, cb) => stream.source(abort, (end, data) => {
      if (end) this.#end = end === true ? 'goodbye' : 'cut'
      cb(end, data)
    }))
    stream.sink(this.#out)
  }

  /** Sends bytes as they are; each argument begins a box. */
  send (...buffers) { for (const b of buffers) this.#out.push(b) }

  /** Ends our direction: a box goodbye. */
  end () { this.#out.end() }

  /** Cuts the connection. */
  abort () {
    this.#out.end(new Error('cut'))
    this.#in.abort(new Error('cut'), () => {})
  }

  bytes (n) {
    return new Promise((resolve, reject) => this.#in.read(n, (err, data) => err ? reject(err) : resolve(data)))
  }

  /** The next packet as [flags, request, body]. */
  async next () {
    const head = await this.bytes(9)
    const length = head.readUInt32BE(1)
    const body = length ? (await this.bytes(length)).toString() : ''
    return [head[0], head.readInt32BE(5), head[0] & JSON_BODY ? JSON.parse(body) : body]
  }

  /** 'goodbye' once the other direction ends in good order, 'cut' if it breaks. */
  async ending () {
    try {
      for (;;) await this.bytes(1)
    } catch (err) {
      return this.#end ?? err.message
    }
  }
}
