//! One statement: its verb, its base kind, and what else can be read off its syntax.
//!
//! A table of the statements that are understood. A statement that is not in it is `sql.unknown`: a server that
//! learns a new statement does not make this a hole.

use std::collections::BTreeSet;

use pg_query::protobuf as pb;

use super::access::Found;
use super::columns::{self, Uses};
use super::count::{self, Foreseen};
use super::facts::{Access, CopyTarget, Prepared, PreparedUse, SettingChange, TransactionStep};
use super::kinds::{Kind, Verb};
use super::mentions::Walk;
use super::settings;
use super::tree::{Tree, Value, names_of};

/// What is known of one statement before the database's own objects are looked at.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    /// What it is by itself. `Read` means a query whose proof is still to be made.
    pub(super) base: Kind,
    pub(super) verbs: BTreeSet<Verb>,
    pub(super) found: Found,
    /// The columns that it uses.
    pub(super) uses: Uses,
    /// Whether what it mentions runs: an unproved mention then makes it a call beside its base kind.
    pub(super) runs: bool,
    pub(super) copies: BTreeSet<CopyTarget>,
    pub(super) settings: BTreeSet<SettingChange>,
    pub(super) role_change: bool,
    pub(super) explain_analyze: bool,
    pub(super) prepared: Vec<Prepared>,
    pub(super) transaction: Vec<TransactionStep>,
    pub(super) reasons: Vec<String>,
    /// What is known beforehand of the rows that it would touch.
    pub(super) foreseen: Option<Foreseen>,
    /// Whether it updates rows that an INSERT finds there already.
    pub(super) upserts: bool,
    /// Whether TRUNCATE or DROP takes dependents along.
    pub(super) cascades: bool,
    /// Whether session state may change unseen.
    pub(super) taints: bool,
    /// Whether it gives back rows and does not say how many at most.
    pub(super) unlimited: bool,
    /// Whether it keeps the tables that it names in order, which runs the expressions of their indexes and statistics.
    pub(super) maintains: bool,
}

/// Reads a statement. `raw` is the same statement as the grammar gave it; `text` is the whole text.
pub(super) fn read(tree: &Tree, raw: &pb::Node) -> Statement {
    let mut statement = Statement::new(Kind::Unknown, Found::default());
    statement.fill(tree);
    if matches!(statement.base, Kind::Ddl | Kind::Admin) && tree.names_temporary_schema() {
        statement.found.creates_temporary = true;
    }
    statement.uses = columns::uses(tree);
    statement.foreseen = count::foresee(tree, raw);
    statement.upserts = statement.verbs.contains(&Verb("insert")) && count::upserts(tree);
    statement
}

impl Statement {
    fn new(base: Kind, found: Found) -> Statement {
        Statement {
            base,
            verbs: BTreeSet::new(),
            found,
            uses: Uses::default(),
            runs: false,
            copies: BTreeSet::new(),
            settings: BTreeSet::new(),
            role_change: false,
            explain_analyze: false,
            prepared: Vec::new(),
            transaction: Vec::new(),
            reasons: Vec::new(),
            foreseen: None,
            upserts: false,
            cascades: false,
            taints: false,
            maintains: false,
            unlimited: false,
        }
    }

