// npm's shs1-test, the cross-language suite of the handshake: 45 cases a role,
// most of them misbehaving peers, drawn anew for each seed. SHS1_SEEDS says how
// many seeds, SHS1_SEED repeats the draw of an earlier run.

import assert from 'node:assert'
import child from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'

const CASES = 45
const seeds = Number(process.env.SHS1_SEEDS ?? 200)
const draw = process.env.SHS1_SEED ?? randomBytes(8).toString('hex')

if (isMainThread) {
  assert(seeds > 0, 'SHS1_SEEDS')
  describe(`shs1-test: ${seeds} seeds of ${draw}`, { concurrency: 2 }, () => {
    for (const role of ['server', 'client']) {
      test(role, async () => {
        const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { role, draw }, stdout: true })
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
  const { role, draw } = workerData
  const failed = []
  let cases = 0
  const spawn = child.spawn
  child.spawn = (...args) => { cases++; return spawn(...args) }

  // Each script of the suite runs one seed and then ends the process: here it is
  // loaded once a seed, and its exit is its result.
  const require = createRequire(import.meta.url)
  const script = require.resolve(`shs1-test/test-${role}.js`)
  const peer = process.env.SWITCHBOARD_PROGRAMS + '/shs1peer'
  for (let i = 0; i < seeds; i++) {
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
