-- psql: the simple protocol, several statements in one text, transactions, errors, notices, copies both ways, notifications.
drop table if exists orders;
create table orders (id int primary key, customer text, total numeric);
insert into orders select n, 'customer ' || n, n * 1.5 from generate_series(1, 50) n;
select * from orders where id < 4;
begin; delete from orders where id = 7; savepoint s; select 1/0; rollback to s; select count(*) from orders; commit;
begin;
select nonsense;
select 1;
rollback;
select 1 \; select 2 \; insert into orders values (1001, null, null) \; select from orders limit 2;
;
do $$ begin raise notice 'a notice with a detail' using detail = 'the detail'; end $$;
listen jobs; notify jobs, 'ready';
\copy orders (id, customer, total) from pstdin
2001	copied	10
2002	copied too	\N
\.
\copy orders from pstdin
1	duplicate	1
\.
\copy (select * from orders where id > 2000) to pstdout
copy (select 1) to stdout \; select 2;
prepare p as select $1::int; execute p(5); deallocate p;
explain delete from orders;
set application_name = 'recorded';
select count(*), length(string_agg(x, '')) from (select repeat('x', 100) x from orders) t;
\o /dev/null
select repeat('x', 70000);
\o
select 1 \gdesc
begin; declare c cursor for select * from orders; fetch 3 from c; close c; end;
drop table orders;