    fn fill(&mut self, tree: &Tree) {
        match tree.name {
            "SelectStmt" | "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.query(tree),
            "TruncateStmt" => {
                let mut walk = Walk::new(Access::Write);
                walk.children(tree, &[]);
                self.found = walk.found;
                self.plain("truncate", Kind::Write);
                self.runs = true;
                self.cascades = tree.int("behavior") == pb::DropBehavior::DropCascade as i64;
            }
            "CopyStmt" => self.copy(tree),
            "ExplainStmt" => self.explain(tree),
            "TransactionStmt" => self.transaction(tree),
            "VariableSetStmt" => self.set(tree),
            "VariableShowStmt" => self.plain("show", Kind::Session),
            "DiscardStmt" => self.discard(tree),
            "PrepareStmt" => self.prepare(tree),
            "ExecuteStmt" => self.execute(tree),
            "DeallocateStmt" => {
                self.plain("deallocate", Kind::Session);
                self.note_prepared(tree.text("name"), PreparedUse::Deallocate);
            }
            "DeclareCursorStmt" | "FetchStmt" | "ClosePortalStmt" => self.cursor(tree),
            "CreateTableAsStmt" => self.create_table_as(tree),
            "DoStmt" => self.opaque("do", Kind::Unknown, "a DO block runs code that is not looked into"),
            "CallStmt" => {
                self.opaque("call", Kind::Call, "CALL runs a procedure that is not looked into");
                self.walk(Walk::new(Access::Read), tree);
            }
            "ListenStmt" => self.plain("listen", Kind::Session),
            "UnlistenStmt" => self.plain("unlisten", Kind::Session),
            "NotifyStmt" => self.reasoned("notify", Kind::Call, "NOTIFY wakes other sessions"),
            "LockStmt" => {
                self.reasoned("lock", Kind::Call, "LOCK keeps others out of the table");
                self.walk(Walk::new(Access::Read), tree);
            }
            "ConstraintsSetStmt" if tree.flag("deferred") => self.plain("set_constraints", Kind::Session),
            "ConstraintsSetStmt" => {
                self.opaque(
                    "set_constraints",
                    Kind::Call,
                    "deferred triggers run now, which may do anything",
                );
            }
            "DropStmt" => self.drop_objects(tree),
            "CreateSchemaStmt" => self.create_schema(tree),
            _ => self.by_table(tree),
        }
    }

    /// A query or a data-modifying statement.
    fn query(&mut self, tree: &Tree) {
        self.runs = true;
        self.walk(Walk::new(Access::Read), tree);
        let verb = if tree.name == "SelectStmt" { Some("select") } else { None };
        self.unlimited = verb.is_some() && !is_limited(tree);
        self.verbs.extend(verb.map(Verb));
        self.base = match (self.found.verbs.is_empty(), self.found.select_into) {
            (_, true) => Kind::Ddl,
            (false, _) => Kind::Write,
            (true, false) => Kind::Read,
        };
        if self.found.locks_rows {
            self.reasons.push("it locks rows (FOR UPDATE or the like)".to_owned());
        }
        if self.found.select_into {
            self.verbs.insert(Verb("create_table"));
            self.reasons.push("SELECT INTO creates a table".to_owned());
        }
        if self.found.data_modifying_cte {
            self.reasons.push("a WITH clause changes data".to_owned());
        }
    }

    fn copy(&mut self, tree: &Tree) {
        let from = tree.flag("is_from");
        let file = tree.text("filename").to_owned();
        let (target, outside) = match (tree.flag("is_program"), file.is_empty(), from) {
            (true, _, true) => (CopyTarget::FromProgram(file), Some("COPY runs a program on the server")),
            (true, _, false) => (CopyTarget::ToProgram(file), Some("COPY runs a program on the server")),
            (false, true, true) => (CopyTarget::FromClient, None),
            (false, true, false) => (CopyTarget::ToClient, None),
            (false, false, true) => (CopyTarget::FromFile(file), Some("COPY reads a file on the server")),
            (false, false, false) => (CopyTarget::ToFile(file), Some("COPY writes a file on the server")),
        };
        self.copies.insert(target);
        self.runs = true;
        let mut walk = Walk::new(if from { Access::Write } else { Access::Read });
        walk.children(tree, &[]);
        self.verbs.extend(walk.found.verbs.iter().copied());
        self.found = walk.found;
        self.verbs.insert(Verb(if from { "copy_in" } else { "copy_out" }));
        self.unlimited = !from && tree.node("query").is_none_or(|query| !is_limited(query));
        self.base = match (outside.is_some(), from || !self.found.verbs.is_empty()) {
            (true, _) => Kind::Admin,
            (false, true) => Kind::Write,
            (false, false) => Kind::Call,
        };
        self.reasons.extend(outside.map(str::to_owned));
        if self.base == Kind::Call {
            self.reasons.push("COPY TO is a bulk export, not a plain query".to_owned());
        }
    }

