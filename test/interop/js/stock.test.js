// Stock ssb-client and stock muxrpc as clients of a running server.

import assert from 'node:assert'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { join } from 'node:path'
import { promisify } from 'node:util'
import muxrpc from 'muxrpc'
import pull from 'pull-stream'
import ssbClient from 'ssb-client'
import ssbKeys from 'ssb-keys'
import { Bench, networkKey } from './lib/bench.js'
import { Raw, request } from './lib/raw.js'

let bench
before(async () => { bench = await new Bench().start() })
after(async () => assert.equal(await bench.stop(), 0))

/** ssb-client over TCP; its Unix sockets know no Secret Handshake. */
const ssb = (keys, more) => promisify(ssbClient)(keys, {
  remote: bench.addresses.net, caps: { shs: networkKey.toString('base64') }, ...more
})

/** muxrpc on a connection of multiserver, with the manifest of the server. */
async function rpc (keys, address) {
  const stream = await bench.login(keys, address)
  const peer = await new Promise((resolve, reject) => {
    const peer = muxrpc(err => err ? reject(err) : resolve(peer))
    pull(stream, peer.stream, stream)
  })
  return peer
}

const close = peer => promisify(peer.close.bind(peer))()

/** Reads a source: next() gives an event, or 'end', or the error. */
function reader (source) {
  const next = () => new Promise(resolve =>
    source(null, (end, event) => resolve(end === true ? 'end' : end || event)))
  return { next, abort: () => new Promise(resolve => source(true, resolve)) }
}

const refused = (promise, code) => assert.rejects(promise, err => {
  assert.equal(err.name, code)
  assert.equal(typeof err.message, 'string')
  assert.equal(err.stack, '')
  return true
})

test('ssb-client builds its calls from our manifest', async () => {
  const client = await ssb(bench.keys[0])
  for (const call of ['whoami', 'ping', 'manifest', 'connect', 'accept']) assert.equal(typeof client[call], 'function', call)
  for (const call of ['claim', 'release', 'update', 'list', 'get', 'watch']) assert.equal(typeof client.names[call], 'function', call)
  assert.equal(client.id, (await client.whoami()).server.id)
  await close(client)
})

test('ssb-client: whoami, ping, and callbacks as well as promises', async () => {
  const client = await ssb(bench.keys[0])
  const me = await client.whoami()
  assert.equal(me.id, bench.keys[0].id)
  assert.match(me.session, /^:[1-9][0-9]*$/)
  assert.deepEqual(me.names, [])
  assert.equal(me.server.protocol, '1')
  const now = await promisify(client.ping)()
  assert(Math.abs(now - Date.now()) < 60_000)
  await close(client)
})

test('ssb-client with a manifest of its own asks for none', async () => {
  const client = await ssb(bench.keys[0], { manifest: { whoami: 'sync' } }) // sync is async on the wire
  assert.equal((await client.whoami()).id, bench.keys[0].id)
  await close(client)
})

test('ssb-client: a key that is not admitted, and a wrong server key', async () => {
  const silent = /could not connect/ // a server says nothing before a login
  await assert.rejects(ssb(ssbKeys.generate()), silent)
  const wrong = bench.addresses.net.replace(/shs:.*/, 'shs:' + bench.keys[1].public.replace('.ed25519', ''))
  await assert.rejects(ssb(bench.keys[0], { remote: wrong }), silent)
  await assert.rejects(ssb(bench.keys[0], { caps: { shs: Buffer.alloc(32, 1).toString('base64') } }), silent)
})

for (const transport of ['unix', 'net']) {
  test(`names over ${transport}`, async () => {
    const [a, b] = [await ssb(bench.keys[0]), await rpc(bench.keys[1], bench.addresses[transport])]
    const name = `interop.names.${transport}`
    const info = { description: 'ä', list: [1, null, { deep: true }] }

    const claim = await b.names.claim({ name, info })
    assert.equal(claim.name, name)
    assert.equal(claim.state, 'owner')
    assert(Number.isSafeInteger(claim.epoch) && claim.epoch === claim.rev)
    assert.deepEqual((await b.whoami()).names, [name])

    const entry = await a.names.get({ name })
    assert.equal(entry.id, bench.keys[1].id)
    assert.equal(entry.transport, transport)
    assert.equal(entry.epoch, claim.epoch)
    assert.deepEqual(entry.info, info)
    const page = await a.names.list({ match: 'interop.names.*' })
    assert.deepEqual(page.names.map(entry => entry.name), [name])
    assert(!('info' in page.names[0]))

    await refused(a.names.claim({ name }), 'name_taken')
    assert.equal((await a.names.claim({ name, queue: true })).state, 'waiting')
    await refused(a.names.update({ name, info: {} }), 'not_owner')
    assert((await b.names.update({ name, info: { v: 2 } })).rev > claim.rev)
    await b.names.release({ name })
    assert.equal((await a.names.get({ name })).id, bench.keys[0].id)
    await a.names.release({ name })
    await refused(a.names.get({ name }), 'not_found')
    await Promise.all([close(a), close(b)])
  })
}

