import type { PostHogEvent } from '@heapferry/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { tries } from '../support/tries.ts'
import { type Files, type Outcome, outcomeOf, personOf } from './outcome-of.ts'

interface Case {
  /** The sentence that the case stands for. */
  says: string
  files: Files
  mapping?: unknown
  /** Asked of the outcome; none where the run stops. */
  check?: (outcome: Outcome) => void
  /** What the run stops with. */
  stops?: RegExp
}

/** Lines of a CSV file. */
function csv(...lines: string[]): string {
  return `${lines.join('\n')}\n`
}

function turned(events: readonly PostHogEvent[]): PostHogEvent[] {
  return events.toReversed()
}

/** In whatever order events arrive, somebody has these properties. */
function has(distinctId: string, properties: Record<string, unknown>): (outcome: Outcome) => void {
  return ({ events }) => {
    for (const order of [events, turned(events)]) expect(personOf(order, distinctId)).toMatchObject(properties)
  }
}

const people: Case[] = [
  {
    says: 'of two rows of one user the newest by last_modified counts, though it comes first',
    files: {
      'users.csv': csv(
        'user_id,identity,joindate,last_modified,plan',
        '4702333951502204,ada@example.com,2022-01-01 00:00:00,2023-06-01 00:00:00,Enterprise',
        '4702333951502204,ada@example.com,2022-01-01 00:00:00,2022-02-01 00:00:00,Free',
      ),
    },
    check: (outcome) => {
      has('ada@example.com', { plan: 'Enterprise' })(outcome)
      expect(outcome.skipped).toEqual({ superseded: 1 })
    },
  },
  {
    says: 'it counts though it lies in another file, and last_modified is a number there',
    files: {
      'users_0.csv': csv('user_id,last_modified,joindate,plan', '12,1685577600000,2022-01-01 00:00:00,Enterprise'),
      'users_1.csv': csv('user_id,last_modified,joindate,plan', '12,2022-02-01 00:00:00,2022-01-01 00:00:00,Free'),
    },
    check: (outcome) => {
      has('12', { plan: 'Enterprise' })(outcome)
      expect(outcome.events).toHaveLength(1)
    },
  },
  {
    says: 'without last_modified the later joindate counts, and without both the later row',
    files: {
      'users.csv': csv(
        'user_id,joindate,lastseen,plan',
        '1,2022-03-01 00:00:00,,Enterprise',
        '1,2022-01-01 00:00:00,,Free',
        '2,,2022-01-01 00:00:00,Free',
        '2,,2022-01-01 00:00:00,Enterprise',
      ),
    },
    check: (outcome) => {
      has('1', { plan: 'Enterprise' })(outcome)
      has('2', { plan: 'Enterprise' })(outcome)
    },
  },
  {
    says: 'of two ids of one identity the newest row counts, an older one fills in, and the earliest joindate stays',
    files: {
      'users.json': [
        {
          user_id: 1,
          identity: 'ada',
          joindate: '2021-01-01 00:00:00',
          last_modified: '2022-01-01 00:00:00',
          plan: 'Free',
          team: 'red',
          initial_utm_source: 'first',
        },
        {
          user_id: 2,
          identity: 'ada',
          joindate: '2022-01-01 00:00:00',
          last_modified: '2023-01-01 00:00:00',
          plan: 'Pro',
          initial_utm_source: 'second',
        },
      ]
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    },
    check: has('ada', {
      plan: 'Pro',
      team: 'red',
      joindate: '2021-01-01T00:00:00.000Z',
      $initial_utm_source: 'first',
      heap_user_id: '2',
    }),
  },
  {
    says: 'of three ids each value comes from the newest row that has one, also where nothing may be overwritten',
    files: {
      'users.csv': csv(
        'user_id,identity,joindate,last_modified,plan,team,city',
        '3,ada,2021-03-01 00:00:00,2023-03-01 00:00:00,Pro,,',
        '1,ada,2021-01-01 00:00:00,2023-01-01 00:00:00,Free,red,Wien',
        '2,ada,2021-02-01 00:00:00,2023-02-01 00:00:00,Free,blue,',
      ),
    },
    mapping: { persons: 'set_once' },
    check: has('ada', { plan: 'Pro', team: 'blue', $geoip_city_name: 'Wien', joindate: '2021-01-01T00:00:00.000Z' }),
  },
  {
    says: 'of two ids that a migration joins the newest row counts, and the kept id where no row tells',
    files: {
      'users.csv': csv(
        'user_id,identity,joindate,last_modified,plan',
        '1,,2021-01-01 00:00:00,2023-06-01 00:00:00,Pro',
        '2,ada,2021-02-01 00:00:00,2023-01-01 00:00:00,Free',
        '3,,2021-05-01 00:00:00,,Free',
        '4,eve,2021-02-01 00:00:00,,Pro',
      ),
      'user_migrations.csv': csv('from_user_id,to_user_id', '1,2', '3,4'),
    },
    check: (outcome) => {
      has('ada', { plan: 'Pro', joindate: '2021-01-01T00:00:00.000Z' })(outcome)
      has('eve', { plan: 'Pro', joindate: '2021-02-01T00:00:00.000Z' })(outcome)
    },
  },
  {
    says: 'an older row that alone knows the identity still joins the id, with none of its values',
    files: {
      'users.csv': csv(
        'user_id,identity,joindate,last_modified,plan',
        '1,ada,2021-01-01 00:00:00,2022-01-01 00:00:00,Free',
        '1,,2021-01-01 00:00:00,2023-01-01 00:00:00,Pro',
      ),
    },
    check: (outcome) => {
      has('ada', { plan: 'Pro' })(outcome)
      for (const order of [outcome.events, turned(outcome.events)]) expect(personOf(order, '1')?.plan).toBe('Pro')
    },
  },
  {
    says: 'a row of users whose id only an identify record joins goes to that person',
    files: {
      'users.json': `${JSON.stringify({ user_id: 7, joindate: '2021-01-01 00:00:00', plan: 'Pro' })}\n`,
      'events.json': [
        { id: '(1,7)', identity: 'ada', time: '2021-02-01 00:00:00' },
        { id: '(1,7)', event_id: 9, type: 'click', time: '2021-02-02 00:00:00' },
      ]
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    },
    check: (outcome) => {
      has('ada', { plan: 'Pro' })(outcome)
      expect(outcome.events.map((event) => [event.event, event.distinct_id])).toEqual([
        ['click', '7'],
        ['$identify', 'ada'],
        ['$set', 'ada'],
      ])
    },
  },
  {
    says: 'a row that the mapping leaves out, or that is deleted, is no newer row',
    files: {
      'users.csv': csv(
        'user_id,joindate,last_modified,plan,_fivetran_deleted',
        '1,2021-01-01 00:00:00,2022-01-01 00:00:00,Free,false',
        '1,2021-01-01 00:00:00,2023-01-01 00:00:00,Test,false',
        '1,2021-01-01 00:00:00,2024-01-01 00:00:00,Pro,true',
      ),
    },
    mapping: { tables: { users: { where: { plan: { not_equals: 'Test' } } } } },
    check: (outcome) => {
      has('1', { plan: 'Free' })(outcome)
      expect(outcome.skipped).toEqual({ filtered_out: 1, deleted_in_source: 1 })
    },
  },
]

