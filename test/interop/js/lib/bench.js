// A running server for a test file, and the peers that it admits.

import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import multiserver from 'multiserver'
import netPlugin from 'multiserver/plugins/net.js'
import shsPlugin from 'multiserver/plugins/shs.js'
import unixPlugin from 'multiserver/plugins/unix-socket.js'
import ssbKeys from 'ssb-keys'

const programs = process.env.SWITCHBOARD_PROGRAMS
if (!programs) throw new Error('SWITCHBOARD_PROGRAMS is not set: start the tests with run.sh')

/** The path of one of our programs. */
export const program = name => join(programs, name)

export const networkKey = createHash('sha256').update('switchboard/1').digest()

const raw = key => Buffer.from(key.replace('.ed25519', ''), 'base64')

/** A key pair of ssb-keys as sodium wants it. */
export const sodiumKeys = keys => ({ publicKey: raw(keys.public), secretKey: raw(keys.private) })

/** A server on a Unix socket and a TCP port that admits three keys. */
export class Bench {
  dir = mkdtempSync(join(tmpdir(), 'sb')) // short: a socket's path has little room
  keys = [1, 2, 3].map(() => ssbKeys.generate())
  log = ''

  async start () {
    const peers = join(this.dir, 'peers')
    writeFileSync(peers, this.keys.map(keys => keys.id + ' level=trusted\n').join(''), { mode: 0o600 })
    const file = join(this.dir, 'address')
    this.server = spawn(program('switchboard'), [
      '--listen', `unix:${this.dir}/bus.sock`, '--listen', 'net:127.0.0.1:0', '--log-level', 'debug',
      '--key', join(this.dir, 'server.key'), '--authorized-peers', peers, '--address-file', file])
    this.server.stderr.on('data', data => { this.log += data })
    this.exited = once(this.server, 'exit')
    const started = new Promise(resolve => {
      let said = ''
      this.server.stdout.on('data', data => { if ((said += data).includes('try:')) resolve() })
    })
    await Promise.race([started, this.exited])
    if (this.server.exitCode !== null) throw new Error('the server did not start: ' + this.log)
    const [unix, net] = readFileSync(file, 'utf8').trim().split(';')
    this.addresses = { unix, net }
    return this
  }

  /** Stops the server and gives its exit code. */
  async stop () {
    this.server.kill('SIGTERM')
    const [code] = await this.exited
    rmSync(this.dir, { recursive: true })
    return code
  }

  /** Logs in: a pull-stream duplex. */
  async login (keys, address = this.addresses.net) {
    const shs = shsPlugin({ keys: sodiumKeys(keys), appKey: networkKey, timeout: 5000 })
    const net = netPlugin({})
    // Header and body are two writes: Nagle would wait 40 ms between them.
    const prompt = { ...net, parse: text => { const at = net.parse(text); return at && { ...at, noDelay: true } } }
    const ms = multiserver([[unixPlugin({ path: this.dir }), shs], [prompt, shs]])
    return promisify(ms.client)(address)
  }

  /** Runs sbctl over the Unix socket and gives what it prints. */
  async sbctl (...args) {
    const all = ['--address', this.addresses.unix, ...args]
    return (await promisify(execFile)(program('sbctl'), all)).stdout
  }
}
