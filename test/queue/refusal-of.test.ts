import { expect, test } from 'vitest'
import { refusalIn } from '../../packages/queue/src/refusal-of.ts'

test.each([
  [
    "ERR Error running script (call to f_1): @user_script:2: @user_script: 2: -OOM command not allowed when used memory > 'maxmemory'.",
    'full',
  ],
  ["OOM command not allowed when used memory > 'maxmemory'. script: f0ca, on @user_script:3.", 'full'],
  [
    "ERR The user executing the script can't run this command or subcommand script: f0ca, on @user_script:1.",
    'forbidden',
  ],
  [
    "ERR ACL failure in script: User w has no permissions to run the 'set' command script: f0ca, on @user_script:1.",
    'forbidden',
  ],
  ['ERR ACL failure in script: No permissions to access a key script: f0ca, on @user_script:1.', 'forbidden'],
  ["NOPERM User w has no permissions to run the 'evalsha' command", 'forbidden'],
  ['ERR wrong number of arguments', null],
])('whatever version says it: %s', (words, refusal) => {
  expect(refusalIn(words)).toBe(refusal)
})
