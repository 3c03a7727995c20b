// A peer of a switchboard in JavaScript: stock npm packages and one connection
// per lane. PROTOCOL.md at the top of the repository is the contract.
//
//   const bus = await connect()                // logs in; see findAddress, findKeys
//   await bus.rpc.whoami()                     // any call of PROTOCOL.md §5, by stock muxrpc
//   await bus.serve(name, { info }, (channel, offer) => …)  // claims a name, takes channels
//   for await (const event of bus.watch({ match })) …       // who comes and goes
//   const channel = await bus.open(name)       // a channel to the owner of a name
//   await bus.close()
//
// A channel is a Node stream.Duplex: end() is its half-close and the other's
// half-close is 'end'; destroy() is an abort and the other's abort is 'error'.
// A failure is an Error whose name and code are those of PROTOCOL.md §4.
//
// Channels here are neither sealed nor direct: open() refuses such options, and
// serve() sealed channels.
//
// multiserver does address, socket and Secret Handshake, muxrpc the control
// lane. No library can stop parsing, so a channel's lane is written by hand: one
// packet out, one in, then bytes. The mode is always box: the stock packages know
// no plain. yamux.js has the same connect over one multiplexed connection. When
// the server has gone, calls and watches throw; connect again. Without
// SWITCHBOARD_KEY, a file, every connect() makes a new key: a new identity.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { Duplex } from 'node:stream'
import multiserver from 'multiserver'
import netPlugin from 'multiserver/plugins/net.js'
import shsPlugin from 'multiserver/plugins/shs.js'
import unixPlugin from 'multiserver/plugins/unix-socket.js'
import muxrpc from 'muxrpc'
import ssbKeys from 'ssb-keys'
import toPull from 'stream-to-pull-stream'

// The flags of a packet: what its body is, and what the packet is.
export const JSON_BODY = 2; export const END = 4; export const STREAM = 8
const MAX_BODY = 1 << 20 // the largest body that a server sends
export const OPEN_OPTIONS = ['key', 'epoch', 'meta', 'timeout_ms'] // of connect (PROTOCOL.md §6), those we can do

/** Logs in and returns a Bus. Options: address, keys, networkKey (32 bytes). */
export async function connect (options = {}) {
  const keys = options.keys ?? findKeys() // all our lanes need one and the same
  const dialed = { ...options, keys }
  const bus = new Bus(keys, () => dial(dialed))
  return bus.start()
}

/** The control lane, and what is built on it. yamux.js makes one too. */
export class Bus {
  #handlers = new Map()
  #watches = new Set()

  constructor (keys, openLane) {
    this.keys = keys
    this.openLane = openLane
  }

  /** Opens the control lane; stock muxrpc asks for the manifest and builds rpc from it. */
  async start () {
    const lane = toPull.duplex(await this.openLane())
    const api = {
      offer: (offer, answer) => this.#come(offer, answer),
      channel: { close: (why, answer) => answer(null, true) } // says why a lane is about to end
    }
    await new Promise((resolve, reject) => {
      this.rpc = muxrpc((err, methods) => err ? reject(failure(err)) : resolve(withErrors(this.rpc, methods)),
        { offer: 'async', channel: { close: 'async' } }, api)
      this.closed = once(this.rpc, 'closed')
      this.rpc.stream.sink(lane.source)
      lane.sink(this.rpc.stream.source)
    })
    return this
  }

  /** Claims name; handler(channel, offer) gets each channel. Refuses by throwing in options.allow(offer). */
  async serve (name, { allow, ...claim } = {}, handler) {
    const before = this.#handlers.get(name)
    this.#handlers.set(name, { allow, handler }) // before watchers hear of the name
    try {
      return await this.rpc.names.claim({ name, ...claim })
    } catch (err) {
      if (before) this.#handlers.set(name, before)
      else this.#handlers.delete(name)
      throw err
    }
  }

  /** The handler for an offer; throws what the caller shall see. */
  handlerFor (offer) {
    const served = this.#handlers.get(offer.name) ?? this.#handlers.values().next().value
    if (!served) throw new Error('I serve nothing')
    if (offer.sealed) throw new Error('sealed channels are not supported here')
    served.allow?.(offer)
    return channel => {
      channel.on('error', () => {}) // an abort; handlers that care listen too
      served.handler(channel, offer)
    }
  }

