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
])('%s holds the table %s', (file, table) => {
  expect(tableNameOf(file)).toBe(table)
})
