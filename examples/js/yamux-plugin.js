#!/usr/bin/env node
// The echo plugin over yamux: one connection for everything.
//
//   npm ci && node yamux-plugin.js &
//   echo hi | sbctl connect org.example.js.yamux
import { connect } from './yamux.js'

const name = process.argv[2] ?? 'org.example.js.yamux'
const bus = await connect()

await bus.serve(name, { info: { description: 'echo over yamux', protocol: 'bytes' } }, (channel, offer) => {
  console.log(`channel from ${offer.peer.id}`)
  channel.on('error', err => console.log(`channel cut: ${err.message}`))
  channel.on('end', () => console.log('channel ended'))
  channel.pipe(channel)
})
console.log(`listening as ${name}`)

process.once('SIGINT', () => bus.close())
process.once('SIGTERM', () => bus.close())

try {
  for await (const { type, name, entry, was } of bus.watch()) {
    console.log(type, name ?? '', (entry ?? was)?.id ?? '')
  }
} catch (err) {
  console.log(`the watch ended: ${err.message}`)
}
await bus.closed
console.log('goodbye')