  /** Without yamux an offer comes as a call, and we come for it on a new connection. */
  #come (offer, answer) {
    let handler
    try { handler = this.handlerFor(offer) } catch (err) { return answer(err) }
    answer(null, {})
    const { channel, token } = offer
    this.ask('accept', { channel, token }).then(({ lane }) => handler(lane), err => {
      if (err.name !== 'not_found') process.emitWarning(`offer to ${offer.name} not taken up: ${err.message}`)
    }) // not_found: the caller gave up
  }

  /** Opens a channel to a name or session. Options are OPEN_OPTIONS; any other fails with not_supported. */
  async open (to, options = {}) {
    checkOptions(options, OPEN_OPTIONS)
    const { lane, answer } = await this.ask('connect', { to, ...options })
    return Object.assign(lane, answer) // channel.channel, channel.peer
  }

  /** Opens a lane with one packet, and reads the answer. */
  async ask (method, args) {
    const lane = await this.openLane()
    writePacket(lane, STREAM | JSON_BODY, 1, { name: [method], args: [args], type: 'duplex' })
    const { flags, body } = await readPacket(lane).catch(err => {
      lane.destroy() // or its socket would stay
      throw err
    })
    if (!(flags & END)) return { lane, answer: body }
    lane.on('error', () => {}) // a cut says nothing that the answer has not said
    lane.end()
    lane.resume() // to its end, which closes the connection
    throw failure(body)
  }

  /** The events of names.watch. Leaving the loop ends the watch. */
  async * watch (args = {}) {
    const source = this.rpc.names.watch(args)
    let wake // muxrpc forgets who reads when a source is aborted
    const stop = () => { source(true, () => {}); wake() }
    this.#watches.add(stop)
    try {
      for (;;) {
        const event = await new Promise((resolve, reject) => {
          wake = resolve
          source(null, (end, event) => end === true ? resolve() : end ? reject(failure(end)) : resolve(event))
        })
        if (!event) return
        yield event
      }
    } finally {
      this.#watches.delete(stop)
      stop()
    }
  }

  /** Ends watches and control lane in good order; channels go on. */
  async close () {
    for (const stop of this.#watches) stop()
    await new Promise(resolve => this.rpc.close(resolve))
    await this.end?.()
  }
}

/** Connects and logs in: a Duplex whose chunks are boxes and whose end is the goodbye. */
export async function dial ({ address = findAddress(), keys, networkKey = defaultNetworkKey }) {
  const shs = shsPlugin({ keys: sodiumKeys(keys), appKey: networkKey, timeout: 5000 })
  const unix = unixPlugin({ path: '/' }) // without a path it would make a folder for a server
  const tcp = netPlugin({}) // header and body are two writes, which Nagle would hold apart for 40 ms
  const net = { ...tcp, parse: text => { const at = tcp.parse(text); return at && { ...at, noDelay: true } } }
  const ms = multiserver([[unix, shs], [net, shs]])
  let failed
  for (const one of address.split(';')) {
    try {
      const stream = await new Promise((resolve, reject) =>
        ms.client(one, (err, stream) => err ? reject(err) : resolve(stream)))
      return Object.assign(duplex(stream), { address: stream.address }) // where it led
    } catch (err) {
      failed = err
    }
  }
  const hint = ['ECONNREFUSED', 'ENOENT'].includes(failed.code)
    ? 'Nobody listens there: is the server running?'
    : 'A server refuses in silence: check address, server key, network key, and over TCP that authorized_peers has ' + keys.id
  throw new Error(`${address}: ${failed.message}. ${hint}`, { cause: failed })
}

/** A pull-stream duplex as a Node one. */
export function duplex (stream) {
  let want = null // the sink's reader, waiting for a chunk
  let have = null // [end, data, done]: a chunk, waiting for a reader
  const meet = () => {
    if (!want || !have) return
    const [cb, [end, data, done]] = [want, have]
    want = have = null
    cb(end, data)
    done()
  }
  const send = (end, data, done) => { have = [end, data, done]; meet() }
  const lane = new Duplex({
    read () {
      stream.source(null, (end, data) => {
        if (end && end !== true) lane.destroy(new Error('cut without a goodbye', { cause: end }))
        else lane.push(end ? null : data)
      })
    },
    write: (data, _, done) => send(null, data, done),
    final: done => send(true, null, done),
    destroy (err, done) {
      if (!lane.readableEnded || !lane.writableFinished) { // an abort: no goodbye
        send(err ?? new Error('aborted'), null, () => {})
        stream.source(true, () => {})
      }
      done(err)
    }
  })
  stream.sink((abort, cb) => {
    if (abort) {
      cb(abort)
      return lane.writableFinished || lane.destroy(abort === true ? new Error('the connection is gone') : abort)
    }
    want = cb
    meet()
  })
  return lane
}

