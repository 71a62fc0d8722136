import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import type { TestSnowflake } from './start-fakesnow.ts'
import type { TestWarehouse } from './warehouse-contract.ts'

export const source = 'snowflake://acme-main/heap_main_production/heap'
const schema = 'HEAP_MAIN_PRODUCTION.HEAP'

export async function emptySchema(snowflake: TestSnowflake): Promise<void> {
  await snowflake.run(`drop schema if exists ${schema} cascade`, `create schema if not exists ${schema}`)
}

/** What is hard to carry: ids beyond 2^53, times before 1970 and at the ends of the calendar, quotes, line ends, �. */
export async function makeHeap(snowflake: TestSnowflake): Promise<void> {
  await emptySchema(snowflake)
  const first = 9007199254740993n
  await snowflake.run(
    'create table users (user_id number(38,0), identity varchar, email varchar, joindate timestamp_ntz, last_modified timestamp_ntz)',
    `insert into users select ${first} + n, iff(n % 3 = 0, 'person-' || n, null), iff(n % 5 = 0, '', 'p' || n || '@example.com'), dateadd(microsecond, n, dateadd(hour, n, '2022-01-01'::timestamp_ntz)), null from ${numbers(200)}`,
    'create table user_migrations (from_user_id number(38,0), to_user_id number(38,0), time timestamp_ntz)',
    `insert into user_migrations select 1000 + n, ${first} + n * 3, '2022-06-01'::timestamp_ntz from ${numbers(40)}`,
    'create table pageviews (event_id number(38,0), user_id number(38,0), session_id number(38,0), time timestamp_ntz, path varchar, title varchar, "Plan Name" varchar)',
    `insert into pageviews select -9223372036854775807 + n, iff(n % 7 = 0, 1001 + n % 40, ${first + 1n} + n % 200), n, dateadd(microsecond, n, dateadd(second, n * 61, '2023-01-02 03:04:05'::timestamp_ntz)), '/a/' || n || '?q="x",''y''', case n % 4 when 0 then 'Grüße 🎉 \\\\N' when 1 then '' when 2 then 'a\tb"c' end, 'gold' from ${numbers(3000)}`,
    `insert into pageviews values
      (1, ${first}, 1, '1969-12-31 23:59:59.999999', '/', null, null), (2, ${first}, 1, '0001-01-01', '/', null, null),
      (3, ${first}, 1, '9999-12-31 23:59:59.999999', '/', null, null), (4, ${first}, 1, null, '/', null, null),
      (6, null, 1, '2023-05-05', '/', null, null), (7, ${first}, 1, '2023-05-05', '${'x'.repeat(65_000)}', null, null)`,
    `insert into pageviews select 8, ${first}, 1, '2023-06-06 06:06:06.006'::timestamp_ntz, '/same', null, null from ${numbers(1000)}`,
    'create table clicked_buy (event_id number(38,0), user_id number(38,0), time timestamp_ntz, price number(12,2), colour varchar, seen timestamp_ntz, at_time time)',
    `insert into clicked_buy select n, ${first + 1n} + n % 200, dateadd(minute, n, '2023-02-02'::timestamp_ntz), n * 1.10, 'red', dateadd(millisecond, n * 10, '2023-02-02'::timestamp_ntz), timeadd(millisecond, n * 250, '10:00:00'::time) from ${numbers(500)}`,
    'create table nothing_yet (event_id number(38,0), user_id number(38,0), time timestamp_ntz)',
    'create table big_spenders (user_id number(38,0), since date)',
    `create view all_events as select event_id, time, user_id, 'pageviews' as event_table_name from pageviews`,
    'create table _sync_info (table_name varchar, synced_at timestamp_ntz)',
    `insert into _sync_info values ('pageviews', '2024-01-01')`,
  )
}

export const tapRows = 5500

export async function makeTaps(snowflake: TestSnowflake): Promise<void> {
  await emptySchema(snowflake)
  await snowflake.run(
    'create table users (user_id number(38,0), identity varchar)',
    `insert into users values (1, 'ada')`,
    'create table taps (event_id number(38,0), user_id number(38,0), time timestamp_ntz, colour varchar)',
    `insert into taps select n, 1, dateadd(minute, n, '2023-01-01'::timestamp_ntz), md5(n::varchar) || md5((-n)::varchar) || md5((n + 0.5)::varchar) from ${numbers(tapRows)}`,
    'create table _sync_info (table_name varchar, synced_at timestamp_ntz)',
    `insert into _sync_info values ('taps', '2024-01-01')`,
  )
}

export async function alterTaps(snowflake: TestSnowflake, how: Parameters<TestWarehouse['alter']>[0]): Promise<void> {
  const statements = {
    'rename colour': 'alter table taps rename column colour to color',
    'rename it back': 'alter table taps rename column color to colour',
    'add a column': 'alter table taps add column later varchar',
    'user_id is text': 'alter table taps alter column user_id type varchar',
    'user_id is a number again': 'alter table taps alter column user_id type bigint',
  }
  await snowflake.inDuckDb(statements[how])
}

/** 1, 2, … */
export function numbers(count: number): string {
  return `(select seq4() + 1 as n from table(generator(rowcount => ${count})))`
}

/** As a person unloads by hand; the names of columns stay in upper case. */
export async function unloadByHand(snowflake: TestSnowflake, into: string, tables: readonly string[]): Promise<void> {
  await mkdir(into, { recursive: true })
  for (const table of tables)
    await snowflake.inDuckDb(`COPY ${table} TO '${path.join(into, `${table}.csv`)}' (FORMAT CSV, HEADER)`)
}