test('errors keep their codes', async () => {
  const client = await ssb(bench.keys[0])
  await refused(client.names.claim({ name: '1' }), 'name_invalid')
  await refused(client.names.claim({ name: 'switchboard.x' }), 'not_allowed')
  await refused(client.names.claim({ name: 7 }), 'bad_request')
  await refused(client.names.claim({ name: 'a' }, { name: 'b' }), 'bad_request')
  await refused(client.names.list({ match: 'a**' }), 'bad_request')
  await refused(client.names.get({ name: 'nobody.here' }), 'not_found')
  await refused(client.names.release({ name: 'nobody.here' }), 'not_owner')
  assert.equal((await client.whoami()).id, bench.keys[0].id) // none of them ended the session
  await close(client)
})

test('a watch sees everything, and ends when it is aborted', async () => {
  const [a, b] = [await ssb(bench.keys[0]), await rpc(bench.keys[1])]
  await b.names.claim({ name: 'interop.watch.first' })
  const watch = reader(a.names.watch({ match: 'interop.watch.*' }))

  const first = await watch.next()
  assert.deepEqual([first.type, first.name, first.entry.id], ['connected', 'interop.watch.first', bench.keys[1].id])
  const synced = await watch.next()
  assert.equal(synced.type, 'synced')
  assert.equal(first.rev, synced.rev)

  await b.names.claim({ name: 'interop.elsewhere' })
  const { rev } = await b.names.claim({ name: 'interop.watch.second' })
  await b.names.update({ name: 'interop.watch.second', info: 'hello' })
  await close(b)
  const seen = []
  for (let i = 0; i < 4; i++) seen.push(await watch.next())
  assert.deepEqual(seen.map(e => [e.type, e.name]), [
    ['connected', 'interop.watch.second'], ['updated', 'interop.watch.second'],
    ['disconnected', 'interop.watch.first'], ['disconnected', 'interop.watch.second']])
  assert.equal(seen[0].rev, rev)
  assert.equal(seen[1].entry.info, 'hello')
  assert.equal(seen[3].was.id, bench.keys[1].id)
  assert(!('entry' in seen[3]))

  await watch.abort()
  await close(a) // which waits for every open stream
})

test('a watch that cannot be: its error is the end of the source', async () => {
  const client = await ssb(bench.keys[0])
  const end = await reader(client.names.watch({ match: '..' })).next()
  assert.equal(end.name, 'bad_request')
  await close(client)
})

test('a client that came and went: goodbye is all it says', async () => {
  const stream = await bench.login(bench.keys[2])
  const peer = muxrpc({ whoami: 'async' })
  pull(stream, peer.stream, stream)
  const closed = once(peer, 'closed')
  await close(peer)
  await closed
})

test('closing frees the names at once', async () => {
  const [a, b] = [await ssb(bench.keys[0]), await ssb(bench.keys[0])]
  await a.names.claim({ name: 'interop.gone' })
  const watch = reader(b.names.watch({ match: 'interop.gone' }))
  for (const type of ['connected', 'synced']) assert.equal((await watch.next()).type, type)
  await close(a)
  assert.equal((await watch.next()).type, 'disconnected')
  await watch.abort()
  await close(b)
})

test('an offer to stock muxrpc: its error is a refusal, without its stack', async () => {
  const stream = await bench.login(bench.keys[1])
  const offers = []
  const api = { offer: (offer, cb) => { offers.push(offer); cb(new Error('not\u0007 today')) } }
  const callee = await new Promise((resolve, reject) => {
    const callee = muxrpc(err => err ? reject(err) : resolve(callee), { offer: 'async' }, api)
    pull(stream, callee.stream, stream)
  })
  await callee.names.claim({ name: 'interop.shy' })
  const caller = new Raw(await bench.login(bench.keys[0]))
  caller.send(request(1, 'connect', [{ to: 'interop.shy' }], 'duplex'))
  assert.deepEqual(await caller.next(), [14, -1, { name: 'refused', message: 'not today', stack: '' }])
  assert.equal(offers.length, 1)
  assert.match(offers[0].token, /^[0-9a-f]{32}$/)
  caller.end()
  await close(callee)
})

test('key files: theirs for sbctl, ours for ssb-keys', async () => {
  const theirs = join(bench.dir, 'theirs')
  const keys = ssbKeys.createSync(theirs)
  assert.match(await bench.sbctl('--key', theirs, 'whoami'), new RegExp(keys.id.replace(/[+.]/g, '\\$&')))
  const ours = join(bench.dir, 'ours')
  const id = (await bench.sbctl('key', 'new', ours)).trim()
  const loaded = ssbKeys.loadSync(ours)
  assert.equal(loaded.id, id)
  const client = await rpc(loaded, bench.addresses.unix)
  assert.equal((await client.whoami()).id, id)
  await close(client)
})

test('a server that stops says goodbye: calls are answered, watches ended', async () => {
  const other = await new Bench().start()
  const stream = await other.login(other.keys[0])
  const peer = await new Promise((resolve, reject) => {
    const peer = muxrpc(err => err ? reject(err) : resolve(peer))
    pull(stream, peer.stream, stream)
  })
  const watch = reader(peer.names.watch({}))
  assert.equal((await watch.next()).type, 'synced')
  const [closed, end] = [once(peer, 'closed'), watch.next()]
  assert.equal(await other.stop(), 0)
  const last = await end
  assert(last === 'end' || last.name === 'shutting_down', String(last))
  await closed
})