    fn explain(&mut self, tree: &Tree) {
        // The last of repeated options wins on the server; here any that asks for execution does.
        self.explain_analyze =
            tree.nodes("options").any(|o| o.text("defname").eq_ignore_ascii_case("analyze") && !is_off(o));
        let Some(query) = tree.node("query") else {
            return self.opaque("explain", Kind::Unknown, "EXPLAIN without a statement");
        };
        if self.explain_analyze {
            self.fill(query);
            self.reasons.insert(0, "EXPLAIN ANALYZE executes the statement".to_owned());
        } else {
            let mut walk = Walk::definition();
            walk.visit(query);
            self.found = walk.found;
            self.runs = true;
            if query.name == "ExecuteStmt" {
                self.note_prepared(query.text("name"), PreparedUse::Execute);
            }
        }
        if !self.explain_analyze || self.base <= Kind::Call {
            self.base = Kind::Call;
            self.reasons.push("planning a statement may already run functions".to_owned());
        }
        self.verbs.insert(Verb("explain"));
    }

    fn transaction(&mut self, tree: &Tree) {
        use pb::TransactionStmtKind as K;
        let savepoint = || tree.text("savepoint_name").to_owned();
        let gid = || tree.text("gid").to_owned();
        let kind = K::try_from(i32::try_from(tree.int("kind")).unwrap_or(0)).unwrap_or(K::Undefined);
        let (verb, step) = match kind {
            K::TransStmtBegin | K::TransStmtStart => ("begin", TransactionStep::Begin),
            K::TransStmtCommit => ("commit", TransactionStep::Commit),
            K::TransStmtRollback => ("rollback", TransactionStep::Rollback),
            K::TransStmtSavepoint => ("savepoint", TransactionStep::Savepoint(savepoint())),
            K::TransStmtRelease => ("release", TransactionStep::Release(savepoint())),
            K::TransStmtRollbackTo => ("rollback_to", TransactionStep::RollbackTo(savepoint())),
            K::TransStmtPrepare => ("prepare_transaction", TransactionStep::Prepare(gid())),
            K::TransStmtCommitPrepared => ("commit_prepared", TransactionStep::CommitPrepared(gid())),
            K::TransStmtRollbackPrepared => ("rollback_prepared", TransactionStep::RollbackPrepared(gid())),
            K::Undefined => return self.opaque("transaction", Kind::Unknown, "unknown transaction control"),
        };
        let two_phase = matches!(
            step,
            TransactionStep::Prepare(_)
                | TransactionStep::CommitPrepared(_)
                | TransactionStep::RollbackPrepared(_)
        );
        if two_phase {
            let why = "a prepared transaction outlives its session and can be ended by another one";
            self.reasoned(verb, Kind::Admin, why);
        } else {
            self.plain(verb, Kind::Session);
        }
        self.transaction.push(step);
    }

    fn set(&mut self, tree: &Tree) {
        let setting = settings::set(tree);
        let reset = matches!(tree.int("kind"), k if k == pb::VariableSetKind::VarReset as i64
            || k == pb::VariableSetKind::VarResetAll as i64);
        self.plain(if reset { "reset" } else { "set" }, Kind::Session);
        if let Some(concern) = setting.concern {
            self.base = Kind::Admin;
            self.reasons.push(concern);
        }
        if setting.role_change {
            self.verbs.insert(Verb("set_role"));
        }
        self.role_change = setting.role_change;
        self.settings.extend(setting.changes);
    }

    fn discard(&mut self, tree: &Tree) {
        self.plain("discard", Kind::Session);
        if tree.int("target") == pb::DiscardMode::DiscardAll as i64 {
            self.settings.insert(SettingChange {
                name: "all".to_owned(),
                value: None,
                scope: super::facts::SettingScope::Session,
            });
            self.role_change = true;
            self.note_prepared("", PreparedUse::Deallocate);
            self.found.cursors.insert(String::new());
        }
    }