const deleted: Case[] = [
  {
    says: 'rows that Fivetran has marked as deleted are skipped, people and events alike',
    files: {
      'users.csv': csv('user_id,identity,_fivetran_deleted', '1,ada,false', '2,eve,true'),
      'signup.csv': csv(
        'user_id,event_id,time,_fivetran_deleted',
        '1,1,2023-01-01 00:00:00,false',
        '1,2,2023-01-01 00:00:00,TRUE',
      ),
      'user_migrations.csv': csv('from_user_id,to_user_id,_fivetran_deleted', '5,6,true'),
    },
    check: ({ events, skipped }) => {
      expect(events).toHaveLength(2)
      expect(skipped).toEqual({ deleted_in_source: 3 })
    },
  },
  ...(
    [
      ['_sdc_deleted_at', '2023-05-05 00:00:00 UTC', ''],
      ['_ab_cdc_deleted_at', '2023-05-05T00:00:00Z', ''],
      ['__deleted', 'true', 'false'],
      ['_peerdb_is_deleted', '1', '0'],
    ] as const
  ).map(
    ([column, marked, unmarked]): Case => ({
      says: `${column} marks a row as deleted with "${marked}", and not with "${unmarked}"`,
      files: {
        'signup.csv': csv(
          `user_id,event_id,time,${column}`,
          `1,1,2023-01-01 00:00:00,${unmarked}`,
          `1,2,2023-01-01 00:00:00,${marked}`,
        ),
      },
      check: ({ events, skipped }) => {
        expect(events.map(({ properties }) => properties.heap_event_id)).toEqual(['1'])
        expect(skipped).toEqual({ deleted_in_source: 1 })
      },
    }),
  ),
  {
    says: 'the mapping sends them, and a property of the name is_deleted is no mark',
    files: {
      'signup.csv': csv(
        'user_id,event_id,time,_fivetran_deleted,is_deleted',
        '1,1,2023-01-01 00:00:00,true,',
        '1,2,2023-01-01 00:00:00,,true',
      ),
    },
    mapping: { deleted: 'send' },
    check: ({ events }) => expect(events).toHaveLength(2),
  },
]

