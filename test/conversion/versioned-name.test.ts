import { readFileSync } from 'node:fs'
import { browserOf, platformOf, splitVersioned } from '@heapferry/conversion'
import { expect, test } from 'vitest'

const [, ...lines] = readFileSync(new URL('versioned-name.fixture.tsv', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')

test.each(lines.map((line) => line.split('\t')))('the %s %j is split and named as PostHog does', (...fields) => {
  const [kind, value = '', family, version, name, postHogVersion] = fields
  expect(splitVersioned(value)).toEqual({ family, version: version || undefined })
  if (kind === 'platform')
    expect(platformOf(value)).toEqual({ os: name || undefined, osVersion: postHogVersion || undefined })
  else
    expect(browserOf(value)).toEqual({
      name: name || undefined,
      version: postHogVersion ? Number(postHogVersion) : undefined,
    })
})
