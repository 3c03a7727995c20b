// The same connect as in switchboard.js, but over one connection: each lane is a
// yamux stream, by stock @chainsafe/libp2p-yamux. The server then offers channels
// on streams that it opens, so no second login is needed for any of them.
//
// These channels may leave the server (PROTOCOL.md §10): one that we open tries
// to after 200 ms, or as its options say:
//
//   await bus.open(name, { direct: ['unix', 'net'] })                 // asks at once
//   await bus.open(name, { direct: ['unix', 'net'], require: true })  // no byte over the server
//   await bus.open(name, { direct: [] })                              // stays
//   await bus.direct(channel)                                         // another try
//
// Of what §10 and §11 have besides, passed sockets, resume and seals are not here:
// open() refuses such options.
//
// A channel emits 'moved' and has a kind then. A session that is over is not made
// again here, so channel.adopt has no use: what has moved ends a minute later.

import { Duplex } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { dialLink, listenForLink } from './links.js'
import { Path } from './path.js'
import {
  Bus, checkOptions, defaultNetworkKey, dial, END, failure, findKeys, JSON_BODY, OPEN_OPTIONS, readPacket, STREAM, writePacket
} from './switchboard.js'

const KINDS = ['unix', 'net'] // of links

const WINDOW = 1 << 20 // bytes: the package lets it grow, but resets a stream that has 4 MiB unread
const LATER = 200 // ms until a channel tries to leave the server
const AGAIN = [1_000, 5_000, 30_000, 60_000] // ms until it tries again, if bytes have flowed
const REQUIRED = 5_000 // ms for a link without which there is no channel
const LEASE = 60_000 // ms of a moved channel whose session is gone, unless the server says

// Node 20 lacks it, the yamux package needs it.
Promise.withResolvers ??= () => {
  const all = {}
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }))
  return all
}
const { yamux } = await import('@chainsafe/libp2p-yamux')

/** Logs in and returns a Bus. Options: address, keys, networkKey (32 bytes), kinds of links ([] for none). */
export async function connect (options = {}) {
  checkKinds(options.kinds)
  const keys = options.keys ?? findKeys()
  const conn = await dial({ ...options, keys })
  const muxer = yamux({ streamOptions: { maxStreamWindowSize: WINDOW } })().createStreamMuxer(adapter(conn))
  const bus = new DirectBus(keys, async () => lane(await muxer.createStream()))
  // Links over TCP are for where the server sees us: here, or on any of our addresses.
  const host = /^net:(127\.[\d.]+|::1):/.exec(conn.address)?.[1]
  bus.who = { keys, host, networkKey: options.networkKey ?? defaultNetworkKey }
  bus.kinds = options.kinds ?? KINDS
  bus.end = async () => { await muxer.close(); conn.end(); conn.resume() } // go-away, then our goodbye
  conn.once('close', () => bus.lease())
  muxer.addEventListener('stream', ({ detail }) => {
    const theirs = lane(detail)
    theirs.on('error', () => {})
    bus.called(theirs).catch(err => theirs.destroy(err))
  })
  await bus.start()
  bus.leaseMs = (await bus.rpc.whoami()).server.lease_ms ?? LEASE
  return bus
}

function checkKinds (kinds = []) {
  const other = kinds.find(kind => !KINDS.includes(kind))
  if (other) throw failure({ name: 'not_supported', message: `links of the kind ${other} are not supported here` })
}

/** A Bus whose channels may move to links. */
class DirectBus extends Bus {
  #paths = new Set() // the open channels
  leaseMs = LEASE

  async open (to, options = {}) {
    checkOptions(options, [...OPEN_OPTIONS, 'direct', 'require'])
    checkKinds(options.direct)
    const { lane, answer: { direct: links, ...answer } } = await this.ask('connect', { to, ...options })
    const path = this.#path(lane, { channel: answer.channel, caller: this.keys.id, callee: answer.peer.id }, true)
    if (options.require) {
      const late = setTimeout(() => path.destroy(), REQUIRED)
      await this.direct(path, links).catch(err => { path.destroy(); throw err }).finally(() => clearTimeout(late))
    } else if (links || (!options.direct && this.kinds.length)) {
      this.#leave(path, links)
    }
    return Object.assign(path, answer) // channel.channel, channel.peer
  }

