import { Mapping, tableOf } from '@heapferry/domain'
import { mappingNotices } from '@heapferry/migration'
import { expect, test } from 'vitest'

const signup = { table: tableOf('signup', ['user_id', 'time']), columns: ['user_id', 'time', 'email', 'plan'] }
const users = { table: tableOf('users', []), columns: ['user_id', 'identity', 'phone'] }

test('columns and tables that no file has are named, with what was probably meant', () => {
  const mapping = Mapping.parse({
    properties: { emial: 'drop', phone: 'hash', ssn: 'drop' },
    filter: { where: { plna: { exists: true } } },
    tables: {
      sign_up: { event: 'Signed up' },
      signup: { properties: { plan: 'drop', phone: 'keep' }, where: { email: { exists: true } } },
    },
  })
  expect(mappingNotices(mapping, [signup, users])).toEqual([
    'The mapping has properties.emial, but no table has such a column; did you mean email?',
    'The mapping has properties.ssn, but no table has such a column',
    'The mapping has filter.where.plna, but no table has such a column; did you mean plan?',
    'The mapping has tables.sign_up, but the export has no such table; did you mean signup?',
    'The mapping has tables.signup.properties.phone, but signup has no such column',
  ])
})

test('of the one-time export a table may be a type, which no file is named for', () => {
  const raw = { table: { kind: 'raw_events', name: 'export' } as const, columns: ['user_id', 'type', 'email'] }
  const mapping = Mapping.parse({ tables: { 'sign up': { event: 'Signed up', properties: { email: 'drop' } } } })
  expect(mappingNotices(mapping, [raw])).toEqual([])
})

test('the key of a group may be in any table, what is said of the group has to be in users', () => {
  const mapping = Mapping.parse({
    groups: { company: { key: 'plan', properties: ['phone', 'email'] }, team: { key: 'taem' } },
  })
  expect(mappingNotices(mapping, [signup, users])).toEqual([
    'The mapping has groups.company.properties.email, but users has no such column',
    'The mapping has groups.team.key.taem, but no table has such a column',
  ])
})
