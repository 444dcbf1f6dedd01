#!/bin/sh
# psql, as people use it: meta-commands, COPY in both directions, cursors, errors in full.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(cd "$(dirname "$0")" && pwd)
seq 1 2000 | awk '{ printf "%d\tname %d\t%d.25\n", $1, $1, $1 }' > "$work/in.tsv"
printf '1\tgood\t1.0\nbad\tline\t2.0\n' > "$work/broken.tsv"
cd "$work" || exit 1
psql -X -v VERBOSITY=verbose -f "$here/psql.sql" 2>&1 | sed -E \
    -e 's/server process with PID [0-9]+/server process with PID N/' \
    -e 's/^(Time:|LOCATION:).*/\1/' \
    -e 's#psql:.*/psql.sql:#psql:#'
echo "out: $(wc -l < out.tsv) lines"
# Several statements in one message, in one implicit transaction; and one that fails in the middle.
psql -X -At -c "CREATE TABLE c_psql.m(i int); INSERT INTO c_psql.m VALUES (1); SELECT count(*) FROM c_psql.m"
psql -X -At -c "INSERT INTO c_psql.m VALUES (2); SELECT 1/0; INSERT INTO c_psql.m VALUES (3)" 2>&1
psql -X -At -c "SELECT array_agg(i ORDER BY i) FROM c_psql.m"
# Settings at the start, from environment and options.
PGOPTIONS="-c statement_timeout=150" psql -X -At -c "SHOW statement_timeout" -c "SELECT pg_sleep(2)" 2>&1
PGOPTIONS="-c work_mem=5MB --my.own=a\\ b -c search_path=\"\$user\",pg_catalog -c work_mem=6MB" psql -X -At -c "SHOW work_mem" \
    -c "SHOW my.own" -c "SHOW search_path" -c "SET work_mem = '9MB'" -c "RESET work_mem" -c "SHOW work_mem" \
    -c "SELECT source, reset_val FROM pg_settings WHERE name = 'work_mem'"
PGOPTIONS="-c log_min_messages=error -c standard_conforming_strings=off" psql -X -At -c "SHOW log_min_messages" -c "SELECT 'a\\\\b'"
PGOPTIONS="-c work_mem=much" psql -X -At -c "SELECT 1" 2>&1
PGOPTIONS="-c no_such_setting=1" psql -X -At -c "SELECT 1" 2>&1
PGTZ=Asia/Kolkata PGDATESTYLE=German psql -X -At -c "SELECT timestamptz '2026-03-03 09:30:00+00', date '2026-03-03'"
PGCLIENTENCODING=LATIN1 psql -X -At -c "SHOW client_encoding" -c "SELECT length('caf' || chr(233))"
# A query that is cancelled by a signal, and the connection that lives on.
(sleep 1; pkill -INT -P $$ psql) &
psql -X -At -v VERBOSITY=verbose 2>&1 <<'SQL' | sed -e '/^LOCATION/d'
SELECT pg_sleep(20);
SELECT 'still here';
SQL
wait
echo done
