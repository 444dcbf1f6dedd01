-- Sorts every function that a new cluster of PostgreSQL 13 to 18 brings into groups: reviewed or withheld, with the
-- reason for each group. `reviewed.txt` holds the answers of all versions together; a test asks a live server and
-- compares, so a function that a later version brings is noticed there before it counts as anything.
--
-- The questions of the review: does it write, lock, signal, sleep, reach files, change session state, consume a
-- transaction id, run text, run the code of types or objects that are named only when it runs?

WITH withheld(number, name, pattern, reason) AS (VALUES
  (1, 'sequences', '^(nextval|setval)$', 'change a sequence'),
  (2, 'session state', '^(set_config|setseed)$', 'change settings or the random state of the session on purpose'),
  (3, 'notifications', '^pg_notify$', 'wake other sessions'),
  (4, 'sleeping', '^pg_sleep', 'hold the session'),
  (5, 'advisory locks', '^pg_(try_)?advisory_', 'take or drop locks'),
  (6, 'signals', '^pg_(cancel_backend|terminate_backend|log_backend_memory_contexts)$', 'signal other sessions'),
  (7, 'operation of the server',
      '^pg_(reload_conf|rotate_logfile|rotate_logfile_old|promote|switch_wal|create_restore_point|backup_start|backup_stop|start_backup|stop_backup|wal_replay_pause|wal_replay_resume|log_standby_snapshot|get_shmem_allocations_numa)$',
      'operate the server, write its log, or touch all of its memory'),
  (8, 'files of the server',
      '^pg_(read_|ls_|stat_file|current_logfile|hba_file_rules|ident_file_mappings|show_all_file_settings|available_wal_summaries|wal_summary_contents)',
      'read files of the server'),
  (9, 'large objects', '^lo_|^lo(read|write)$|^lowrite$', 'open or write large objects, or files'),
  (10, 'queries as text', '^(query|table|schema|database|cursor)_to_xml|^ts_(stat|rewrite)$',
      'run queries that are given as text or built from a name'),
  (11, 'types as text', '^pg_input_(error_info|is_valid)$',
      'run the input of a type that is named only as text, a domain with its checks included'),
  (12, 'replication', '^pg_(logical_|copy_|create_|drop_|replication_)', 'make, move or drop slots and origins'),
  (13, 'things left behind',
      '^pg_(export_snapshot|current_xact_id|nextoid|stop_making_pinned_objects|extension_config_dump)$|^txid_current$',
      'leave a file, a transaction id or an OID behind'),
  (14, 'statistics', '^pg_stat_(reset|clear_snapshot|force_next_flush)|^pg_(restore|clear)_.*_stats$', 'change statistics'),
  (15, 'writers of the catalogue', '^pg_import_system_collations$|^binary_upgrade_', 'write the catalogue'),
  (16, 'event triggers', '^pg_event_trigger_', 'work only inside event triggers'),
  (17, 'test support', '^pg_isolation_test_', 'are there for the server''s own tests'),
  (18, 'maintenance of indexes', '^(brin_summarize|brin_desummarize|gin_clean)', 'write indexes'),
  (19, 'calls at a remove',
      '^pg_get_partition_constraintdef$|^pg_index(am|_column)?_has_property$|^pg_jit_available$|^currtid2?$|^(amvalidate|fmgr_.*_validator|plpgsql_.*|dsnowball_.*)$',
      'run code of objects that are named only when they run: partition keys, access methods, libraries, views'),
  (20, 'triggers', '^RI_FKey_|_trigger$|^unique_key_recheck$', 'are triggers'),
  (21, 'input of any type', '^(array|domain|record|range|multirange|anyarray)_(in|recv)$',
      'build a value of any type, domains included, by OID')
), groups(number, name, reason) AS (
  SELECT number, name, reason FROM withheld
  UNION ALL VALUES
  (30, 'libraries', 'are in C, outside the server''s own program, or in another language'),
  (31, 'raw input and output', 'are not callable from SQL, or build a value of any type by OID'),
  (32, 'returning nothing', 'are there for their effect, or are called by the server alone'),
  (33, 'bodies as text', 'are in SQL whose body is read under the search path of whoever calls, names and operators unqualified'),
  (34, 'aggregates of withheld functions', 'are what their functions are'),
  (50, 'aggregates', 'combine values; every function that they are made of is reviewed as well'),
  (51, 'window functions', 'number and compare the rows of a window'),
  (52, 'clocks and random values', 'volatile, and leave nothing behind but the next random value of the session'),
  (53, 'sequences, read', 'tell where a sequence stands without moving it'),
  (54, 'privileges', 'compare a role with the catalogue'),
  (55, 'statistics, read', 'read counters and positions in shared memory'),
  (56, 'definitions', 'tell what the catalogue holds in words; of users'' code they call output functions of types at most, which only a superuser can bring, in C'),
  (57, 'the server, read', 'read settings, sizes, snapshots, positions, names'),
  (58, 'text search', 'call the parser and the templates of a configuration; a database with its own ones is not provable at all'),
  (59, 'documents', 'read or build JSON and XML; they call output functions and casts to JSON of the types of their arguments, which are judged with the types that occur'),
  (60, 'operators', 'compute an operator from its two values; those of arrays, ranges and rows compare with the default operators of the types in them, which are judged with the database'),
  (61, 'casts', 'turn a value of one built-in type into another'),
  (62, 'support of indexes', 'compare, hash or place values'),
  (63, 'helpers of the information schema', 'compute what its views show; their bodies are bound or written with qualified names only'),
  (64, 'computations', 'compute from their arguments alone'),
  (65, 'computations in SQL', 'compute with operators that fit their types exactly, which the server finds first as long as pg_catalog leads the search path; of a server that has such bodies a proof demands that')
), functions AS (
  SELECT p.oid, n.nspname AS schema, p.proname AS name, l.lanname AS language,
         translate(p.prosrc, E'\t\n\\', '   ') AS source, p.prokind, p.proargtypes, p.prorettype,
         -- Before version 14 these were written without schemas. The operators that they use fit the types exactly.
         n.nspname = 'pg_catalog' AND l.lanname = 'sql' AND p.prosrc <> '' AND p.proname ~
           '^(int8pl_inet|integer_pl_date|interval_pl_.*|timedate_pl|timetzdate_pl|timestamptz|anytextcat|textanycat|overlaps|bit_length)$'
           AND current_setting('server_version_num')::int < 140000 AS exact
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_language l ON l.oid = p.prolang
  WHERE p.oid < 16384 AND n.nspname IN ('pg_catalog', 'information_schema')
), barred AS (
  SELECT f.oid, CASE
    WHEN f.language NOT IN ('internal', 'sql') THEN 30
    WHEN (SELECT min(w.number) FROM withheld w WHERE f.name ~ w.pattern) IS NOT NULL
      THEN (SELECT min(w.number) FROM withheld w WHERE f.name ~ w.pattern)
    WHEN 'internal'::regtype = ANY (f.proargtypes) OR 'cstring'::regtype = ANY (f.proargtypes) THEN 31
    WHEN f.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'cstring'::regtype,
                          'void'::regtype) OR f.prorettype::regtype::text LIKE '%\_handler' THEN 32
    -- Without the operators and functions that are written with their schema, nothing may be left that is looked up.
    WHEN f.language = 'sql' AND f.source <> '' AND NOT f.exact
     AND regexp_replace(f.source, '^\s*select \* from|operator\s*\(pg_catalog\.[^)]*\)|pg_catalog\.\w+\s*\(|''[^'']*''|::pg_catalog\.\w+(\[\])?|\mcast\s*\(|\mas \w+\s*\(', ' ', 'gi')
         ~* '[-+*/<>=~!@#%^&|]|\moverlaps\M|\mlike\M|\mbetween\M|\min\M|\mcase\M|\msubstring\M|\w\s*\(' THEN 33
    END AS number
  FROM functions f
), sorted AS (
  SELECT f.*, coalesce(b.number,
    CASE WHEN EXISTS (
      SELECT FROM pg_aggregate a
      JOIN barred x ON x.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                                 a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
      WHERE a.aggfnoid = f.oid AND x.number < 30) THEN 34 END,
    CASE
      WHEN f.exact THEN 65
      WHEN f.prokind = 'a' THEN 50
      WHEN f.prokind = 'w' THEN 51
      WHEN f.schema = 'information_schema' THEN 63
      WHEN f.name ~ '^(now|timeofday|(clock|statement|transaction)_timestamp|random|random_normal|gen_random_uuid|uuidv[0-9]|array_(sample|shuffle))$' THEN 52
      WHEN f.name ~ '^(currval|lastval|pg_sequence_|pg_get_sequence_data)' THEN 53
      WHEN f.name ~ '^(has_.*_privilege|pg_has_role|row_security_active|acl|makeaclitem|pg_get_acl)' THEN 54
      WHEN f.name ~ '^(pg_stat_|pg_lock_status|pg_.*blocking_pids|pg_.*wal_|pg_last_|pg_notification_queue)' THEN 55
      WHEN f.name ~ '^(pg_get_|pg_describe|pg_identify|format_type|(col|obj|shobj)_description|oidvectortypes|reg|to_reg)' THEN 56
      WHEN f.name ~ '^(pg_|txid_|current_|session_|system_user|getpg|getdatabase|inet_(client|server)_|version$|mxid_age)'
        OR (f.name = 'age' AND f.proargtypes[0] = 'xid'::regtype) THEN 57
      WHEN 'regconfig'::regtype = ANY (f.proargtypes) OR f.name ~ '^(to_ts|ts_|plainto|phraseto|websearch|json.?_to_ts|get_current_ts)' THEN 58
      WHEN f.name ~ '^(json|xml|xpath|row_to_json|array_to_json|to_json)' THEN 59
      WHEN EXISTS (SELECT FROM pg_operator o WHERE o.oprcode = f.oid) THEN 60
      WHEN EXISTS (SELECT FROM pg_cast c WHERE c.castfunc = f.oid) THEN 61
      WHEN EXISTS (SELECT FROM pg_amproc a WHERE a.amproc = f.oid) THEN 62
      ELSE 64
    END) AS number
  FROM functions f JOIN barred b ON b.oid = f.oid
)
SELECT s.number, g.name, g.reason, s.oid, s.schema, s.name, s.language, s.source
FROM sorted s JOIN groups g ON g.number = s.number
ORDER BY s.number, s.schema, s.name, s.oid;