    fn prepare(&mut self, tree: &Tree) {
        if let Some(query) = tree.node("query") {
            self.fill(query);
        }
        self.walk_more(Walk::new(Access::Read), tree, &["query"]);
        self.reasons.insert(0, "PREPARE keeps the statement for a later EXECUTE".to_owned());
        if self.base <= Kind::Call {
            self.base = Kind::Call;
        }
        self.verbs.insert(Verb("prepare"));
        self.note_prepared(tree.text("name"), PreparedUse::Prepare);
    }

    fn execute(&mut self, tree: &Tree) {
        let why =
            format!("EXECUTE runs what was prepared as `{}`, which its text does not say", tree.text("name"));
        self.opaque("execute", Kind::Unknown, &why);
        self.note_prepared(tree.text("name"), PreparedUse::Execute);
        self.walk(Walk::new(Access::Read), tree);
    }

    fn cursor(&mut self, tree: &Tree) {
        match tree.name {
            "DeclareCursorStmt" => {
                // It plans its query as a read would, and runs it while rows are fetched.
                self.base = Kind::Call;
                if let Some(query) = tree.node("query") {
                    self.fill(query);
                }
                self.verbs.insert(Verb("declare"));
            }
            "FetchStmt" => {
                let verb = if tree.flag("ismove") { "move" } else { "fetch" };
                let why = format!("FETCH runs the query of the cursor `{}`", tree.text("portalname"));
                self.opaque(verb, Kind::Call, &why);
            }
            _ => self.plain("close", Kind::Session),
        }
        self.found.cursors.insert(tree.text("portalname").to_owned());
    }

    fn create_table_as(&mut self, tree: &Tree) {
        let view = tree.int("objtype") == pb::ObjectType::ObjectMatview as i64;
        let executes = tree.node("query").filter(|q| q.name == "ExecuteStmt");
        let mut walk = Walk::new(Access::Read);
        walk.children(tree, &[]);
        self.found = walk.found;
        // The walk met an INTO, but this statement says CREATE.
        self.found.select_into = tree.flag("is_select_into");
        self.plain(if view { "create_materialized_view" } else { "create_table" }, Kind::Ddl);
        self.verbs.insert(Verb("select"));
        self.runs = true;
        if let Some(query) = executes {
            let name = query.text("name").to_owned();
            self.base = Kind::Unknown;
            self.reasons.push(format!("it runs what was prepared as `{name}`, which its text does not say"));
            self.note_prepared(&name, PreparedUse::Execute);
        }
    }

    fn create_schema(&mut self, tree: &Tree) {
        self.plain("create_schema", Kind::Ddl);
        for element in tree.nodes("schema_elts") {
            let mut inner = Statement::new(Kind::Unknown, Found::default());
            inner.fill(element);
            self.base = self.base.max(inner.base);
            self.verbs.extend(inner.verbs);
            self.reasons.extend(inner.reasons);
            self.found.mentions.relations.extend(inner.found.mentions.relations);
            self.found.mentions.functions.extend(inner.found.mentions.functions);
        }
    }

    fn drop_objects(&mut self, tree: &Tree) {
        use pb::ObjectType as O;
        let what = O::try_from(i32::try_from(tree.int("remove_type")).unwrap_or(0)).unwrap_or(O::Undefined);
        let Some((verb, kind)) = super::ddl::drop_verb(what) else {
            return self.opaque("drop", Kind::Unknown, "it drops something that is not understood");
        };
        self.plain(verb, kind);
        self.cascades = tree.int("behavior") == pb::DropBehavior::DropCascade as i64;
        let own = matches!(
            what,
            O::ObjectTable
                | O::ObjectView
                | O::ObjectMatview
                | O::ObjectForeignTable
                | O::ObjectSequence
                | O::ObjectIndex
        );
        let of_table = matches!(what, O::ObjectTrigger | O::ObjectRule | O::ObjectPolicy);
        for object in tree.nodes("objects").filter(|_| own || of_table) {
            let mut names = names_of(object.list("items"));
            if of_table {
                names.pop();
            }
            if let Some(name) = super::access::Name::of_parts(&names) {
                self.found.mentions.relations.insert((name, Access::Ddl));
            }
        }
    }

