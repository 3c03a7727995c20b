// Links: the connections that two ends of a channel make to each other, to leave
// the server (PROTOCOL.md §10). The callee listens, the caller dials; path.js
// takes the channel over to what comes of it.
//
// A link is a Duplex that can do what a lane can: end() is the goodbye,
// destroy() the abort, and the other's abort is 'error'. Stock secret-handshake
// makes sure of the other end; behind it pull-box-stream boxes what goes over
// TCP, and over a Unix socket plain chunks go.
//
// Over a Unix socket both ends ought to ask the kernel which user is at the other
// end (SO_PEERCRED), which Node cannot. What it can do instead: the socket lies in
// a directory of mode 0700, so none but its owner and root get to it; lstat says
// who that is, and that nobody has put a symbolic link in its place. Who could
// still come in between is a process of the same user, and the handshake finds
// that out: it lacks the secret, or the key of the peer.

import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, lstatSync, mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import shs from 'secret-handshake'
import toPull from 'stream-to-pull-stream'
import { duplex, sodiumKeys } from './switchboard.js'

const LIFE = 15_000 // ms of a listener
const TURNS = 4 // handshakes of a listener at a time, others wait
const TURN = 2_000 // ms of each
const DIAL = { unix: 300, net: 2_000 } // ms to connect
const SHAKE = 3_000 // ms of the caller's handshake

// Calls f after ms. What has come by then gets its turn before: Node looks at
// timers first, and a busy process would blame the other end for its own delay.
const after = (ms, f) => setTimeout(() => setImmediate(f), ms)

/** The key of one attempt. who is { networkKey, channel, caller, callee }, ids and hex as on the wire. */
export function purposeKey ({ networkKey, channel, caller, callee }, secret) {
  return derive(networkKey, 'direct', Buffer.from(secret, 'hex'), Buffer.from(channel, 'hex'), rawId(caller), rawId(callee))
}

/** The key of plain mode that is made of it, for a Unix socket. */
export function plainKey (key, callerUid, calleeUid) {
  const uids = Buffer.alloc(8)
  uids.writeUInt32BE(callerUid)
  uids.writeUInt32BE(calleeUid, 4)
  return derive(key, 'plain', uids)
}

function derive (key, label, ...fields) {
  return createHmac('sha512', key).update(`switchboard/1/${label}\0`).update(Buffer.concat(fields)).digest().subarray(0, 32)
}

const rawId = id => Buffer.from(id.replace(/^@|\.ed25519$/g, ''), 'base64')

/**
 * Tries the links that the server has told a caller of, in order. Gives the
 * first that is made, and its kind. who is as for purposeKey, and our keys.
 */
export async function dialLink ({ secret, links }, who) {
  let failed = new Error('no link of a kind that we know')
  for (const link of links) {
    const kind = ['unix', 'net'].find(kind => link[kind])
    if (!kind) continue // we skip what we do not know
    try {
      if (kind === 'unix') checkSocket(link.unix, link.uid)
      const socket = net.connect({ ...kind === 'unix' ? { path: link.unix } : hostPort(link.net), noDelay: true, allowHalfOpen: true })
      const late = after(DIAL[kind], () => socket.connecting && socket.destroy(new Error('nobody answers there')))
      await once(socket, 'connect').finally(() => clearTimeout(late))
      return { kind, link: await shake(socket, kind, who, secret, link.uid) }
    } catch (err) {
      failed = err
    }
  }
  throw failed
}

/**
 * Listens for the one caller who knows the secret. answer says where; register()
 * is asked, once, whether the channel still wants the link of a proven caller, and
 * came(link, kind) gets it. Both its files and its ports are gone then, at the
 * latest after 15 s, or with close().
 */
export async function listenForLink ({ secret, kinds, uid }, who, register, came) {
  const [answer, servers, sockets, queue] = [{}, [], new Set(), []]
  let dir; let turns = 0; let claimed = false
  const close = () => {
    clearTimeout(life)
    process.off('exit', close)
    for (const server of servers) server.close()
    for (const socket of sockets) socket.destroy() // of strangers, who get no word
    if (dir) rmSync(dir, { recursive: true, force: true })
  }
  const life = setTimeout(close, LIFE)
  process.on('exit', close)

  const admit = socket => {
    claimed = claimed || register()
    if (claimed) sockets.delete(socket)
    return claimed
  }
  const serve = async () => {
    if (turns === TURNS || !queue.length) return
    const { socket, kind } = queue.shift()
    turns++
    const link = await shake(socket, kind, who, secret, uid, () => !claimed && admit(socket)).catch(() => null)
    turns--
    if (!link) return serve()
    close()
    came(link, kind)
  }
  const open = async (kind, options) => {
    const server = net.createServer({ noDelay: true, allowHalfOpen: true }, socket => {
      sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)))
      queue.push({ socket, kind })
      serve()
    })
    server.maxConnections = 16 * TURNS
    await once(server.listen(options), 'listening')
    servers.push(server)
    return server.on('error', () => {}).address()
  }

  // A kind that cannot be listened for is left out.
  if (kinds.includes('unix') && uid === process.geteuid()) {
    try {
      dir = mkdtempSync(join(process.env.XDG_RUNTIME_DIR || tmpdir(), 'sb-')) // its mode is 0700
      const path = join(dir, 'link')
      await open('unix', { path })
      chmodSync(path, 0o600)
      checkSocket(path, uid) // as the caller will
      answer.unix = path
    } catch {}
  }
  if (kinds.includes('net')) {
    try { answer.net = (await open('net', { host: who.host, port: 0 })).port } catch {}
  }
  if (answer.unix || answer.net) return { answer, close }
  close()
  throw Object.assign(new Error('no direct link can be listened for'), { name: 'unavailable' })
}

