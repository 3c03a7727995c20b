#!/usr/bin/env node
// A plugin that sends back what it is sent. Start a switchboard, then
//
//   npm ci && node echo-plugin.js &
//   echo hi | sbctl connect org.example.js.echo
//
// It claims the name in the first argument, serves channels, and tells who comes
// and goes. Ctrl-C ends it in good order.
import { connect } from './switchboard.js'

const name = process.argv[2] ?? 'org.example.js.echo'
const bus = await connect()

await bus.serve(name, { info: { description: 'echo in JavaScript', protocol: 'bytes' } }, (channel, offer) => {
  console.log(`channel from ${offer.peer.id}`)
  // A cut is 'error', never 'end'. pipe() passes no error on: who pipes a channel
  // to another stream destroys that here, or uses stream.pipeline().
  channel.on('error', err => console.log(`channel cut: ${err.message}`))
  channel.on('end', () => console.log('channel ended'))
  channel.pipe(channel) // the caller's half-close comes back as ours
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
