#!/bin/sh
# Large objects, which libpq reads and writes by calls of functions without a statement.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
head -c 300000 /dev/zero | tr '\0' 'x' > object
psql -X -q <<'SQL'
\set ON_ERROR_STOP on
\lo_import 'object'
\set oid :LASTOID
\lo_export :oid 'object.out'
\lo_unlink :oid
SQL
wc -c < object.out
cmp object object.out && echo "the object came back as it went"
