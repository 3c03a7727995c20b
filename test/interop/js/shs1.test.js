// npm's shs1-test, the cross-language suite of the handshake: 45 cases a role,
// most of them misbehaving peers, drawn anew for each seed. SHS1_SEEDS says how
// many seeds, SHS1_SEED repeats the draw of an earlier run. The first seed has a
// process of ours for each case; the others share one that serves them all, which
// takes a twentieth of the time. Neither may die of anything but a refusal.

import assert from 'node:assert'
import child from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { describe, test } from 'node:test'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'

const CASES = 45
const seeds = Number(process.env.SHS1_SEEDS ?? 200)
const draw = process.env.SHS1_SEED ?? randomBytes(8).toString('hex')
const peer = process.env.SWITCHBOARD_PROGRAMS + '/shs1peer'

if (isMainThread) {
  assert(seeds > 0, 'SHS1_SEEDS')
  describe(`shs1-test: ${seeds} seeds of ${draw}`, { concurrency: 2 }, () => {
    for (const role of ['server', 'client']) {
      test(role, async t => {
        const dir = mkdtempSync(tmpdir() + '/shs1')
        const many = child.spawn(peer, ['-serve', dir + '/s'], { stdio: 'pipe' })
        let complaint = ''
        many.stderr.on('data', data => { complaint += data })
        const ended = once(many, 'close')
        t.after(async () => {
          many.stdin.end()
          const [code] = await ended
          rmSync(dir, { recursive: true })
          assert.deepEqual([code, complaint], [0, ''], 'the end of the peer that serves many')
        })
        await once(many.stdout, 'data') // it listens
        const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { role, draw, path: dir + '/s' }, stdout: true })
        let said = ''
        worker.stdout.on('data', data => { said = (said + data).slice(-100_000) })
        const { failed, cases } = await new Promise((resolve, reject) =>
          worker.once('message', resolve).once('error', reject).once('exit', code => reject(new Error(`exit ${code}`))))
        assert.deepEqual(failed, [], said)
        assert.equal(cases, seeds * CASES)
      })
    }
  })
} else {
  const { role, draw, path } = workerData
  const failed = []
  let cases = 0
  let one = true // a process for each
  const spawn = child.spawn
  child.spawn = (program, args) => {
    cases++
    const it = one ? spawn(program, args) : new Served(args)
    it.on('close', (code, signal) => { if (code > 1 || (code === null && !signal)) failed.push(`the peer died with ${code}`) })
    return it
  }

  /** A case of the peer that serves many, in the shape of a child process. */
  class Served extends EventEmitter {
    stdout = new EventEmitter()
    stderr = new EventEmitter()
    constructor (args) {
      super()
      this.stdin = net.connect(path)
      let rest = Buffer.alloc(0)
      let code = null
      this.stdin.on('data', data => {
        rest = Buffer.concat([rest, data])
        while (rest.length > rest[0] + (rest[0] === 0)) {
          const size = rest[0]
          if (size === 0) code = rest[1]
          else this.stdout.emit('data', rest.subarray(1, 1 + size))
          rest = rest.subarray(size === 0 ? 2 : 1 + size)
        }
      })
      this.stdin.on('error', () => {}) // it may be through before us
      this.stdin.on('close', () => this.emit('close', code, this.killed ? 'SIGTERM' : null))
      this.stdin.write(args.join(' ') + '\n')
    }

    kill () {
      this.killed = true
      this.stdin.destroy()
    }
  }

  // Each script of the suite runs one seed and then ends the process: here it is
  // loaded once a seed, and its exit is its result.
  const require = createRequire(import.meta.url)
  const script = require.resolve(`shs1-test/test-${role}.js`)
  for (let i = 0; i < seeds; i++) {
    one = i === 0
    const seed = `${draw}-${role}-${i}`
    const failures = await new Promise(resolve => {
      process.argv = [process.argv[0], script, peer, seed]
      process.exit = resolve
      delete require.cache[script]
      require(script)
    })
    if (failures) failed.push(`${failures} of seed ${seed}`)
  }
  parentPort.postMessage({ failed, cases })
}
