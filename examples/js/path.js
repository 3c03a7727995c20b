// A channel that may leave its lane at the server for a link while it is in use
// (PROTOCOL.md §10, "The move"). To whoever reads and writes it, it is one Duplex
// all the time: end() is the half-close, 'end' the other's, destroy() the abort
// and 'error' the other's abort, or that the move went wrong.
//
// Each direction moves by itself. A mark at the head of the link says how many
// bytes went over the lane before, and whether more are to come:
//
//   ours:    LANE ── commit: mark 01 ──▸ LINK            the caller commits when it has a link,
//              └── end() ──▸ ENDED (mark 00)             the callee when it has read the caller's
//   theirs:  LANE ── mark 01, and all it counts ──▸ LINK mark and all it counts
//              └── the lane's end ──▸ ENDED (mark 00)
//
// Events: 'moved' once this end needs its lane no more; kind is set then.

import { Duplex } from 'node:stream'
import { take } from './switchboard.js'

const LANE = 'lane'; const ENDED = 'ended on the lane'; const LINK = 'link'

const COMMIT = 5_000 // ms: a caller that cannot write its mark gives the link up
const MARK = 10_000 // ms: so does a callee that gets none
const LINGER = 5_000 // ms that a closed channel waits for the other's mark
const REASON = 50 // ms that the end of a way waits for the server's channel.close, which comes on another lane

export class Path extends Duplex {
  kind = null // of the link, once the channel has moved
  sent = 0 // bytes, over lane and link
  received = 0

  #lane; #caller
  #link = null
  #wanted = false // a link is there, or about to be
  #out = LANE; #in = LANE
  #outCount = 0; #inCount = 0 // bytes over the lane
  #mark = null // theirs: { more, count }
  #committed = false // our mark is on the link
  #writing = false
  #aborted = false

  constructor (lane, caller) {
    super()
    this.#lane = lane
    this.#caller = caller
    lane.on('data', this.#fromLane).on('end', this.#laneEnd).on('error', err => this.#died(lane, err))
  }

  /** Whether a link would be of use. A callee asks before the caller learns that it is proven. */
  register () {
    if (this.#wanted || this.#finished || this.destroyed) return false
    this.#wanted = true
    return true
  }

  /** Takes the channel over to a link, which it owns. After false it is still where it was, if it is not destroyed. */
  move (link, kind) {
    this.#link = Object.assign(link, { kind })
    link.on('error', err => this.#died(link, err))
    if (this.#aborted) link.destroy()
    const late = setTimeout(() => { if (!this.#moving && this.#link === link) this.#drop() }, this.#caller ? COMMIT : MARK)
    this.#step()
    take(link, 9).then(head => this.#marked(head), () => {}) // 'error' says it, too
    return new Promise(resolve => {
      this.once('moved', () => resolve(true))
      link.once('close', () => resolve(this.kind !== null))
    }).finally(() => clearTimeout(late))
  }

  _read () { (this.#in === LINK ? this.#link : this.#lane).resume() }

  _write (data, _, done) {
    const way = this.#way()
    this.#writing = true
    this.sent += data.length
    if (way === this.#lane) this.#outCount += data.length
    way.write(data, err => {
      this.#writing = false
      if (err) return this.#died(way, err)
      this.#step()
      done()
    })
  }

  _final (done) {
    const way = this.#way()
    if (way === this.#lane) this.#out = ENDED
    way.end(err => {
      if (err && !(way === this.#lane && this.kind)) return this.#died(way, err)
      done()
    })
  }

  _destroy (err, done) {
    if (err || !this.readableEnded || !this.writableFinished) { // an abort
      this.#aborted = true
      this.#lane.destroy()
      this.#link?.destroy()
    } else if (this.#link && !this.kind) { // the other may still need our mark
      const late = setTimeout(() => this.#link?.destroy(), LINGER)
      this.once('moved', () => clearTimeout(late))
    }
    done(err)
  }

  #way () { return this.#out === LINK ? this.#link : this.#lane }

  /** A mark was written or read: there is no way back. */
  get #moving () { return this.#committed || this.#mark !== null }

  /** Both directions have ended on the lane: nothing was or will be on a link. */
  get #finished () { return this.#out === ENDED && this.#in === ENDED }

  /** The lane has nothing more for us, and we know it. */
  get #drained () { return this.#mark !== null && this.#in !== LANE }

  #fromLane = data => {
    this.#inCount += data.length
    if (this.#inCount > this.#mark?.count) return this.#break('hole')
    this.received += data.length
    if (!this.push(data)) this.#lane.pause()
    this.#turn()
  }

  #laneEnd = () => {
    this.#in = ENDED
    if (!this.#fits()) return this.#break('hole')
    this.push(null)
    this.#step()
  }

  #marked (head) {
    const [type, count] = [head[0], head.readBigUInt64BE(1)]
    this.#mark = { more: type === 1, count: Number(count) }
    if (type > 1 || !this.#fits()) return this.#break('hole')
    if (!this.#mark.more) this.#link.on('data', () => this.#break('hole')) // nothing but the goodbye is behind it
    this.#turn()
    this.#step()
  }

  /** Whether what has come over the lane is what the mark says, as far as we have both. */
  #fits () {
    if (!this.#mark) return true
    const { more, count } = this.#mark
    return this.#in === ENDED ? !more && count === this.#inCount : count >= this.#inCount
  }

  /** Goes on reading at the link when the lane has given all. */
  #turn () {
    if (this.#in !== LANE || !this.#mark?.more || this.#inCount < this.#mark.count) return
    this.#in = LINK
    this.#lane.off('data', this.#fromLane).off('end', this.#laneEnd).pause()
    this.#link.on('data', data => {
      this.received += data.length
      if (!this.push(data)) this.#link.pause()
    }).on('end', () => this.push(null))
    this.#step()
  }

  /** Commits when it is time, and tells when we are through with the lane. */
  #step () {
    if (this.#aborted) return
    if (this.#link && !this.#link.destroyed && !this.#committed && !this.#writing && (this.#caller || this.#drained)) {
      const mark = Buffer.alloc(9)
      mark[0] = this.#out === LANE ? 1 : 0
      mark.writeBigUInt64BE(BigInt(this.#outCount), 1)
      this.#committed = true
      this.#link.write(mark)
      if (this.#out === LANE) this.#out = LINK
      else this.#link.end()
    }
    if (!this.#committed || !this.#drained || this.kind) return
    this.kind = this.#link.kind
    this.emit('moved', this.kind)
  }

  /** The lane or the link has died. */
  #died (way, err) {
    if (way === this.#lane) {
      if (this.kind) return // we are through with it
      return this.#moving ? this.#lose('relay_lost', err) : this.destroy(err)
    }
    if (way !== this.#link) return
    if (this.#moving && !this.#finished) this.#lose('link_lost', err)
    else this.#drop()
  }

  /** Forgets a link that came to nothing. */
  #drop () {
    this.#link.destroy()
    this.#link = null
    this.#wanted = false
  }

  /** Breaks the channel, unless the server says why in a moment. */
  #lose (code, cause) { setTimeout(() => this.#break(code, cause), REASON) }

  /** Resets the channel on both ways. */
  #break (code, cause) {
    this.destroy(Object.assign(new Error(`the channel is cut: ${code}`, { cause }), { name: code }))
  }
}
