"""clickhouse-connect, pandas and SQLAlchemy at their defaults."""

import os
from datetime import date, datetime
from urllib.parse import quote

import clickhouse_connect
import pandas
from clickhouse_connect.driver.exceptions import DatabaseError
from sqlalchemy import create_engine, text

host, port = os.environ["ENGINE"].split(":")
password, database = os.environ["PASSWORD"], os.environ["DATABASE"]

client = clickhouse_connect.get_client(
    host=host, port=int(port), password=password, database=database
)

# A table, an insert, and every type of our views.
client.command(
    "CREATE TABLE python (id UInt64, name LowCardinality(String), note Nullable(String),"
    " day Date, at DateTime64(3, 'UTC'), ok Bool, share Nullable(Float64), tags Array(String),"
    " path Tuple(depth UInt16, names Array(String)), kind Enum8('a' = 1, 'b' = 2))"
    " ENGINE = MergeTree ORDER BY id"
)
rows = [
    [n, f"n{n % 3}", None if n % 2 else "x", date(2026, 3, 1), datetime(2026, 3, 1, 9, 12, 33),
     bool(n % 2), None if n % 2 else n / 4, ["a", "ü"], (n % 7, ["b"]), "ab"[n % 2]]
    for n in range(100_000)
]
client.insert("python", rows)
found = client.query("SELECT * FROM python ORDER BY id")
assert found.row_count == len(rows)
assert [list(found.result_rows[n][:8]) for n in (0, 99_999)] == [rows[n][:8] for n in (0, 99_999)]
assert client.query("SELECT * FROM python WHERE id = {id:UInt64}", {"id": 7}).row_count == 1
assert client.query("SELECT * FROM python WHERE id > 1000000").result_rows == []
for view in os.environ["VIEWS"].split(","):
    columns = client.query(f"DESCRIBE TABLE {view}").result_rows
    # This client reads no states of aggregate functions; the engine turns a bitmap into numbers.
    names = [
        f"bitmapToArray({name}) AS {name}" if kind.startswith("AggregateFunction") else name
        for name, kind, *_ in columns
    ]
    read = client.query(f"SELECT {', '.join(names)} FROM {view}")
    assert read.row_count > 0 and len(read.column_names) == len(columns), view

# pandas, both ways.
frame = client.query_df("SELECT id, name, at FROM python ORDER BY id LIMIT 3")
assert frame["id"].tolist() == [0, 1, 2] and str(frame["at"].dtype).startswith("datetime64")
client.insert_df("python", pandas.DataFrame({"id": [200_000], "name": ["pandas"]}))
assert client.command("SELECT name FROM python WHERE id = 200000") == "pandas"

# The session that this client begins by itself.
client.command("CREATE TEMPORARY TABLE kept (n UInt8)")
client.insert("kept", [[1], [2]], column_names=["n"])
assert client.command("SELECT sum(n) FROM kept") == 3
client.command("SET max_threads = 3")
assert str(client.command("SELECT getSetting('max_threads')")) == "3"
other = clickhouse_connect.get_client(host=host, port=int(port), password=password)
try:
    other.query("SELECT * FROM kept")
    raise AssertionError("another session's table")
except DatabaseError as error:
    assert "60" in str(error) and "UNKNOWN_TABLE" in str(error), error

# SQLAlchemy.
address = f"clickhousedb://default:{quote(password)}@{host}:{port}/{database}"
with create_engine(address).connect() as connection:
    counted = connection.execute(text("SELECT count() FROM python WHERE id < :id"), {"id": 10})
    assert counted.scalar() == 10
    frame = pandas.read_sql("SELECT id, name FROM python ORDER BY id LIMIT 2", connection)
    assert frame["name"].tolist() == ["n0", "n1"]
print("done")