/** Writes one packet: header and body apart, so that each is a box of its own. */
export function writePacket (lane, flags, req, value) {
  const body = Buffer.from(JSON.stringify(value))
  const head = Buffer.alloc(9)
  head[0] = flags
  head.writeUInt32BE(body.length, 1)
  head.writeInt32BE(req, 5)
  lane.write(head)
  lane.write(body)
}

/** Reads one packet, and not a byte more. */
export async function readPacket (lane) {
  const head = await take(lane, 9)
  const length = head.readUInt32BE(1)
  if (length > MAX_BODY) throw new Error('the packet is too large')
  const body = JSON.parse(length ? await take(lane, length) : 'null')
  return { flags: head[0], req: head.readInt32BE(5), body }
}

/** Reads n bytes, and not one more. */
export async function take (lane, n) {
  for (;;) {
    const bytes = lane.read(n)
    if (bytes?.length === n) return bytes
    if (bytes || lane.readableEnded) throw new Error('the lane ended early')
    await once(lane, 'readable') // comes at the end too
  }
}

/** Makes an Error of an error answer {name, message}; its name is the code. */
export function failure (err) {
  if (err instanceof Error) return err
  if (err === true) err = { name: 'Error', message: 'the connection is gone' }
  return Object.assign(new Error(err.message || err.name), { name: err.name, code: err.name })
}

/** Makes the async calls of rpc fail with Errors; muxrpc's own are what came over the wire. */
function withErrors (rpc, methods) {
  for (const [name, type] of Object.entries(methods)) {
    const call = rpc[name]
    if (typeof type === 'object') withErrors(call, type)
    if (type === 'async') rpc[name] = (...args) => call(...args)?.catch?.(err => { throw failure(err) })
  }
}

/** Fails for an option that is set and not known: what it promises, such as a seal, would not be kept. */
export function checkOptions (options, known) {
  for (const [option, value] of Object.entries(options)) {
    if (!value || value.length === 0 || known.includes(option)) continue
    throw failure({ name: 'not_supported', message: `the option ${option} is not supported here` })
  }
}

/** Keys of ssb-keys as sodium wants them. */
export function sodiumKeys ({ curve, public: publicKey, private: secretKey }) {
  if (curve !== 'ed25519') throw new Error(`${curve} keys are of no use here`)
  const raw = key => Buffer.from(key.replace(`.${curve}`, ''), 'base64')
  return { publicKey: raw(publicKey), secretKey: raw(secretKey) }
}

export const defaultNetworkKey = createHash('sha256').update('switchboard/1').digest()

/** The key file named by SWITCHBOARD_KEY, made if need be; else a new key each time. */
export function findKeys () {
  const path = process.env.SWITCHBOARD_KEY
  return path ? ssbKeys.loadOrCreateSync(path) : ssbKeys.generate()
}

/** SWITCHBOARD_ADDRESS, else the file that the server wrote beside its default socket. */
export function findAddress () {
  const { SWITCHBOARD_ADDRESS, XDG_RUNTIME_DIR, XDG_STATE_HOME } = process.env
  if (SWITCHBOARD_ADDRESS) return SWITCHBOARD_ADDRESS
  const me = process.geteuid()
  const folder = me === 0 ? '/run' : XDG_RUNTIME_DIR || XDG_STATE_HOME || join(homedir(), '.local/state')
  const file = join(folder, 'switchboard/address')
  if (!existsSync(file)) throw new Error(`${file} is not there: is the server running? SWITCHBOARD_ADDRESS can name another`)
  for (const path of [file, dirname(file)]) { // it says which server to trust
    const { uid, mode } = statSync(path)
    if ((uid !== 0 && uid !== me) || mode & 0o022) throw new Error(`${path}: others may write it, so it is not used`)
  }
  return readFileSync(file, 'utf8').trim()
}
