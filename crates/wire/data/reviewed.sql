-- Makes reviewed-pg15.txt from a freshly initialised PostgreSQL 15:
--
--   psql -X -At -F $'\t' -f reviewed.sql postgres > functions.txt
--
-- and put the file's own head before the result. The rows are every function of a new cluster that is written in
-- C inside the server (language `internal`) or in SQL with a body fixed by OIDs, less what `excluded` names. The
-- reasons below are the review: whoever adds a version reads its new functions against the same questions.
-- Does it write, lock, signal, sleep, reach files, change session state, consume a transaction id or run text?

WITH excluded(pattern, reason) AS (VALUES
  ('^(nextval|setval)$',                        'changes a sequence'),
  ('^(set_config|setseed)$',                    'changes session state'),
  ('^pg_notify$',                               'wakes other sessions'),
  ('^pg_sleep',                                 'holds the session'),
  ('^pg_(try_)?advisory_',                      'takes or drops locks'),
  ('^pg_(cancel_backend|terminate_backend|log_backend_memory_contexts)$', 'signals other sessions'),
  ('^pg_(reload_conf|rotate_logfile|rotate_logfile_old|promote|switch_wal|create_restore_point)$',
                                                'operates the server'),
  ('^pg_(backup_start|backup_stop|wal_replay_pause|wal_replay_resume)$', 'operates the server'),
  ('^pg_(read_|ls_|stat_file|current_logfile|hba_file_rules|ident_file_mappings|show_all_file_settings)',
                                                'reads files of the server'),
  ('^lo_|^lo(read|write)$|^lowrite$',           'large objects: opens, writes, files'),
  ('^(query|table|schema|database|cursor)_to_xml', 'runs queries built from its arguments'),
  ('^ts_(stat|rewrite)$',                       'runs a query given as text'),
  ('^pg_(logical_|copy_|create_|drop_|replication_)', 'replication slots and origins'),
  ('^pg_(export_snapshot|current_xact_id|nextoid|stop_making_pinned_objects|extension_config_dump)$',
                                                'leaves something behind (a file, a transaction id, an OID)'),
  ('^txid_current$',                            'consumes a transaction id'),
  ('^pg_stat_(reset|clear_snapshot|force_next_flush)', 'changes statistics'),
  ('^pg_import_system_collations$',             'writes the catalogue'),
  ('^pg_event_trigger_',                        'only inside event triggers'),
  ('^pg_isolation_test_',                       'test support'),
  ('^binary_upgrade_',                          'writes the catalogue'),
  ('^(brin_summarize|brin_desummarize|gin_clean)', 'maintains indexes'),
  ('^pg_get_partition_constraintdef$',          'folds the partition key expressions of any table, which runs functions'),
  ('^pg_index(am|_column)?_has_property$',      'calls the handler of an access method'),
  ('^pg_jit_available$',                        'loads a library'),
  ('^currtid2?$',                               'opens a relation named at run time, through views'),
  ('^(amvalidate|fmgr_.*_validator|plpgsql_.*|dsnowball_.*)$', 'calls other functions by OID'),
  ('^RI_FKey_|_trigger$|^unique_key_recheck$|^tsvector_update_trigger', 'a trigger function'),
  ('^(array|domain|record|range|multirange|anyarray)_(in|recv)$', 'builds any type, domains included, by OID')
)
SELECT p.oid, n.nspname, p.proname, l.lanname,
       translate(p.prosrc, E'\t\n\\', '   ')
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
WHERE p.oid < 16384
  AND n.nspname IN ('pg_catalog', 'information_schema')
  AND l.lanname IN ('internal', 'sql')
  -- Neither callable from SQL (internal) nor anything but the raw input and output of types (cstring).
  AND NOT ('internal'::regtype = ANY (p.proargtypes) OR 'cstring'::regtype = ANY (p.proargtypes))
  -- Functions that return nothing are there for their effect.
  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype,
                           'cstring'::regtype, 'void'::regtype)
  AND p.prorettype::regtype::text NOT LIKE '%\_handler'
  AND NOT EXISTS (SELECT FROM excluded e WHERE p.proname ~ e.pattern)
  -- An aggregate is what its functions are.
  AND NOT EXISTS (
    SELECT FROM pg_aggregate a
    JOIN pg_proc f ON f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                                a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
    JOIN excluded e ON f.proname ~ e.pattern
    WHERE a.aggfnoid = p.oid)
ORDER BY n.nspname <> 'pg_catalog', p.proname, p.oid;