  /** Tries to take a channel to a direct link, at once if there are links, and tries again. */
  async #leave (path, links) {
    let carried = -1
    for (let tries = 0, wait = links ? 0 : LATER; ; wait = AGAIN[Math.min(tries++, AGAIN.length - 1)]) {
      await pause(wait, null, { ref: false })
      if (path.kind || path.destroyed) return
      if (carried === path.sent + path.received) continue // nobody would gain
      carried = path.sent + path.received
      await this.direct(path, links).catch(() => {}) // it stays where it is
      links = undefined // a secret is good for one try
    }
  }

  /** Takes a channel that we opened to a direct link, and gives its kind. An error may mean that it stays where it is. */
  async direct (path, links) {
    links ??= (await this.rpc.channel.direct({ channel: path.who.channel, direct: this.kinds })).direct
    const { link, kind } = await dialLink(links, path.who)
    path.survive = links.survive
    if (!path.register()) link.destroy()
    else if (await path.move(link, kind)) return kind
    throw Object.assign(new Error('the channel has not moved'), { name: 'link_lost' })
  }

  /** Answers the one call on a stream that the server opened. */
  async called (lane) {
    const { flags, req, body: { name, args: [args] } } = await readPacket(lane)
    const answer = (value, end = 0) => writePacket(lane, flags & STREAM | end | JSON_BODY, -req, value)
    let handler
    try {
      if (String(name) === 'offer') handler = this.handlerFor(args)
      else if (String(name) === 'channel,link') answer(await this.#link(args))
      else {
        answer(true) // channel.close: a relayed channel ends with its lane, a moved one here
        this.#cut(args.reason, path => path.kind && path.who.channel === args.channel)
      }
    } catch (err) {
      answer({ name: err.name, message: err.message, stack: '' }, END) // JSON knows no Error
    }
    if (!handler) return lane.end()

    const { channel, peer, direct, require } = args
    const path = this.#path(lane, { channel, caller: peer.id, callee: this.keys.id }, false)
    const place = direct && await this.#listen(path, direct).catch(() => null)
    answer(place ? { direct: place, require } : {})
    if (require && !place) return path.resume().end() // the caller sees unavailable
    if (require) {
      const late = setTimeout(() => path.destroy(), 2 * REQUIRED)
      await new Promise(resolve => path.once('moved', resolve).once('close', resolve))
      clearTimeout(late)
    }
    if (!path.destroyed) handler(path)
  }

  /** Serves channel.link: the caller wants a link for a channel that we were offered. */
  async #link ({ channel, direct }) {
    const path = [...this.#paths].find(path => path.who.channel === channel && !path.caller)
    if (!path) throw Object.assign(new Error('no such channel here'), { name: 'not_found' })
    return { direct: await this.#listen(path, direct) }
  }

  /** Listens for the caller of a channel, and says where. */
  async #listen (path, { secret, kinds, uid, survive }) {
    const ask = { secret, uid, kinds: kinds.filter(kind => this.kinds.includes(kind)) }
    const { answer, close } = await listenForLink(ask, path.who, () => path.register(), (link, kind) => path.move(link, kind))
    path.survive = survive
    path.once('close', close)
    return answer
  }

  /** Makes a lane a channel that may move, and tells the server what it has to know of that. */
  #path (lane, who, caller) {
    const path = Object.assign(new Path(lane, caller), { who: { ...this.who, ...who }, caller })
    this.#paths.add(path)
    path.on('error', () => {}) // an abort; who cares listens too
    const closed = new Promise(resolve => path.once('close', resolve))
    closed.then(() => this.#paths.delete(path))
    const tell = async (method, args) => { // a server that is gone, or has forgotten, need not know
      try { await this.rpc.channel[method]({ channel: who.channel, ...args }) } catch {}
    }
    path.told = new Promise(resolve => path.once('moved', resolve)).then(async kind => {
      if (caller) await tell('moved', { link: kind })
      await closed
      await tell('closed', { sent: path.sent, received: path.received, reason: path.errored?.name })
    })
    return path
  }

  /** Ends channels for a reason. */
  #cut (reason, which) {
    for (const path of this.#paths) {
      if (which(path)) path.destroy(Object.assign(new Error(`the channel was ended: ${reason}`), { name: reason }))
    }
  }

  /** Nobody could revoke what has moved when the session is gone. */
  lease () { setTimeout(() => this.#cut('link_lost', path => !path.survive), this.leaseMs).unref() }

  async close () {
    const over = [...this.#paths].filter(path => path.kind && path.readableEnded && path.writableFinished)
    await Promise.all(over.map(path => path.told))
    await super.close()
  }
}

const log = Object.assign(() => {}, { error () {}, trace () {}, newScope: () => log })

/** What the muxer wants to see in place of a socket. */
function adapter (conn) {
  const events = new EventTarget()
  const emit = (type, fields) => events.dispatchEvent(Object.assign(new Event(type), fields))
  conn.on('data', data => emit('message', { data }))
  conn.on('drain', () => emit('drain'))
  conn.on('end', () => conn.end())
  conn.on('error', () => {}) // 'close' follows
  conn.on('close', () => emit('close', {}))
  return Object.assign(events, {
    direction: 'outbound',
    log,
    send: data => conn.write(data.subarray()),
    abort: err => conn.destroy(err)
  })
}

/** A yamux stream as a Node one: FIN is the half-close, RST the abort. */
function lane (stream) {
  let fin = false // death looks like an end too, but for this
  const node = new Duplex({
    read () { if (stream.readStatus === 'paused') stream.resume() },
    write (data, _, done) {
      try {
        if (stream.send(data)) done()
        else stream.addEventListener('drain', () => done(), { once: true })
      } catch (err) { done(err) }
    },
    final: done => stream.close().then(() => done(), done),
    destroy (err, done) {
      if (!node.readableEnded || !node.writableFinished) stream.abort(err ?? new Error('aborted'))
      done(err)
    }
  })
  stream.addEventListener('message', ({ data }) => { if (!node.push(data.subarray())) stream.pause() })
  stream.addEventListener('remoteCloseWrite', () => { fin = true })
  stream.addEventListener('end', () => { if (fin) node.push(null) })
  stream.addEventListener('close', ({ error }) => {
    if (error || !fin) node.destroy(error ?? new Error('the connection is gone'))
  })
  return node
}
