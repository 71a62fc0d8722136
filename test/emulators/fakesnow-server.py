"""
A stand-in for Snowflake's SQL API over fakesnow, which has its SQL and not this API: statements that run on, results in
partitions, key pairs and tokens; and COPY INTO a bucket, for which it runs the query and writes Parquet in two files, by
pyarrow. Built from the vendor's reference, by us: it shows that heapferry keeps to what its authors
know of that, not that it gets on with Snowflake. Times have six digits behind the point, as in DuckDB below it.

Its own routes below /test are for tests alone.
"""

import base64
import hashlib
import io
import json
import re
import sys
import threading
import urllib.request
import uuid
from datetime import date, datetime, time, timezone
from decimal import Decimal

import jwt
import pyarrow
import pyarrow.parquet
import uvicorn
from cryptography.hazmat.primitives import serialization
from snowflake.connector.errors import Error
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from fakesnow.instance import FakeSnow
from fakesnow.rowtype import describe_as_rowtype

snowflake = FakeSnow()
one_at_a_time = threading.Lock()
results = {}
by_request = {}
state = {"partition_rows": 1000, "public_key": None, "who": None, "token": None, "statements": [], "bodies": []}
state |= {"store": None, "miscounts": False, "copies": []}


def epoch(value):
    utc = value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value
    delta = utc - datetime(1970, 1, 1, tzinfo=timezone.utc)
    micros = (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    return f"{sign}{micros // 1_000_000}.{micros % 1_000_000:06d}000"


def cell(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "NaN"}.get(repr(value), repr(value))
    if isinstance(value, datetime):
        return epoch(value)
    if isinstance(value, date):
        return str((value - date(1970, 1, 1)).days)
    if isinstance(value, time):
        seconds = value.hour * 3600 + value.minute * 60 + value.second
        return f"{seconds}.{value.microsecond:06d}000"
    if isinstance(value, (bytes, bytearray)):
        return value.hex().upper()
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


COPY_INTO = re.compile(
    r"COPY INTO 's3://([^/']+)/([^']+/)' FROM \((SELECT .+)\) STORAGE_INTEGRATION = \"([A-Z_]+)\" FILE_FORMAT = \(TYPE = PARQUET\) "
    r"HEADER = TRUE MAX_FILE_SIZE = 268435456 INCLUDE_QUERY_ID = TRUE DETAILED_OUTPUT = TRUE"
)
# fakesnow forgets the format; digits that DuckDB does not write are none.
FORMATTED = re.compile(r"TO_VARCHAR\(((?:[^()]|\([^()]*\))+?), '((?:YYYY-MM-DD )?)HH24:MI:SS\.FF9'\)")


def formatted(found):
    text = f"TO_VARCHAR({found[1]})"
    return f"IFF(CONTAINS({text}, '.'), RPAD({text}, {29 if found[2] else 18}, '0'), {text} || '.000000000')"


def copy_into(cursor, sql, found):
    """What COPY INTO tells of a table that it has written into a bucket."""
    bucket, prefix, select, _ = found.groups()
    cursor.execute(FORMATTED.sub(formatted, select))
    names = [column["name"] for column in describe_as_rowtype(cursor._describe_last_sql())]
    rows = cursor.fetchall()
    query = str(uuid.uuid4())
    half = (len(rows) + 1) // 2
    told = []
    for number, part in enumerate(part for part in (rows[:half], rows[half:]) if part):
        columns = [[row[at] for row in part] for at in range(len(names))]
        arrays = [pyarrow.array(cells, None if any(c is not None for c in cells) else pyarrow.string()) for cells in columns]
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(arrays, names=names), file, row_group_size=1000)
        name = f"data_{query}_0_{number}_0.snappy.parquet"
        headers = {"authorization": "Credential=a/20230101/us-east-1/s3/x"}
        url = f"{state['store']}/{bucket}/{prefix}{name}"
        urllib.request.urlopen(urllib.request.Request(url, file.getvalue(), headers, method="PUT")).read()
        told.append([name, str(len(file.getvalue())), str(len(part))])
    if state["miscounts"]:
        told[0][2] = str(int(told[0][2]) + 3)
        state["miscounts"] = False
    state["copies"].append(sql)
    row_type = [{"name": "FILE_NAME", "type": "text"}, {"name": "FILE_SIZE", "type": "fixed"}]
    return {"row_type": [*row_type, {"name": "ROW_COUNT", "type": "fixed"}], "rows": told, "refused": None}


def run(sql):
    """The columns and rows of a statement, or how it was refused."""
    with one_at_a_time:
        try:
            cursor = snowflake.connect("HEAP_MAIN_PRODUCTION", "HEAP").cursor()
            found = COPY_INTO.fullmatch(sql)
            if found:
                return copy_into(cursor, sql, found)
            cursor.execute(sql)
            row_type = describe_as_rowtype(cursor._describe_last_sql())
            rows = [[cell(value) for value in row] for row in cursor.fetchall()]
            return {"row_type": row_type, "rows": rows, "refused": None}
        except Error as error:
            refused = {"code": f"{error.errno:06d}", "sqlState": error.sqlstate, "message": error.msg}
            return {"row_type": [], "rows": [], "refused": refused}


