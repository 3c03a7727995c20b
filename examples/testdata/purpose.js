// Checks the purpose key of a direct link against the vector in the file named.
import assert from 'node:assert'
import { readFileSync } from 'node:fs'
import { purposeKey } from '../js/links.js'
import { defaultNetworkKey as networkKey } from '../js/switchboard.js'

const [, block] = /```purpose\n([^`]+)```/.exec(readFileSync(process.argv[2], 'utf8'))
const { secret, channel, caller, callee, direct } = Object.fromEntries(block.trim().split('\n').map(line => line.split(/ +/)))
assert.equal(purposeKey({ networkKey, channel, caller, callee }, secret).toString('hex'), direct)
