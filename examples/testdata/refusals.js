// Checks what a library says no to, and how:
//
//   node refusals.js LIBRARY NAME TAKEN OPTIONS...
//
// NAME echoes, TAKEN has an owner, OPTIONS are of open(), each with one that the
// library does not do.

import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'

const [library, name, taken, ...all] = process.argv.slice(2)
const { connect } = await import(`../js/${library}.js`)
const bus = await connect()

/** Fails unless a call fails with an Error of that name and code. */
const refused = (promise, code) => assert.rejects(promise, err => {
  assert.ok(err instanceof Error, `${code}: no Error: ${JSON.stringify(err)}`)
  assert.deepEqual([err.name, err.code], [code, code])
  return true
})

for (const options of all) await refused(bus.open(name, JSON.parse(options)), 'not_supported')

// An option that asks for nothing is none.
const channel = await bus.open(name, { sealed: false, require: false, direct: [], meta: { a: 1 } })
channel.end('hello')
assert.equal(await text(channel), 'hello')

await refused(bus.rpc.names.get({ name: 'nobody.here' }), 'not_found')
await refused(bus.rpc.channel.direct({ channel: 'none' }), 'bad_request')
await refused(bus.open('nobody.here'), 'not_found')
await refused(bus.serve(taken, {}, () => {}), 'name_taken')

// A claim that failed leaves no handler behind: a channel to the session goes to the next.
const { name: own } = await bus.serve(`${name}.own`, {}, channel => channel.end('own'))
const other = await connect()
const { session } = await other.rpc.names.get({ name: own })
assert.equal(await text((await other.open(session)).end()), 'own')

await other.close()
await bus.close()
console.log('all refused')
process.exit()
