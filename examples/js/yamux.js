// The same connect as in switchboard.js, but over one connection: each lane is a
// yamux stream, by stock @chainsafe/libp2p-yamux. The server then offers channels
// on streams that it opens, so no second login is needed for any of them.

import { Duplex } from 'node:stream'
import { Bus, dial, END, failure, findKeys, JSON_BODY, readPacket, STREAM, writePacket } from './switchboard.js'

// Node 20 lacks it, the yamux package needs it.
Promise.withResolvers ??= () => {
  const all = {}
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }))
  return all
}
const { yamux } = await import('@chainsafe/libp2p-yamux')

/** Logs in and returns a Bus. Options: address, keys, networkKey (32 bytes). */
export async function connect (options = {}) {
  const keys = options.keys ?? findKeys()
  const conn = await dial({ ...options, keys })
  const muxer = yamux()().createStreamMuxer(adapter(conn))
  const bus = new Bus(keys, async () => lane(await muxer.createStream()))
  bus.end = async () => { await muxer.close(); conn.end(); conn.resume() } // go-away, then our goodbye
  muxer.addEventListener('stream', ({ detail }) => {
    const theirs = lane(detail)
    theirs.on('error', () => {})
    called(bus, theirs).catch(err => theirs.destroy(err))
  })
  return bus.start()
}

/** Answers the one call on a stream that the server opened. */
async function called (bus, lane) {
  const { flags, req, body: { name, args } } = await readPacket(lane)
  if (String(name) !== 'offer') { // channel.close, which only says why a lane is about to end
    writePacket(lane, flags & STREAM | JSON_BODY, -req, true)
    return lane.end()
  }
  try {
    const handler = bus.handlerFor(args[0])
    writePacket(lane, STREAM | JSON_BODY, -req, {})
    handler(lane) // this very stream is the channel now
  } catch (err) {
    writePacket(lane, STREAM | END | JSON_BODY, -req, failure(err))
    lane.end()
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
