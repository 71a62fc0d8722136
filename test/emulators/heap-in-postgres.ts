import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { TestPostgres } from './start-postgres.ts'

export const schema = 'main_production'

/** What is hard to carry: ids beyond 2^53, times before 1970 and at the ends of the calendar, quotes, line ends, �. */
export async function makeHeap(postgres: TestPostgres): Promise<void> {
  await postgres.query(`
    drop schema if exists ${schema} cascade;
    create schema ${schema};
    set search_path to ${schema};
    create table users (user_id bigint, identity varchar, email varchar, joindate timestamp, last_modified timestamp);
    insert into users select 9007199254740993 + n, case when n % 3 = 0 then 'person-' || n end, case when n % 5 = 0 then '' else 'p' || n || '@example.com' end, timestamp '2022-01-01' + n * interval '1 hour 1 microsecond', null from generate_series(1, 200) n;
    create table user_migrations (from_user_id bigint, to_user_id bigint, time timestamp);
    insert into user_migrations select 1000 + n, 9007199254740993 + n * 3, timestamp '2022-06-01' from generate_series(1, 40) n;
    create table pageviews (event_id bigint, user_id bigint, session_id bigint, time timestamp, path varchar, title varchar, "Plan Name" varchar);
    insert into pageviews select -9223372036854775807 + n, case when n % 7 = 0 then 1000 + n % 40 + 1 else 9007199254740994 + n % 200 end, n / 10, timestamp '2023-01-02 03:04:05' + n * interval '61.000001 seconds', '/a/' || n || '?q="x",''y''', case n % 4 when 0 then E'line\\nbreak \\\\ tab\\t' when 1 then 'Grüße 🎉 \\N' when 2 then '' end, 'gold' from generate_series(1, 3000) n;
    insert into pageviews values
      (1, 9007199254740994, 1, '1969-12-31 23:59:59.999999', '/', null, null), (2, 9007199254740994, 1, '0001-01-01', '/', null, null),
      (3, 9007199254740994, 1, '9999-12-31 23:59:59.999999', '/', null, null), (4, 9007199254740994, 1, null, '/', null, null),
      (5, 9007199254740994, 1, 'infinity', '/', null, null), (6, null, 1, '2023-05-05', '/', null, null), (7, 9007199254740994, 1, '2023-05-05', repeat('x', 65000), null, null);
    insert into pageviews select 8, 9007199254740994, 1, '2023-06-06 06:06:06.006', '/same', null, null from generate_series(1, 1000);
    create table clicked_buy (event_id bigint, user_id bigint, time timestamp, price numeric(12,2), colour varchar);
    insert into clicked_buy select n, 9007199254740994 + n % 200, timestamp '2023-02-02' + n * interval '1 minute', n * 1.10, 'red' from generate_series(1, 500) n;
    create table nothing_yet (event_id bigint, user_id bigint, time timestamp);
    create table big_spenders (user_id bigint, since date);
    create view all_events as select event_id, time, user_id, 'pageviews'::varchar as event_table_name from pageviews;
    create table _sync_info (table_name varchar, synced_at timestamp);
    insert into _sync_info values ('pageviews', '2024-01-01');
  `)
}

export function sourceOf({ port }: { port: number }, user = 'postgres'): string {
  return `redshift://${user}@127.0.0.1:${port}/postgres/${schema}`
}

/** As a person unloads by hand. */
export async function unloadByHand(postgres: TestPostgres, into: string, tables: readonly string[]): Promise<void> {
  await mkdir(into, { recursive: true })
  for (const table of tables) {
    const file = path.join(postgres.folder, `${table}.csv`)
    await postgres.query(`set timezone to 'UTC'; copy ${schema}.${table} to '${file}' with (format csv, header)`)
    await writeFile(path.join(into, `${table}.csv`), await readFile(file))
  }
}

/** The events that a run wrote as JSON lines, sorted. */
export async function linesBelow(folder: string): Promise<string[]> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true })
  const texts = await Promise.all(
    files
      .filter((file) => file.isFile())
      .map(async (file) => {
        const bytes = await readFile(path.join(file.parentPath, file.name))
        return (file.name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
      }),
  )
  return texts.flatMap((text) => text.split('\n').filter((line) => line !== '')).toSorted()
}
