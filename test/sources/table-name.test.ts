import { tableNameOf } from '@heapferry/sources'
import { expect, test } from 'vitest'

test.each([
  ['pageviews.csv', 'pageviews'],
  ['my_cool_app.heap_main_production.my_cool_event.csv', 'my_cool_event'],
  ['HEAP_MAIN_PRODUCTION.HEAP.PAGEVIEWS.csv', 'pageviews'],
  ['pageviews-000000000003.csv', 'pageviews'],
  ['signup_click-000000000000.csv', 'signup_click'],
  ['pageviews0000_part_00', 'pageviews'],
  ['pageviews_0003_part_01', 'pageviews'],
  ['pageviews/0000_part_00', 'pageviews'],
  ['pageviews/part-00000-4a06bab5-0ef3-4b21-b9af-e772fbb37b0e-c000.csv', 'pageviews'],
  ['users/data_0_0_0.csv', 'users'],
  ['users_0_1_2.csv', 'users'],
  ['pageviews.000', 'pageviews'],
  ['pageviews_000.csv', 'pageviews'],
  ['pageviews_2023_01.csv', 'pageviews'],
  ['sessions-2.csv', 'sessions'],
  ['_key_events_pm__order_complete.tsv', '_key_events_pm__order_complete'],
  ['account_settings_click_on_account_part_1_.csv', 'account_settings_click_on_account_part_1_'],
  ['release_1_2_3.csv', 'release_1_2_3'],
  ['2023/06/clicks.txt', 'clicks'],
  ['users.csv.zst', 'users'],
  ['pageviews-000000000000.json.gz', 'pageviews'],
  ['pageviews/000000000012.avro', 'pageviews'],
  ['pageviews/part-00000-4a06bab5-0ef3-4b21-b9af-e772fbb37b0e-c000.snappy.parquet', 'pageviews'],
  ['pageviews.parquet/part-00003-4a06bab5-0ef3-4b21-b9af-e772fbb37b0e-c000.gz.parquet', 'pageviews'],
  ['pageviews_0_0_0.snappy.parquet', 'pageviews'],
  ['SIGNUP/data_0_0_0.csv.gz', 'signup'],
  ['signup/data_01b2a3c4-0000-1111-2222-333344445555_012_3_0.snappy.parquet', 'signup'],
  ['pageviews0000_part_00.parquet', 'pageviews'],
  ['pageviews0000_part_00.gz', 'pageviews'],
  ['pageviews/0000_part_00.bz2', 'pageviews'],
  ['pageviews_000.gz', 'pageviews'],
  // Athena and Hive.
  ['pageviews/20240101_123456_00001_abcde_4a06bab5-0ef3-4b21-b9af-e772fbb37b0e.gz', 'pageviews'],
  ['pageviews/000000_0', 'pageviews'],
  // Fivetran.
  ['heap/user_migration/part-00000.parquet', 'user_migration'],
  ['pageview.jsonl', 'pageview'],
  // Divided by days and the like.
  ['pageviews/dt=2024-01-01/part-0000.parquet', 'pageviews'],
  ['pageviews/year=2024/month=1/part-0000.parquet', 'pageviews'],
  ['pageviews/2024/01/01/part-0000.parquet', 'pageviews'],
  ['pageviews/2024-01-01/data_0_0_0.csv', 'pageviews'],
  ['dt=2024-01-01/pageviews.csv', 'pageviews'],
  ['dt=2024-01-01/pageviews/part-0000.csv', 'pageviews'],
  // Divided by tables.
  ['event_table_name=signup/part-0000.parquet', 'signup'],
  ['events/event_table_name=Signup/dt=2024-01-01/part-0000.parquet', 'signup'],
  ['dt=2024-01-01/table=signup/export.csv', 'signup'],
  ['all_events/event_table_name=signup/part-0000.parquet', 'all_events'],
])('%s holds the table %s', (file, table) => {
  expect(tableNameOf(file)).toBe(table)
})