def partitions(rows):
    size = state["partition_rows"]
    return [rows[at : at + size] for at in range(0, len(rows), size)] or [[]]


def answer(handle):
    ended = results[handle]
    if ended["refused"]:
        return JSONResponse({**ended["refused"], "statementHandle": handle}, status_code=422)
    parts = partitions(ended["rows"])
    meta = {
        "numRows": len(ended["rows"]),
        "format": "jsonv2",
        "rowType": ended["row_type"],
        "partitionInfo": [{"rowCount": len(part), "uncompressedSize": len(json.dumps(part))} for part in parts],
    }
    return JSONResponse(
        {"resultSetMetaData": meta, "data": parts[0], "code": "090001", "statementHandle": handle, "message": "ok"}
    )


def not_let_in(request):
    """401 as Snowflake answers, where a token is not what was told at /test/state; else nothing."""
    refuse = lambda code, message: JSONResponse({"code": code, "message": message}, status_code=401)
    text = request.headers.get("authorization", "").removeprefix("Bearer ")
    kind = request.headers.get("x-snowflake-authorization-token-type")
    if kind == "KEYPAIR_JWT":
        try:
            claims = jwt.decode(text, state["public_key"], algorithms=["RS256"], options={"verify_iat": True})
            assert claims["sub"] == state["who"] and claims["exp"] - claims["iat"] <= 3600
            key = serialization.load_pem_public_key(state["public_key"].encode())
            der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            print_of_key = base64.b64encode(hashlib.sha256(der).digest()).decode()
            assert claims["iss"] == f"{state['who']}.SHA256:{print_of_key}"
            return None
        except Exception as error:
            return refuse("390144", f"JWT token is invalid. [{type(error).__name__}]")
    if f"{kind} {text}" == state["token"]:
        return None
    if kind == "OAUTH":
        return refuse("390318", "OAuth access token expired. [test]")
    return refuse("390303", "Invalid token.")


async def submit(request):
    refused = not_let_in(request)
    if refused:
        return refused
    body = await request.json()
    request_id = request.query_params.get("requestId")
    if request.query_params.get("retry") == "true" and request_id in by_request:
        handle = by_request[request_id]
    else:
        handle = str(uuid.uuid4())
        by_request[request_id] = handle
        state["statements"].append(body["statement"])
        state["bodies"].append({name: value for name, value in body.items() if name != "statement"})
        ran = await run_in_threadpool(run, body["statement"])
        # Whoever asks for the first time is told that it still runs.
        results[handle] = {**ran, "still_runs": request.query_params.get("async") == "true"}
    if results[handle]["still_runs"]:
        return JSONResponse({"code": "333334", "message": "Running.", "statementHandle": handle}, status_code=202)
    return answer(handle)


async def fetch(request):
    refused = not_let_in(request)
    if refused:
        return refused
    handle = request.path_params["handle"]
    ended = results.get(handle)
    if ended is None:
        return JSONResponse({"code": "390404", "message": f"Statement {handle} not found"}, status_code=404)
    if ended["still_runs"]:
        ended["still_runs"] = False
        return JSONResponse({"code": "333334", "message": "Running.", "statementHandle": handle}, status_code=202)
    number = request.query_params.get("partition")
    if number is None:
        return answer(handle)
    return JSONResponse({"data": partitions(ended["rows"])[int(number)]})


async def test_sql(request):
    ran = await run_in_threadpool(run, (await request.body()).decode())
    return JSONResponse(ran["refused"] or {"rows": ran["rows"]}, status_code=400 if ran["refused"] else 200)


def in_duckdb(sql):
    with one_at_a_time:
        cursor = snowflake.duck_conn.cursor()
        cursor.execute("USE HEAP_MAIN_PRODUCTION.HEAP")
        cursor.execute(sql)


async def test_duckdb(request):
    await run_in_threadpool(in_duckdb, (await request.body()).decode())
    return JSONResponse({})


async def test_state(request):
    changes = await request.json()
    if changes.pop("expire", False):
        results.clear()
    state.update(changes)
    return JSONResponse({name: state[name] for name in ("statements", "bodies", "copies")})


routes = [
    Route("/api/v2/statements", submit, methods=["POST"]),
    Route("/api/v2/statements/{handle}", fetch, methods=["GET"]),
    Route("/test/sql", test_sql, methods=["POST"]),
    Route("/test/duckdb", test_duckdb, methods=["POST"]),
    Route("/test/state", test_state, methods=["POST"]),
]

uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_keep_alive=600)
