#!/usr/bin/env node
// A client: lists the names, watches until the wanted one is there, opens a
// channel to it, says something, half-closes, and prints what comes back.
//
//   node client.js [--yamux] [NAME [TEXT]]
import { text } from 'node:stream/consumers'

const args = process.argv.slice(2)
const yamux = args[0] === '--yamux' && args.shift()
const { connect } = await import(yamux ? './yamux.js' : './switchboard.js')

const [name = 'org.example.js.echo', words = 'hello'] = args
const bus = await connect()

const { id, session } = await bus.rpc.whoami()
console.log(`I am ${id}, session ${session}`)

const { names } = await bus.rpc.names.list({})
for (const entry of names) console.log(`${entry.name} is ${entry.id} over ${entry.transport}`)

for await (const event of bus.watch({ match: name })) {
  if (event.type === 'synced') console.log(`waiting for ${name}`)
  if (event.entry) break // connected, moved or updated: it is there
}

const channel = await bus.open(name, { meta: { language: 'JavaScript' } })
console.log(`talking to ${channel.peer.id}`)
channel.end(words) // the last words, and the half-close
console.log(`answer: ${await text(channel)}`)

await bus.close()