const dates: Case[] = [
  {
    says: 'a joindate that is a day is its midnight in UTC',
    files: {
      'users.csv': csv('user_id,identity,joindate', '1,ada,2021-05-01', '2,,2021-05-02'),
      'user_migrations.csv': csv('from_user_id,to_user_id,time', '5,1,2021-06-01'),
    },
    check: (outcome) => {
      expect(outcome.events.map(({ timestamp }) => timestamp).toSorted()).toEqual([
        '2021-05-01T00:00:00.000Z',
        '2021-05-02T00:00:00.000Z',
        '2021-06-01T00:00:00.000Z',
      ])
      has('ada', { joindate: '2021-05-01T00:00:00.000Z' })(outcome)
      expect(outcome.notices).toEqual([])
    },
  },
  ...['03/05/2024', '5.3.2024', 'Mar 5, 2024'].map(
    (date): Case => ({
      says: `a joindate like "${date}" is told before 2010-01-01 is used`,
      files: { 'users.csv': csv('user_id|identity|joindate', `1|ada|${date}`, `2|eve|${date}`, '3|bob|2024-03-05') },
      check: ({ notices, events }) => {
        expect(notices).toEqual([expect.stringContaining(`2 rows of users have an identity`)])
        expect(notices[0]).toContain(`joindate is like "${date}"`)
        expect(events.filter(({ timestamp }) => timestamp === '2010-01-01T00:00:00.000Z')).toHaveLength(2)
      },
    }),
  ),
  {
    says: 'a date that the mapping hides is not shown, and one whose row has another date is not told',
    files: {
      'users.csv': csv('user_id|identity|joindate|last_modified', '1|ada|03/05/2024|', '2|eve|x|2024-03-05 00:00:00'),
    },
    mapping: { properties: { joindate: 'drop' } },
    check: ({ notices }) => {
      expect(notices).toEqual([expect.stringContaining('1 rows of users')])
      expect(notices[0]).not.toContain('03/05')
    },
  },
]

test.each([...people, ...deleted, ...dates])('$says', async ({ files, mapping, check, stops }) => {
  const outcome = outcomeOf(files, mapping)
  if (stops) await expect(outcome).rejects.toThrow(stops)
  check?.(await outcome)
})

test('whatever the order of rows, files and arrivals, each value of a person comes from the newest row that has one', async () => {
  const day = fc.integer({ min: 1, max: 9 }).map((number) => `2023-01-0${number} 00:00:00`)
  const row = fc.record({ joindate: day, plan: fc.constantFrom('', 'a'), team: fc.constantFrom('', 'a') })
  const given = fc.array(row, { minLength: 2, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(given, fc.array(fc.nat(), { minLength: 20, maxLength: 20 }), async (rows, keys) => {
      // Values tell which row they are of; last_modified grows with it.
      const lines = rows.map(({ joindate, plan, team }, nth) => {
        const own = (text: string) => (text === '' ? '' : `${text}${nth}`)
        return `${nth + 1},ada,${joindate},2023-02-0${nth + 1} 00:00:00,${own(plan)},${own(team)}`
      })
      const shuffled = <T>(all: readonly T[], from: number): T[] =>
        all
          .map((one, index) => ({ one, key: keys[(from + index) % keys.length] ?? 0 }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ one }) => one)
      const [first = '', ...others] = shuffled(lines, 0)
      const header = 'user_id,identity,joindate,last_modified,plan,team'
      const { events } = await outcomeOf({ 'users_0.csv': csv(header, first), 'users_1.csv': csv(header, ...others) })
      const newestOf = (column: number) => lines.map((line) => line.split(',')[column]).findLast((text) => text !== '')
      const person = personOf(shuffled(events, 7), 'ada')
      expect({ plan: person?.plan, team: person?.team, id: person?.heap_user_id }).toEqual({
        plan: newestOf(4),
        team: newestOf(5),
        id: String(rows.length),
      })
      const joined = rows.map(({ joindate }) => joindate).toSorted()[0]
      expect(person?.joindate).toBe(new Date(`${joined}Z`).toISOString())
    }),
    { numRuns: tries(300) },
  )
})
