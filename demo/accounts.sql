-- The upstream accounts that the gateway uses. Nobody else knows their passwords.
-- The demo replaces each :'name' by a quoted password of its own.

create role shop_reader login password :'shop_reader' connection limit 50;
grant select on all tables in schema public to shop_reader;

create role shop_writer login password :'shop_writer' connection limit 50;
grant select, insert, update, delete on all tables in schema public to shop_writer;
grant usage on all sequences in schema public to shop_writer;

-- Looks before approval: may read, may write nothing. It may also end a backend that outlives its grant.
create role shop_looker login password :'shop_looker' connection limit 10;
alter role shop_looker set default_transaction_read_only = on;
alter role shop_looker set statement_timeout = '2s';
grant select on all tables in schema public to shop_looker;
grant pg_read_all_stats, pg_signal_backend to shop_looker;

revoke create on schema public from public;
revoke temporary on database shop from public;
