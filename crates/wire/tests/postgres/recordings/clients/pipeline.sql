\set id random(1, 1000)
\startpipeline
select abalance from pgbench_accounts where aid = :id;
insert into pgbench_history values (1, 1, :id, 1, now(), 'x');
\endpipeline