    /// Statements that need no more than a line of the table.
    fn by_table(&mut self, tree: &Tree) {
        let Some((verb, kind)) = super::ddl::verb(tree) else {
            let why = format!("`{}` is not among the statements that are understood", tree.name);
            return self.opaque("unknown", Kind::Unknown, &why);
        };
        let mut walk = Walk::definition();
        let created = if tree.name == "ViewStmt" { tree.node("view") } else { tree.node("relation") };
        if super::ddl::creates_relation(tree.name) {
            walk.creates(created.or_else(|| tree.node("sequence")));
        }
        walk.visit(tree);
        self.found = walk.found;
        self.plain(verb, kind);
        if super::ddl::runs_code(tree.name) {
            self.runs = true;
        }
        if super::ddl::maintains(tree.name) {
            self.maintenance(tree);
        } else if super::ddl::runs_scripts(tree.name) {
            self.taints = true;
            self.runs = true;
        }
        if tree.name == "GrantStmt" && !tree.flag("is_grant")
            || tree.name == "GrantRoleStmt" && !tree.flag("is_grant")
        {
            self.verbs = BTreeSet::from([Verb("revoke")]);
        }
        if super::ddl::changes_confinement(tree) {
            self.base = Kind::Admin;
            self.reasons.push("it changes who owns the table or whether row level security holds".to_owned());
        }
    }

    /// VACUUM, ANALYZE, CLUSTER and REINDEX of tables run what the tables reach; of anything else, whatever there is.
    fn maintenance(&mut self, tree: &Tree) {
        let of_tables = tree.name != "ReindexStmt"
            || tree.int("kind") == pb::ReindexObjectType::ReindexObjectTable as i64;
        let relations = &mut self.found.mentions.relations;
        let tables: Vec<_> = relations.iter().map(|(name, _)| (name.clone(), Access::Read)).collect();
        self.maintains = of_tables && !tables.is_empty();
        match self.maintains {
            true => relations.extend(tables),
            false => (self.runs, self.taints) = (true, true),
        }
    }

    fn plain(&mut self, verb: &'static str, kind: Kind) {
        self.verbs.insert(Verb(verb));
        self.base = kind;
    }

    fn reasoned(&mut self, verb: &'static str, kind: Kind, why: &str) {
        self.plain(verb, kind);
        self.reasons.push(why.to_owned());
    }

    /// Something runs that may do anything, to the session too.
    fn opaque(&mut self, verb: &'static str, kind: Kind, why: &str) {
        self.reasoned(verb, kind, why);
        self.taints = true;
    }

    fn note_prepared(&mut self, name: &str, usage: PreparedUse) {
        self.prepared.push(Prepared { name: name.to_owned(), usage });
    }

    fn walk(&mut self, mut walk: Walk, tree: &Tree) {
        walk.visit(tree);
        self.found = walk.found;
        let verbs: Vec<Verb> = self.found.verbs.iter().copied().collect();
        self.verbs.extend(verbs);
    }

    /// Walks the rest of a statement whose main part is already read.
    fn walk_more(&mut self, mut walk: Walk, tree: &Tree, except: &[&str]) {
        walk.children(tree, except);
        let more = walk.found.mentions;
        let mentions = &mut self.found.mentions;
        mentions.functions.extend(more.functions);
        mentions.operators.extend(more.operators);
        mentions.types.extend(more.types);
        mentions.relations.extend(more.relations);
        mentions.parameters.extend(more.parameters);
    }
}

/// Whether a query says how many rows it gives at most. LIMIT ALL and LIMIT NULL do not.
fn is_limited(query: &Tree) -> bool {
    let count = query.node("limit_count").filter(|_| query.name == "SelectStmt");
    count.is_some_and(|count| !(count.name == "AConst" && count.flag("isnull")))
}

/// Whether an option is written as false.
fn is_off(option: &Tree) -> bool {
    match option.get("arg") {
        None => false,
        Some(Value::Node(arg)) => match arg.name {
            "Integer" => arg.int("ival") == 0,
            "Boolean" => !arg.flag("boolval"),
            "String" => {
                matches!(arg.text("sval").to_ascii_lowercase().as_str(), "off" | "false" | "0" | "no")
            }
            _ => false,
        },
        Some(_) => false,
    }
}
