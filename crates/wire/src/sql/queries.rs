//! The queries that read a database's own catalogue, for servers 13 to 18.
//!
//! Run them on a connection of the gateway's own, inside one transaction begun by [`CATALOGUE_PREPARE`], and give
//! every row to [`super::CatalogueLoader::row`] under its section. Every column is text (or NULL), lists are
//! separated by commas, so that the simple protocol is enough. They name everything with its schema and use no
//! operator that a user could have put before the server's: the search path holds `pg_catalog` alone.

use serde::Serialize;

/// What one query answers. [`Section::ALL`] is the order to run them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// `server_version_num`.
    Version,
    /// Built-in functions: OID, schema, name, language, source, volatility.
    BuiltinFunctions,
    /// Built-in operators: name, OID of the function.
    BuiltinOperators,
    /// Functions that users made: schema, name, argument types, required arguments, variadic, volatility, runs with its
    /// owner's rights.
    Functions,
    /// Operators that users made: schema, name, left type, right type.
    Operators,
    /// Casts that users made: source, target, context, method.
    Casts,
    /// Whatever makes a whole database unfit for proofs: a description each.
    Hazards,
    /// Event triggers, which run at definitions: name.
    EventTriggers,
    /// Types of users and built-in ones: OID, schema, name, type type, element or base type, relation, made by a
    /// user, array.
    Types,
    /// Constraints of domains: OID of the type, expression.
    DomainChecks,
    /// Relations: OID, schema, name, kind, row type, policies apply, rules, triggers, foreign access method.
    Relations,
    /// Types of columns that users made: OID of the relation, types.
    Columns,
    /// Columns: OID of the relation, number, name, type.
    ColumnNames,
    /// Generated columns: OID of the relation, number, expression.
    Generated,
    /// Code of users that planning or reading (`r`) or writing (`w`) a relation may run, or that a type's checks
    /// run (`t`): OID of the relation or type, phase, example.
    Reaches,
    /// Inheritance and partitions: child, parent.
    Inherits,
    /// Foreign keys: referenced, referencing, on delete, on update.
    Cascades,
    /// Definitions of views, materialised ones too: OID, query.
    Views,
}

impl Section {
    /// Every section, in the order to load them.
    pub const ALL: [Section; 18] = [
        Section::Version,
        Section::BuiltinFunctions,
        Section::BuiltinOperators,
        Section::Functions,
        Section::Operators,
        Section::Casts,
        Section::Hazards,
        Section::EventTriggers,
        Section::Types,
        Section::DomainChecks,
        Section::Relations,
        Section::Columns,
        Section::ColumnNames,
        Section::Generated,
        Section::Reaches,
        Section::Inherits,
        Section::Cascades,
        Section::Views,
    ];

    /// The query, without a semicolon.
    pub fn sql(self) -> &'static str {
        match self {
            Section::Version => "SELECT current_setting('server_version_num')",
            Section::BuiltinFunctions => BUILTIN_FUNCTIONS,
            Section::BuiltinOperators => BUILTIN_OPERATORS,
            Section::Functions => FUNCTIONS,
            Section::Operators => OPERATORS,
            Section::Casts => CASTS,
            Section::Hazards => HAZARDS,
            Section::EventTriggers => {
                "SELECT e.evtname::text FROM pg_event_trigger e WHERE e.evtenabled <> 'D'"
            }
            Section::Types => TYPES,
            Section::DomainChecks => DOMAIN_CHECKS,
            Section::Relations => RELATIONS,
            Section::Columns => COLUMNS,
            Section::ColumnNames => COLUMN_NAMES,
            Section::Generated => GENERATED,
            Section::Reaches => REACHES,
            Section::Inherits => INHERITS,
            Section::Cascades => CASCADES,
            Section::Views => VIEWS,
        }
    }

    /// How many columns its rows have.
    pub fn columns(self) -> usize {
        match self {
            Section::Version | Section::Hazards | Section::EventTriggers => 1,
            Section::BuiltinOperators
            | Section::DomainChecks
            | Section::Columns
            | Section::Inherits
            | Section::Views => 2,
            Section::Reaches | Section::Generated => 3,
            Section::Operators | Section::Casts | Section::Cascades | Section::ColumnNames => 4,
            Section::BuiltinFunctions => 6,
            Section::Functions => 7,
            Section::Types => 8,
            Section::Relations => 9,
        }
    }
}

