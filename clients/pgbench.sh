#!/bin/sh
# pgbench: its own schema, then its own transactions in each mode of the protocol.
set -eu
pgbench -i -s 1 -q 2>/dev/null
for mode in simple extended prepared; do
    pgbench -n -M "$mode" -c 4 -j 2 -t 60 2>/dev/null | grep -E 'query mode|actually processed|failed'
    pgbench -n -S -M "$mode" -c 4 -j 2 -t 60 2>/dev/null | grep -E 'query mode|actually processed|failed'
done
script=$(mktemp)
cat > "$script" <<'SQL'
\set id random(1, 1000)
\startpipeline
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :id;
SELECT abalance FROM pgbench_accounts WHERE aid = :id;
\endpipeline
SQL
pgbench -n -M extended -c 4 -j 2 -t 60 -f "$script" 2>/dev/null | grep -E 'query mode|actually processed|failed'
pgbench -n -M prepared -c 4 -j 2 -t 60 -f "$script" 2>/dev/null | grep -E 'query mode|actually processed|failed'
rm -f "$script"
psql -X -At -c 'SELECT count(*) FROM pgbench_history' -c 'SELECT count(*) FROM pgbench_accounts'
