#!/usr/bin/env bash
# curl, as people use it on a server.
set -euo pipefail

ask() {
  # The first argument follows the address; the rest goes to curl.
  local query=$1
  shift
  curl -sS "http://$ENGINE/?database=$DATABASE$query" -H "X-ClickHouse-Key: $PASSWORD" "$@"
}
is() {
  [ "$1" = "$2" ] || { echo "expected: $2, found: $1" >&2; exit 1; }
}

# A table, inserts (plain, and packed by HTTP), parameters, and every type of our views.
ask '' -d 'CREATE TABLE curl (id UInt64, name String) ENGINE = MergeTree ORDER BY id'
printf '1\ta\n2\tb\n' | ask '&query=INSERT+INTO+curl+FORMAT+TSV' --data-binary @-
printf '3\tc\n' | gzip | ask '&query=INSERT+INTO+curl+FORMAT+TSV' --data-binary @- \
  -H 'Content-Encoding: gzip'
is "$(ask '&param_id=2' -d 'SELECT name FROM curl WHERE id = {id:UInt64}')" b
is "$(ask '&query=SELECT+count()+FROM+curl')" 3
for view in ${VIEWS//,/ }; do
  ask '' -d "SELECT * FROM $view FORMAT JSON" | grep '"rows": [1-9]' >/dev/null
done

# A session with a temporary table, which a GET reads too.
in_session='&session_id=of+curl&session_timeout=10'
ask "$in_session" -d 'CREATE TEMPORARY TABLE kept (n UInt8)'
ask "$in_session" -d 'INSERT INTO kept VALUES (1), (2)'
is "$(ask "$in_session&session_check=1&query=SELECT+sum(n)+FROM+kept")" 3
is "$(ask "$in_session&close_session=1" -d 'SELECT 1')" 1
ask "$in_session&session_check=1" -d 'SELECT 1' | grep -q '^Code: 372.*SESSION_NOT_FOUND'

# A result in ClickHouse's own compression begins with a checksum, then LZ4's mark.
ask '&compress=1' -d 'SELECT 1' --output - | od -An -tx1 -j16 -N1 | grep -q 82

# An error, with code and name, in the body and in the head.
answer=$(ask '' -d 'SELECT * FROM nowhere' -i | tr -d '\r')
grep -qi '^x-clickhouse-exception-code: 60$' <<<"$answer"
grep -q '^Code: 60\..*(UNKNOWN_TABLE)$' <<<"$answer"
echo done