/// What to run before the sections. End the transaction afterwards.
pub const CATALOGUE_PREPARE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = '30s'; \
     SET LOCAL standard_conforming_strings = on; SET LOCAL client_encoding = 'UTF8'";

const BUILTIN_FUNCTIONS: &str = "
SELECT p.oid::text, n.nspname::text, p.proname::text, l.lanname::text,
       translate(p.prosrc, chr(9) || chr(10) || chr(92), '   '), p.provolatile::text
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
WHERE p.oid < 16384 AND n.nspname IN ('pg_catalog', 'information_schema')";

const BUILTIN_OPERATORS: &str = "
SELECT o.oprname::text, o.oprcode::oid::text FROM pg_operator o WHERE o.oid < 16384 AND o.oprcode <> 0";

// Required arguments are those without a default; a variadic one may be left out, and have a default beside.
const FUNCTIONS: &str = "
SELECT n.nspname::text, p.proname::text, array_to_string(p.proargtypes::oid[], ','),
       greatest(p.pronargs - p.pronargdefaults - CASE WHEN p.provariadic <> 0 THEN 1 ELSE 0 END, 0)::text,
       (p.provariadic <> 0)::text, p.provolatile::text, p.prosecdef::text
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.oid >= 16384 OR n.nspname NOT IN ('pg_catalog', 'information_schema')";

const OPERATORS: &str = "
SELECT n.nspname::text, o.oprname::text, o.oprleft::text, o.oprright::text
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE o.oid >= 16384";

const CASTS: &str = "
SELECT c.castsource::text, c.casttarget::text, c.castcontext::text, c.castmethod::text
FROM pg_cast c WHERE c.oid >= 16384";

// A default btree or hash operator class is reached by ORDER BY, DISTINCT and GROUP BY without being named; a
// text search parser or template by every text search function. All of them take a superuser to make.
const HAZARDS: &str = "
SELECT 'the operator class ' || quote_ident(o.opcname) || ' stands in for the comparisons of '
       || format_type(o.opcintype, NULL)
FROM pg_opclass o JOIN pg_am a ON a.oid = o.opcmethod JOIN pg_type t ON t.oid = o.opcintype
WHERE o.oid >= 16384 AND o.opcdefault AND a.amname IN ('btree', 'hash')
  AND (o.opcintype < 16384 OR t.typtype IN ('e', 'c', 'd'))
UNION ALL
SELECT 'the text search parser ' || quote_ident(prsname) || ' is not a built-in' FROM pg_ts_parser WHERE oid >= 16384
UNION ALL
SELECT 'the text search template ' || quote_ident(tmplname) || ' is not a built-in'
FROM pg_ts_template WHERE oid >= 16384
UNION ALL
SELECT 'the cast between built-in types ' || castsource::regtype::text || ' and ' || casttarget::regtype::text
       || ' is not a built-in'
FROM pg_cast WHERE oid >= 16384 AND castsource < 16384 AND casttarget < 16384";

const TYPES: &str = "
SELECT t.oid::text, n.nspname::text, t.typname::text, t.typtype::text,
       (CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END)::text, t.typrelid::text,
       (t.oid >= 16384)::text, (t.typelem <> 0 AND t.typlen = -1 AND t.typcategory = 'A')::text
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast%'
  AND NOT (t.oid < 16384 AND t.typtype = 'c')";

const DOMAIN_CHECKS: &str = "
SELECT c.contypid::text, pg_get_expr(c.conbin, 0) FROM pg_constraint c
WHERE c.contypid <> 0 AND c.conbin IS NOT NULL AND c.oid >= 16384";

