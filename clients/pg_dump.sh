#!/bin/sh
# pg_dump and pg_restore: the whole shop out, away, and in again.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A dump is restricted by a random word, so that no two are the same.
plain() { sed -E -e '/^\\(un)?restrict /d' "$1" | cksum; }
pg_dump --schema=public > "$work/plain.sql"
wc -l < "$work/plain.sql"
plain "$work/plain.sql"
pg_dump --inserts --table=public.products > "$work/inserts.sql"
plain "$work/inserts.sql"
pg_dump --format=custom --schema=public --file="$work/dump"
pg_restore --list "$work/dump" | grep -vc '^;'
psql -X -q -c 'DROP SCHEMA public CASCADE' 2>/dev/null
pg_restore --dbname="${PGDATABASE}" --exit-on-error "$work/dump"
psql -X -At -c 'SELECT count(*), sum(total) FROM public.orders'
pg_dump --schema=public > "$work/again.sql"
wc -l < "$work/again.sql"
# The rows may lie in another order than before; they are the same rows.
sort "$work/again.sql" > "$work/again.sorted"
plain "$work/again.sorted"
pg_dump --format=directory --jobs=2 --schema=public --file="$work/folder"
ls "$work/folder" | wc -l
