// Calls a name over stock @chainsafe/libp2p-yamux, for the Go tests:
//
//   node yamux-call.js NAME SIZE    sends SIZE bytes, half-closes, compares what comes back
//   node yamux-call.js NAME reset   says something, hears it, aborts
//   node yamux-call.js NAME cut     says something, waits for the other end's abort

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from '../../../examples/js/yamux.js'

const [name, what] = process.argv.slice(2)
const bus = await connect()
const channel = await bus.open(name, { direct: [] }) // yamux is what is tested, so it stays on it

if (what === 'reset' || what === 'cut') {
  channel.on('error', err => console.log(`cut: ${err.message}`))
  channel.on('end', () => console.log('ended'))
  const closed = new Promise(resolve => channel.once('close', resolve)) // once() takes an error for its own
  channel.write('something')
  if (what === 'cut') channel.resume() // the abort may overtake what is said before it
  else channel.once('data', () => channel.destroy())
  await closed
} else {
  const [sent, got] = [createHash('sha256'), createHash('sha256')]
  let came = 0
  channel.on('data', data => { got.update(data); came += data.length })
  const ended = once(channel, 'end')
  for (let left = Number(what); left > 0;) {
    const piece = randomBytes(Math.min(left, 50_000))
    left -= piece.length
    sent.update(piece)
    if (!channel.write(piece)) await once(channel, 'drain')
  }
  channel.end()
  await ended
  console.log(`${came} bytes, ${sent.digest('hex') === got.digest('hex') ? 'equal' : 'others'}`)
}
console.log('done')
await bus.close()
