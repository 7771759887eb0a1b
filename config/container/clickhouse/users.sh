#!/bin/bash
# Run once by the image of ClickHouse Server on an empty data folder: the users of seatmeter and of Grafana, with the rights
# that schemas/clickhouse/README.md lists. The names of the databases need not exist yet.
set -euo pipefail

clickhouse-client --user "$CLICKHOUSE_USER" --password "$CLICKHOUSE_PASSWORD" --multiquery <<SQL
CREATE USER IF NOT EXISTS migrator IDENTIFIED WITH sha256_password BY '$MIGRATOR_PASSWORD';
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, SELECT, INSERT ON seatmeter.* TO migrator;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, SELECT, INSERT ON seatmeter_internal.* TO migrator;
CREATE USER IF NOT EXISTS worker IDENTIFIED WITH sha256_password BY '$WORKER_PASSWORD';
GRANT SELECT, INSERT ON seatmeter_internal.* TO worker;
CREATE USER IF NOT EXISTS api IDENTIFIED WITH sha256_password BY '$API_PASSWORD';
GRANT SELECT ON seatmeter_internal.* TO api;
CREATE USER IF NOT EXISTS grafana IDENTIFIED WITH sha256_password BY '$GRAFANA_PASSWORD';
GRANT SELECT ON seatmeter.* TO grafana;
GRANT SHOW TABLES ON seatmeter_internal.* TO grafana;
GRANT SELECT ON system.parts TO grafana;
GRANT SELECT ON system.merges TO grafana;
SQL