const RELATIONS: &str = "
SELECT c.oid::text, n.nspname::text, c.relname::text, c.relkind::text, c.reltype::text,
       (c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid))::text,
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')::text,
       EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)::text,
       (c.relam >= 16384)::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
  AND n.nspname NOT LIKE 'pg\\_toast%'";

const COLUMNS: &str = "
SELECT a.attrelid::text, string_agg(DISTINCT a.atttypid::text, ',')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.atttypid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped AND c.relpersistence <> 't'
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
GROUP BY a.attrelid";

const COLUMN_NAMES: &str = "
SELECT a.attrelid::text, a.attnum::text, a.attname::text, a.atttypid::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

const GENERATED: &str = "
SELECT a.attrelid::text, a.attnum::text, pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attgenerated <> '' AND NOT a.attisdropped";

// The query of a materialised view runs when it is refreshed, not when it is read.
// Planning folds the expressions of indexes, statistics, constraints and partition keys; a virtual generated
// column is expanded where it is read. Column defaults and stored generated columns run on writes only.
// to_jsonb(...) reads a column that older servers do not have.
const REACHES: &str = "
WITH code AS (
  SELECT 'pg_proc'::regclass AS class, oid, 'the function ' || oid::regprocedure::text AS label
    FROM pg_proc WHERE oid >= 16384
  UNION ALL
  SELECT 'pg_operator'::regclass, oid, 'the operator ' || oid::regoperator::text FROM pg_operator WHERE oid >= 16384
  UNION ALL
  SELECT 'pg_opclass'::regclass, oid, 'the operator class ' || quote_ident(opcname) FROM pg_opclass WHERE oid >= 16384
  UNION ALL
  SELECT 'pg_opfamily'::regclass, oid, 'the operator family ' || quote_ident(opfname)
    FROM pg_opfamily WHERE oid >= 16384
  UNION ALL
  SELECT 'pg_am'::regclass, oid, 'the access method ' || quote_ident(amname) FROM pg_am WHERE oid >= 16384
), parts AS (
  SELECT 'pg_class'::regclass AS class, oid, oid AS relation, 'r' AS phase FROM pg_class WHERE relkind IN ('r', 'p', 'm')
  UNION ALL
  SELECT 'pg_class'::regclass, indexrelid, indrelid, 'r' FROM pg_index
  UNION ALL
  SELECT 'pg_constraint'::regclass, oid, conrelid, 'r' FROM pg_constraint WHERE conrelid <> 0
  UNION ALL
  SELECT 'pg_constraint'::regclass, oid, contypid, 't' FROM pg_constraint WHERE contypid <> 0
  UNION ALL
  SELECT 'pg_statistic_ext'::regclass, oid, stxrelid, 'r' FROM pg_statistic_ext
  UNION ALL
  SELECT 'pg_rewrite'::regclass, r.oid, r.ev_class, CASE WHEN r.rulename = '_RETURN' THEN 'r' ELSE 'w' END
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relkind <> 'm'
  UNION ALL
  SELECT 'pg_attrdef'::regclass, d.oid, d.adrelid,
         CASE WHEN to_jsonb(a) ->> 'attgenerated' = 'v' THEN 'r' ELSE 'w' END
    FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
)
SELECT parts.relation::text, parts.phase, min(code.label)
FROM pg_depend d
JOIN parts ON parts.class = d.classid AND parts.oid = d.objid
JOIN code ON code.class = d.refclassid AND code.oid = d.refobjid
GROUP BY parts.relation, parts.phase";

const INHERITS: &str = "SELECT i.inhrelid::text, i.inhparent::text FROM pg_inherits i";

const CASCADES: &str = "
SELECT c.confrelid::text, c.conrelid::text, c.confdeltype::text, c.confupdtype::text
FROM pg_constraint c WHERE c.contype = 'f'";

const VIEWS: &str = "
SELECT c.oid::text, pg_get_viewdef(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND c.relpersistence <> 't'";
