// Stock secret-handshake against our handshake, each as client and as server:
// both must come to the same keys, and refuse the same things.

import assert from 'node:assert'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import SecretHandshake from 'secret-handshake'
import ssbKeys from 'ssb-keys'
import toPull from 'stream-to-pull-stream'
import { program, sodiumKeys } from './lib/bench.js'

const rounds = 20
const network = createHash('sha256').update('a network').digest()
const hex = buffer => buffer.toString('hex')

/** Starts our program; outcome is what it wrote after its messages of sent bytes. */
function ours (sent, ...args) {
  const child = spawn(program('shs1peer'), args)
  const said = []
  const copy = new PassThrough() // secret-handshake stops reading where its handshake ends
  child.stdout.on('data', data => { said.push(data); copy.write(data) })
  child.stdout.on('end', () => copy.end())
  child.stdin.on('error', () => {}) // it may be through before us
  const outcome = once(child, 'close').then(([code]) => ({ code, bytes: Buffer.concat(said).subarray(sent) }))
  return { source: toPull.source(copy), sink: toPull.sink(child.stdin), outcome, child }
}

/** Joins our program and a stream of secret-handshake; gives what both came to. */
async function shake (peer, make) {
  const theirs = await new Promise(resolve => {
    const stream = make((err, done) => resolve({ err, done }))
    stream.sink(peer.source)
    peer.sink(stream.source)
  })
  if (theirs.err) peer.child.stdin.end()
  return { theirs, outcome: await peer.outcome }
}

function assertAgree ({ theirs, outcome }) {
  assert.ifError(theirs.err)
  assert.equal(outcome.code, 0)
  const { encryptKey, encryptNonce, decryptKey, decryptNonce } = theirs.done.crypto
  assert.equal(hex(outcome.bytes), hex(Buffer.concat([decryptKey, decryptNonce, encryptKey, encryptNonce])))
}

function assertRefused ({ theirs, outcome }) {
  assert(theirs.err)
  assert.notEqual(outcome.code, 0)
  assert.equal(outcome.bytes.length, 0)
}

const admit = (key, cb) => cb(null, true)

test('our client, stock server', async () => {
  for (let i = 0; i < rounds; i++) {
    const keys = sodiumKeys(ssbKeys.generate())
    const server = SecretHandshake.createServer(keys, admit, network)
    assertAgree(await shake(ours(64 + 112, hex(network), hex(keys.publicKey)), server))
  }
})

test('our client, stock server that refuses', async () => {
  const keys = sodiumKeys(ssbKeys.generate())
  const server = SecretHandshake.createServer(keys, (key, cb) => cb(null, false), network)
  assertRefused(await shake(ours(64 + 112, hex(network), hex(keys.publicKey)), server))
})

test('our client with another network or server key, stock server', async () => {
  const keys = sodiumKeys(ssbKeys.generate())
  const server = SecretHandshake.createServer(keys, admit, network)
  assertRefused(await shake(ours(64, hex(randomBytes(32)), hex(keys.publicKey)), server))
  const other = sodiumKeys(ssbKeys.generate())
  assertRefused(await shake(ours(64 + 112, hex(network), hex(other.publicKey)), server))
})

test('stock client, our server', async () => {
  for (let i = 0; i < rounds; i++) {
    const [keys, own] = [sodiumKeys(ssbKeys.generate()), sodiumKeys(ssbKeys.generate())]
    const client = SecretHandshake.createClient(own, network)
    assertAgree(await shake(ours(64 + 80, hex(network), hex(keys.secretKey), hex(keys.publicKey)),
      cb => client(keys.publicKey, cb)))
  }
})

test('stock client with another network or server key, our server', async () => {
  const [keys, other] = [sodiumKeys(ssbKeys.generate()), sodiumKeys(ssbKeys.generate())]
  const server = () => ours(0, hex(network), hex(keys.secretKey), hex(keys.publicKey))
  const strange = SecretHandshake.createClient(other, randomBytes(32))
  assertRefused(await shake(server(), cb => strange(keys.publicKey, cb)))
  const client = SecretHandshake.createClient(other, network)
  const peer = ours(64, hex(network), hex(keys.secretKey), hex(keys.publicKey))
  assertRefused(await shake(peer, cb => client(other.publicKey, cb)))
})