/** Refuses a path that does not name a socket which only uid can have put there. */
function checkSocket (path, uid) {
  if (path[0] !== '/' || normalize(path) !== path || Buffer.byteLength(path) > 107) throw new Error('not the path of a link')
  const [dir, socket] = [lstatSync(dirname(path)), lstatSync(path)] // of a symbolic link they would be neither
  if (!dir.isDirectory() || dir.uid !== uid || (dir.mode & 0o777) !== 0o700) throw new Error(`${dirname(path)}: not a directory of uid ${uid} alone`)
  if (!socket.isSocket() || socket.uid !== uid || (socket.mode & 0o077)) throw new Error(`${path}: not a socket of uid ${uid} alone`)
}

/** Takes "IP:PORT" apart; an IPv6 address stands in brackets. */
function hostPort (text) {
  const [, v6, v4, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text) ?? []
  if (!net.isIP(v6 ?? v4 ?? '') || port < 1024) throw new Error(`${text}: not the address of a link`)
  return { host: v6 ?? v4, port: Number(port) }
}

/** Finds out who is at the other end of a socket, on a Unix one of user uid; with admit as the callee. Owns the socket. */
function shake (socket, kind, who, secret, uid, admit) {
  return new Promise((resolve, reject) => {
    if (socket.destroyed) throw new Error('gone while it waited')
    let shaken = false
    const late = after(admit ? TURN : SHAKE, () => shaken || socket.destroy())
    socket.once('close', () => { clearTimeout(late); reject(new Error('cut in the handshake')) })
    const done = (err, stream) => {
      shaken = true
      clearTimeout(late)
      if (err) { socket.destroy(); return reject(err) }
      const link = duplex(kind === 'unix' ? { source: unchunk(stream.source), sink: read => stream.sink(chunk(read)) } : stream)
      link.on('close', () => link.readableEnded && link.writableFinished ? socket.destroySoon() : socket.destroy())
      resolve(link)
    }
    const keys = sodiumKeys(who.keys); let key = purposeKey(who, secret)
    if (kind === 'unix') key = admit ? plainKey(key, uid, process.geteuid()) : plainKey(key, process.geteuid(), uid)
    const plain = kind === 'unix' ? 'Stream' : '' // of which secret-handshake leaves out the boxes
    const stream = admit
      ? shs['createServer' + plain](keys, (peer, cb) => cb(null, peer.equals(rawId(who.caller)) && admit()), key)(done)
      : shs['createClient' + plain](keys, key)(rawId(who.callee), done)
    const raw = toPull.duplex(socket)
    stream.sink(raw.source)
    raw.sink(stream.source)
  })
}

/** Puts what is read into chunks `length u32 ‖ bytes`; 0 is the goodbye. */
function chunk (read) {
  let over
  return (abort, cb) => {
    if (over || abort) return over ? cb(over) : read(abort, cb)
    read(null, (end, data) => {
      if (end && end !== true) return cb(end)
      over = end
      const head = Buffer.alloc(4)
      head.writeUInt32BE(end ? 0 : data.length)
      cb(null, end ? head : Buffer.concat([head, data]))
    })
  }
}

/** Takes chunks apart again. */
function unchunk (read) {
  let have = Buffer.alloc(0); let left = 0; let over
  return function next (abort, cb) {
    if (over || abort) return over ? cb(over) : read(abort, cb)
    if (left && have.length) {
      const piece = have.subarray(0, left)
      have = have.subarray(piece.length)
      left -= piece.length
      return cb(null, piece)
    }
    if (have.length >= 4) {
      left = have.readUInt32BE()
      have = have.subarray(4)
      return left ? next(null, cb) : cb(over = true)
    }
    read(null, (end, data) => {
      if (end) return cb(over = end === true ? new Error('unexpected hangup') : end)
      have = Buffer.concat([have, data])
      next(null, cb)
    })
  }
}
