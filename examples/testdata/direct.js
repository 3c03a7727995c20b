// A peer for the tests of direct links. It tells what happens line by line, and
// does what it is told so:
//
//   node direct.js serve NAME           echoes; abort: aborts the last channel
//   node direct.js talk NAME            waits for a move, then says 1 MiB and ends
//   node direct.js call NAME [OPTIONS]  talks to an echo, before, during and behind a move;
//                                       move: asks for it; more: says 4 MiB; end; abort
//   node direct.js listen NAME OPTIONS  ends at once, then asks for a move, and listens

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { connect } from '../js/yamux.js'

const [what, name, options = '{}'] = process.argv.slice(2)
const bus = await connect()
const say = text => console.log(text)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const told = async () => (await lines.next()).value

const watched = channel => {
  channel.on('error', err => say(`cut: ${err.name} ${err.message}`))
  channel.on('moved', kind => say(`moved to ${kind} after ${channel.sent} out, ${channel.received} in`))
  channel.on('end', () => say('ended'))
  return channel
}

/** Sends pieces until more() is false, and counts and hashes what goes. */
async function pump (channel, sent, more) {
  while (more()) {
    const piece = randomBytes(1 + Math.floor(Math.random() * 50_000))
    sent.hash.update(piece)
    sent.bytes += piece.length
    if (!channel.write(piece)) await once(channel, 'drain')
  }
}

/** Asks for a move until it is made: a busy machine may miss the times of one. */
async function move (channel) {
  while (!channel.kind && !channel.destroyed) {
    await bus.direct(channel).catch(err => { say(`stays: ${err.message}`); return pause(1000) })
  }
}

const tally = () => ({ hash: createHash('sha256'), bytes: 0 })

async function call () {
  const [sent, got] = [tally(), tally()]
  const channel = watched(await bus.open(name, JSON.parse(options)))
  channel.on('data', data => { got.hash.update(data); got.bytes += data.length })
  say('open')
  const moved = channel.kind ? null : once(channel, 'moved')
  if (moved) await pump(channel, sent, () => sent.bytes < 1 << 20)
  say('before')
  for (;;) {
    const order = await told()
    if (order === 'move') {
      const asked = move(channel)
      await pump(channel, sent, () => !channel.kind)
      await asked
    }
    if (order === 'wait') await pump(channel, sent, () => !channel.kind)
    if (order === 'more') {
      const until = sent.bytes + (4 << 20)
      await pump(channel, sent, () => sent.bytes < until)
      while (got.bytes < sent.bytes) await once(channel, 'data')
      say('echoed')
    }
    if (order === 'abort') return channel.destroy()
    if (order !== 'end') continue
    channel.end()
    await once(channel, 'end')
    const equal = got.hash.digest('hex') === sent.hash.digest('hex')
    return say(`${got.bytes} of ${sent.bytes} bytes, ${equal ? 'equal' : 'others'}`)
  }
}

async function listen () {
  const channel = watched(await bus.open(name, JSON.parse(options)))
  let bytes = 0
  channel.on('data', data => { bytes += data.length })
  const ended = once(channel, 'end')
  channel.end()
  await once(channel, 'finish')
  await move(channel)
  await ended
  say(`${bytes} bytes came`)
}

async function serve () {
  let last
  await bus.serve(name, {}, channel => {
    last = watched(channel)
    say('channel')
    if (what === 'serve') return channel.pipe(channel)
    channel.resume()
    channel.once('moved', () => channel.end(Buffer.alloc(1 << 20)))
  })
  say('serving')
  for (let order = await told(); order !== undefined; order = await told()) {
    if (order === 'abort') last.destroy()
  }
}

await { call, listen, serve, talk: serve }[what]()
await bus.close()
say('done')
process.exit()
