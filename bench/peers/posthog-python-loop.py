"""PostHog's guide in short: the table as a whole into pandas, a call of the SDK for each row, and shutdown at the end."""

import sys

import pandas
import posthog

file, host = sys.argv[1:]
posthog.api_key = "phc_bench000000000000000000000000000000000000"
posthog.host = host
posthog.historical_migration = True
table = pandas.read_csv(file)
for _, row in table.iterrows():
    properties = {name: value for name, value in row.items() if pandas.notna(value) and name not in ("user_id", "time")}
    posthog.capture(
        "$pageview",
        distinct_id=str(row["user_id"]),
        properties=properties,
        timestamp=pandas.to_datetime(row["time"]).to_pydatetime(),
    )
posthog.shutdown()
