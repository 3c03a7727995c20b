// Packets that no library sends: after each, the session must be as it was, or be
// over, as PROTOCOL.md §3, §4 and §7 say.

import assert from 'node:assert'
import { after, before, describe, test } from 'node:test'
import { Bench } from './lib/bench.js'
import { END, goodbye, JSON_BODY, packet, Raw, request, STREAM } from './lib/raw.js'

let bench
before(async () => { bench = await new Bench().start() })
after(async () => assert.equal(await bench.stop(), 0))

const lane = async (i = 0) => new Raw(await bench.login(bench.keys[i]))

const error = code => (flags, req, body) => {
  assert.equal(body.name, code)
  assert.equal(body.stack, '')
  assert.equal(flags & END, END)
}
const asyncError = code => [JSON_BODY | END, -1, error(code)]
const streamError = code => [JSON_BODY | END | STREAM, -1, error(code)]
const J = Buffer.from

// what is sent, and the packets that answer it; a ping then shows that all is well
const survives = {
  'type sync': [request(1, 'whoami', [], 'async'), packet(JSON_BODY, 2, { name: ['ping'], args: [], type: 'sync' })],
  'a name that is a string, no type': [packet(JSON_BODY, 1, { name: 'ping', args: [] })],
  'unused flag bits': [packet(JSON_BODY | 0xf0, 1, { name: 'ping', args: [] })],
  'END for a call never made': [packet(JSON_BODY | END, 7, true), []],
  'END for a stream never opened': [packet(JSON_BODY | END | STREAM, 7, true), []],
  'an error END for a stream never opened': [packet(JSON_BODY | END | STREAM, 7, { name: 'x', message: 'x' }), []],
  'an answer to nothing': [packet(JSON_BODY, -7, { hello: 1 }), packet(JSON_BODY | END, -8, {}), []],
  'an item and an END for no stream of ours': [packet(JSON_BODY | STREAM, -7, 1), packet(JSON_BODY | STREAM | END, -7, true), []],
  'a one-way message of old': [packet(JSON_BODY, 0, { name: ['ping'], args: [] }), []],
  'the least request number': [packet(JSON_BODY, -0x80000000, 1), []],
  'a request without a body': [packet(JSON_BODY, 1, Buffer.alloc(0)), [asyncError('bad_request')]],
  'a stream without a body': [packet(JSON_BODY | STREAM, 1, Buffer.alloc(0)), [streamError('bad_request')]],
  'not JSON': [packet(JSON_BODY, 1, J('{"name":')), [asyncError('bad_request')]],
  'not UTF-8': [packet(JSON_BODY, 1, J([0x22, 0xff, 0x22])), [asyncError('bad_request')]],
  'two values': [packet(JSON_BODY, 1, J('{"name":"ping","args":[]} 1')), [asyncError('bad_request')]],
  null: [packet(JSON_BODY, 1, null), [asyncError('bad_request')]],
  'an array': [packet(JSON_BODY, 1, []), [asyncError('bad_request')]],
  'args that are no array': [packet(JSON_BODY, 1, { name: ['ping'], args: {} }), [asyncError('bad_request')]],
  'a name that is no name': [packet(JSON_BODY, 1, { name: 7, args: [] }), [asyncError('bad_request')]],
  'a repeated field': [packet(JSON_BODY, 1, J('{"name":["ping"],"args":[],"name":["whoami"]}')), [asyncError('bad_request')]],
  'a deep nest': [packet(JSON_BODY, 1, J(`{"name":["ping"],"args":[${'['.repeat(99)}${']'.repeat(99)}]}`)), [asyncError('bad_request')]],
  'an unknown method': [request(1, 'no.such'), [[JSON_BODY | END, -1]]],
  'the name of an inherited property': [request(1, '__proto__.constructor'), [[JSON_BODY | END, -1]]],
  'an unknown type': [request(1, 'names.watch', [{}], 'pump'), [streamError('bad_request')]],
  'an async method as a source': [request(1, 'ping', [], 'source'), [[JSON_BODY | END | STREAM, -1]]],
  'a source as async': [request(1, 'names.watch', [{}]), [[JSON_BODY | END, -1]]],
  'connect on a control lane': [request(1, 'connect', [{ to: 'x' }], 'duplex'), [streamError('bad_request')]],
  'connect on a control lane as async': [request(1, 'connect', [{ to: 'x' }]), [[JSON_BODY | END, -1]]],
  'a request as text': [packet(1, 1, J('{"name":["ping"],"args":[]}')), null],
  'a request as bytes': [packet(0, 1, J('{"name":["ping"],"args":[]}')), null],
  'body type 3': [packet(3, 1, { name: ['ping'], args: [] }), null]
}

