//! The only place that knows ClickHouse: client, migrations, row formats, writes, loads and report queries.
