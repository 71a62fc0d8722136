"""The floor: DuckDB makes JSON lines of the same shape, sends nothing, and knows nothing of people or rejected rows."""

import sys

import duckdb

file, out = sys.argv[1:]
duckdb.sql(
    f"""
    COPY (
        SELECT '$pageview' AS event, user_id AS distinct_id, time AS timestamp, COLUMNS(* EXCLUDE (user_id, time))
        FROM read_csv('{file}', all_varchar = true, header = true)
    ) TO '{out}' (FORMAT json)
    """
)