describe('the session goes on', () => {
  for (const [what, [...sent]] of Object.entries(survives)) {
    test(what, async () => {
      const answers = Array.isArray(sent.at(-1)) || sent.at(-1) === null ? sent.pop() : sent.map((_, i) => [JSON_BODY, -1 - i])
      const peer = await lane()
      peer.send(request(99, 'ping'))
      assert.deepEqual((await peer.next()).slice(0, 2), [JSON_BODY, -99])
      peer.send(...sent, request(100, 'ping'))
      for (const [flags, req, check] of answers ?? []) {
        const got = await peer.next()
        assert.deepEqual(got.slice(0, 2), [flags, req])
        check?.(...got)
      }
      let last = await peer.next()
      if (answers === null && last[1] === -1) last = await peer.next() // an error or an answer, both will do
      assert.deepEqual(last.slice(0, 2), [JSON_BODY, -100])
      peer.send(goodbye)
      assert.deepEqual(await peer.bytes(9), goodbye)
      peer.end()
      assert.equal(await peer.ending(), 'goodbye')
    })
  }
})

describe('the session is over', () => {
  const ends = {
    'a length of 4 GiB': [request(1, 'ping'), packet(JSON_BODY, 2, Buffer.alloc(0), 0xffffffff)],
    'a body over 64 KiB': [request(1, 'ping'), packet(JSON_BODY, 2, Buffer.alloc(0), 65537)],
    'a first packet over 64 KiB': [packet(JSON_BODY, 1, Buffer.alloc(0), 65537)],
    'a first byte of no kind': [Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    'a first byte of text': [packet(1, 1, J('x'))]
  }
  for (const [what, sent] of Object.entries(ends)) {
    test(what, async () => {
      const peer = await lane()
      peer.send(...sent)
      assert.equal(await peer.ending(), 'cut')
      const other = await lane() // and nobody else is disturbed
      other.send(request(1, 'ping'))
      assert.deepEqual((await other.next()).slice(0, 2), [JSON_BODY, -1])
      other.abort()
    })
  }
})

test('a second END of a stream is not answered', async () => {
  const peer = await lane()
  peer.send(request(1, 'names.watch', [{ match: 'none' }], 'source'))
  assert.equal((await peer.next())[2].type, 'synced')
  const end = packet(JSON_BODY | END | STREAM, 1, true)
  peer.send(end, end, end, request(2, 'ping'))
  assert.deepEqual(await peer.next(), [JSON_BODY | END | STREAM, -1, true])
  assert.deepEqual((await peer.next()).slice(0, 2), [JSON_BODY, -2])
  peer.abort()
})

test('a goodbye first is answered, and that was all', async () => {
  const peer = await lane()
  peer.send(goodbye)
  assert.deepEqual(await peer.bytes(9), goodbye)
  assert.equal(await peer.ending(), 'goodbye')
})

test('bytes one by one, and everything at once', async () => {
  const peer = await lane()
  for (const byte of request(1, 'whoami')) peer.send(Buffer.from([byte]))
  assert.equal((await peer.next())[2].id, bench.keys[0].id)
  peer.send(Buffer.concat([2, 3, 4, 5].map(req => request(req, 'ping'))))
  for (const req of [2, 3, 4, 5]) assert.deepEqual((await peer.next()).slice(0, 2), [JSON_BODY, -req])
  peer.abort()
})

test('a half-close gets the open answers, then the end', async () => {
  const peer = await lane()
  peer.send(request(2, 'names.watch', [{ match: 'none' }], 'source'))
  assert.equal((await peer.next())[2].type, 'synced')
  peer.send(request(1, 'whoami'), request(3, 'ping'))
  peer.end()
  const got = []
  for (let i = 0; i < 3; i++) got.push((await peer.next()).slice(0, 2).join())
  assert.deepEqual(got.sort(), ['14,-2', '2,-1', '2,-3'])
  assert.equal(await peer.ending(), 'goodbye')
})

describe('a lane for a channel', () => {
  test('to nobody: the error, then the end', async () => {
    const peer = await lane()
    peer.send(request(1, 'connect', [{ to: 'nobody.here' }], 'duplex'))
    const got = await peer.next()
    assert.deepEqual(got.slice(0, 2), [JSON_BODY | END | STREAM, -1])
    assert.equal(got[2].name, 'not_found')
    peer.send(packet(JSON_BODY | END | STREAM, 1, true)) // a library's reflex; dropped
    peer.end()
    assert.equal(await peer.ending(), 'goodbye')
  })

  test('a wrong token: not_found, like every other accept that fits nothing', async () => {
    const peer = await lane()
    peer.send(request(1, 'accept', [{ channel: '0'.repeat(32), token: '0'.repeat(32) }], 'duplex'))
    assert.equal((await peer.next())[2].name, 'not_found')
    peer.end()
    assert.equal(await peer.ending(), 'goodbye')
  })

  test('offer, accept, bytes both ways, half-close, all by hand', async () => {
    const [control, caller, callee] = [await lane(0), await lane(1), await lane(0)]
    const name = 'interop.odd.channel'
    control.send(request(1, 'names.claim', [{ name }]))
    assert.equal((await control.next())[2].state, 'owner')

    caller.send(request(1, 'connect', [{ to: name, meta: { from: 'js' } }], 'duplex'))
    const [flags, req, { name: method, args: [offer], type }] = await control.next()
    assert.deepEqual([flags, req > 0, method, type], [JSON_BODY, true, ['offer'], 'async'])
    assert.deepEqual([offer.name, offer.peer.id, offer.meta], [name, bench.keys[1].id, { from: 'js' }])
    callee.send(request(1, 'accept', [{ channel: offer.channel, token: offer.token }], 'duplex')) // before the answer: counts as one
    assert.deepEqual(await callee.next(), [JSON_BODY | STREAM, -1, { channel: offer.channel }])
    const [f, r, answer] = await caller.next()
    assert.deepEqual([f, r, answer.channel, answer.peer.id], [JSON_BODY | STREAM, -1, offer.channel, bench.keys[0].id])
    control.send(packet(JSON_BODY | END, -req, { name: 'refused', message: 'too late' })) // ignored by now

    const [there, back] = [Buffer.from('0a\0\0 looks like a packet'), Buffer.alloc(100_000, 'x')]
    caller.send(there)
    caller.end() // half-close: the other way goes on
    assert.deepEqual(await callee.bytes(there.length), there)
    assert.equal(await callee.ending(), 'goodbye')
    callee.send(back)
    assert.deepEqual(await caller.bytes(back.length), back)
    callee.end()
    assert.equal(await caller.ending(), 'goodbye')

    control.send(request(2, 'ping'))
    assert.deepEqual((await control.next()).slice(0, 2), [JSON_BODY, -2])
    control.abort()
  })

  test('a cut passes through as a cut', async () => {
    const [control, caller, callee] = [await lane(0), await lane(1), await lane(0)]
    const name = 'interop.odd.cut'
    control.send(request(1, 'names.claim', [{ name }]))
    await control.next()
    caller.send(request(1, 'connect', [{ to: name }], 'duplex'))
    const [, , { args: [offer] }] = await control.next()
    callee.send(request(1, 'accept', [{ channel: offer.channel, token: offer.token }], 'duplex'))
    await Promise.all([callee.next(), caller.next()])
    caller.send(Buffer.from('some'))
    await callee.bytes(4)
    caller.abort()
    assert.equal(await callee.ending(), 'cut')
    control.abort()
  })

  test('a byte before the answer resets the lane', async () => {
    const [control, caller] = [await lane(0), await lane(1)]
    const name = 'interop.odd.hasty'
    control.send(request(1, 'names.claim', [{ name }]))
    await control.next()
    caller.send(request(1, 'connect', [{ to: name }], 'duplex'))
    const [, , { args: [offer] }] = await control.next()
    caller.send(Buffer.from('x'))
    assert.equal(await caller.ending(), 'cut')
    const [flags, , { name: method, args: [why] }] = await control.next()
    assert.deepEqual([flags, method.join('.')], [JSON_BODY, 'channel.close'])
    assert.deepEqual(why, { channel: offer.channel, reason: 'peer_gone' })
    control.abort()
  })
})
