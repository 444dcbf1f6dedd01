//! From syntax and surroundings to facts.
//!
//! The kinds of a text are the kinds of its statements. A statement keeps the kind that its syntax gives it and
//! becomes a call beside it where it may run code that is not reviewed; a query becomes a read only when it is
//! proved. Nothing here makes an answer milder than the syntax did.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::access::{Mentions, Name};
use super::catalogue::Catalogue;
use super::count::{Branch, Foreseen, Query, Rows};
use super::ddl;
use super::facts::{Access, Affected, BranchCount, CountTarget, Facts, Relation, RelationKind};
use super::kinds::{Kind, Verb};
use super::lineage;
use super::parse::{Parsed, Unparsed, parse};
use super::proof::{self, Proof};
use super::session::Context;
use super::statement::Statement;

/// How many reasons are given for one text before it is enough.
const REASONS_MAX: usize = 32;

/// The facts of a text, parsed or not. Needs [`super::STACK_BYTES`] of stack.
pub fn classify_text(text: &[u8], context: &Context<'_>) -> Facts {
    match parse(text) {
        Ok(parsed) => classify(&parsed, context),
        Err(unparsed) => classify_unparsed(&unparsed, text),
    }
}

/// The facts of a text that is not understood: `sql.unknown`, with the reason.
pub fn classify_unparsed(unparsed: &Unparsed, text: &[u8]) -> Facts {
    unparsed.facts(text)
}

/// Judges what was parsed. Pure: equal inputs give equal facts.
pub fn classify(parsed: &Parsed, context: &Context<'_>) -> Facts {
    let mut facts = Facts::empty();
    facts.secret_spans.clone_from(&parsed.secret_spans);
    facts.statements = u32::try_from(parsed.statements.len()).unwrap_or(u32::MAX);
    if let Some(why) = context.session.misread(parsed.letters) {
        // The grammar read the text under other rules than the server will: nothing it found counts.
        let mut unknown = Facts::of(Kind::Unknown, why);
        unknown.secret_spans = facts.secret_spans;
        unknown.statements = facts.statements;
        unknown.taints_session = true;
        return unknown;
    }
    // What a statement changes holds for those behind it: settings, temporary objects, definitions.
    let mut session = Cow::Borrowed(context.session);
    let mut traced = Vec::new();
    for (statement, tree) in parsed.statements.iter().zip(&parsed.trees) {
        let context = Context { session: &session, ..*context };
        let mut one = Facts::empty();
        traced.extend(lineage::trace(tree, statement, &context));
        one.add(statement, Outcome::of(statement, &context), &context);
        session = Cow::Owned(session.after_in_transaction(&one));
        facts.merge(one);
    }
    facts.masking = lineage::gathered(traced, context);
    match parsed.statements.as_slice() {
        [only] => facts.foresee(only.foreseen.as_ref(), context),
        several
            if several.iter().any(|one| one.foreseen.as_ref().is_some_and(|found| found.rows.is_some())) =>
        {
            let why = "several statements are sent together, and each may depend on those before it";
            facts.row_count = Some(CountTarget::Unknown(why.to_owned()));
        }
        _ => {}
    }
    if parsed.statements.is_empty() {
        facts.kinds.insert(Kind::Session);
    }
    facts.kind = facts.kinds.last().copied().unwrap_or(Kind::Unknown);
    let shows = facts.verbs.iter().all(|v| v.as_str() == "show");
    // A cursor outlives its declaration, so that is a read which is recorded first.
    let reads = facts.kind == Kind::Read && !facts.has_verb("declare");
    facts.provable_read = facts.statements == 1 && (reads || (facts.kind == Kind::Session && shows));
    facts
}

/// What a statement turned out to be.
struct Outcome {
    kinds: BTreeSet<Kind>,
    reasons: Vec<String>,
    taints: bool,
}

impl Outcome {
    fn of(statement: &Statement, context: &Context<'_>) -> Outcome {
        let mut outcome = Outcome {
            kinds: BTreeSet::from([statement.base]),
            reasons: statement.reasons.clone(),
            taints: statement.taints || statement.base == Kind::Unknown,
        };
        outcome.settle_event_triggers(statement, context);
        let mentions = &statement.found.mentions;
        match statement.base {
            Kind::Read => outcome.settle_query(statement, context),
            _ if statement.maintains => {
                let reached = Mentions { foreign_nodes: BTreeSet::new(), ..mentions.clone() };
                match proof::prove(&reached, context) {
                    Proof::Proved => {}
                    Proof::Call(why) | Proof::Unknown(why) => outcome.also(Kind::Call, why),
                }
            }
            _ if statement.runs => match proof::prove(mentions, context) {
                Proof::Proved => {}
                Proof::Call(why) => outcome.also(Kind::Call, why),
                // A statement that is no query has nodes of its own; only the server's reading matters here.
                Proof::Unknown(_) => outcome.settle_running(mentions, context),
            },
            _ => {}
        }
        outcome
    }

    /// Event triggers run at definitions, and may do anything.
    fn settle_event_triggers(&mut self, statement: &Statement, context: &Context<'_>) {
        let defines = matches!(statement.base, Kind::Ddl | Kind::Admin)
            && statement.verbs.iter().any(|verb| ddl::fires_event_triggers(verb.as_str()));
        let why = match context.catalogue.map(|catalogue| catalogue.event_triggers.first()) {
            _ if !defines => return,
            Some(None) if !context.session.uncommitted_definitions => return,
            Some(Some(name)) => format!("the event trigger `{name}` runs, which may do anything"),
            Some(None) | None => "event triggers may run, which may do anything".to_owned(),
        };
        self.also(Kind::Call, vec![why]);
    }

    fn settle_query(&mut self, statement: &Statement, context: &Context<'_>) {
        let proof = proof::prove(&statement.found.mentions, context);
        self.kinds.clear();
        match proof {
            Proof::Proved if statement.found.locks_rows => {
                self.kinds.insert(Kind::Call);
            }
            Proof::Proved => {
                self.kinds.insert(Kind::Read);
            }
            Proof::Call(why) => self.also(Kind::Call, why),
            Proof::Unknown(why) => self.also(Kind::Unknown, why),
        }
    }

    /// A write or a definition whose syntax the server may read differently.
    fn settle_running(&mut self, mentions: &Mentions, context: &Context<'_>) {
        let younger: Vec<String> = proof::misunderstood(
            &Mentions { foreign_nodes: BTreeSet::new(), ..mentions.clone() },
            context.session.major(),
        );
        if !younger.is_empty() {
            return self.also(Kind::Unknown, younger);
        }
        self.also(Kind::Call, vec!["what it runs is not looked into".to_owned()]);
    }

    fn also(&mut self, kind: Kind, why: Vec<String>) {
        self.kinds.insert(kind);
        self.reasons.extend(why);
        self.taints |= matches!(kind, Kind::Call | Kind::Unknown);
    }
}

impl Facts {
    fn add(&mut self, statement: &Statement, outcome: Outcome, context: &Context<'_>) {
        let found = &statement.found;
        self.kinds.extend(outcome.kinds);
        self.reasons.extend(outcome.reasons);
        self.taints_session |= outcome.taints;
        self.verbs.extend(statement.verbs.iter().copied());
        self.predicates.extend(found.predicates.iter().cloned());
        self.has_limit &= !statement.unlimited;
        self.copies.extend(statement.copies.iter().cloned());
        self.settings.extend(statement.settings.iter().cloned());
        self.role_change |= statement.role_change;
        self.upserts |= statement.upserts;
        self.data_modifying_cte |= found.data_modifying_cte;
        self.locks_rows |= found.locks_rows;
        self.select_into |= found.select_into;
        self.creates_temporary |= found.creates_temporary || defines_in_temporary_schema(statement, context);
        self.explain_analyze |= statement.explain_analyze;
        self.prepared.extend(statement.prepared.iter().cloned());
        self.cursors.extend(found.cursors.iter().cloned());
        self.transaction.extend(statement.transaction.iter().cloned());
        self.mention(&found.mentions);
        self.relations.extend(relations(statement, context));
        let path = proof::effective_path(context.session);
        self.reach(statement, context, &|name| certain(name, path.as_deref(), context));
    }

    /// Takes in the facts of one more statement.
    fn merge(&mut self, one: Facts) {
        self.kinds.extend(one.kinds);
        for reason in one.reasons {
            if self.reasons.len() < REASONS_MAX && !self.reasons.contains(&reason) {
                self.reasons.push(reason);
            }
        }
        self.taints_session |= one.taints_session;
        self.verbs.extend(one.verbs);
        self.relations.extend(one.relations);
        self.functions.extend(one.functions);
        self.calls.extend(one.calls);
        self.columns.extend(one.columns);
        self.touches.extend(one.touches);
        self.relation_kinds.extend(one.relation_kinds);
        self.resolved &= one.resolved;
        self.operators.extend(one.operators);
        self.types.extend(one.types);
        self.parameters.extend(one.parameters);
        self.predicates.extend(one.predicates);
        self.has_limit &= one.has_limit;
        self.copies.extend(one.copies);
        self.settings.extend(one.settings);
        self.role_change |= one.role_change;
        self.upserts |= one.upserts;
        self.data_modifying_cte |= one.data_modifying_cte;
        self.locks_rows |= one.locks_rows;
        self.select_into |= one.select_into;
        self.creates_temporary |= one.creates_temporary;
        self.explain_analyze |= one.explain_analyze;
        self.prepared.extend(one.prepared);
        self.cursors.extend(one.cursors);
        self.transaction.extend(one.transaction);
    }

    fn mention(&mut self, mentions: &Mentions) {
        self.functions.extend(mentions.functions.iter().map(|f| f.name.to_string()));
        self.operators.extend(mentions.operators.iter().map(|o| o.name.to_string()));
        self.types.extend(mentions.types.iter().map(ToString::to_string));
        self.parameters.extend(mentions.parameters.iter().copied());
    }
}

/// Whether what is defined without a schema may go to the temporary one, because the search path names it, or may.
fn defines_in_temporary_schema(statement: &Statement, context: &Context<'_>) -> bool {
    let defines = matches!(statement.base, Kind::Ddl)
        || (statement.base == Kind::Admin
            && statement.verbs.iter().any(|verb| ddl::fires_event_triggers(verb.as_str())));
    let path = context.session.search_path.as_ref();
    defines && path.is_none_or(|path| path.iter().any(|schema| schema.starts_with("pg_temp")))
}

impl Facts {
    /// What is known beforehand of the rows of the only statement.
    fn foresee(&mut self, foreseen: Option<&Foreseen>, context: &Context<'_>) {
        let Some(foreseen) = foreseen else { return };
        let proved = |query: &Query| proved(query, context).ok();
        self.row_count = foreseen.rows.as_ref().map(|rows| {
            row_count(rows, context).unwrap_or_else(|why| {
                CountTarget::Unknown(format!("what selects its rows is not proved to only read: {why}"))
            })
        });
        self.plan = foreseen.plan.as_ref().and_then(proved);
        self.affected = foreseen.affected.as_ref().and_then(|affected| {
            Some(Affected {
                query: proved(&affected.query)?,
                relation: certain(
                    &affected.relation,
                    proof::effective_path(context.session).as_deref(),
                    context,
                ),
                verb: affected.verb,
                columns: affected.columns.clone(),
            })
        });
    }
}

/// The text of a query that is proved to only read, or why it is not.
fn proved(query: &Query, context: &Context<'_>) -> Result<String, String> {
    match proof::prove(&query.mentions, context) {
        Proof::Proved => Ok(query.sql.clone()),
        Proof::Call(why) | Proof::Unknown(why) => Err(why.join("; ")),
    }
}

fn row_count(rows: &Rows, context: &Context<'_>) -> Result<CountTarget, String> {
    let branch = |branch: &Branch| {
        let query = proved(&branch.query, context)?;
        Ok(BranchCount { when: branch.when.clone(), verb: branch.verb, query })
    };
    Ok(match rows {
        Rows::Exactly(rows) => CountTarget::Exactly(*rows),
        Rows::UpTo(rows) => CountTarget::UpTo(*rows),
        Rows::Query(query) => CountTarget::Query(proved(query, context)?),
        Rows::QueryUpTo(query) => CountTarget::QueryUpTo(proved(query, context)?),
        Rows::Branches(branches) => {
            CountTarget::Branches(branches.iter().map(branch).collect::<Result<_, String>>()?)
        }
        Rows::Unknown(why) => CountTarget::Unknown((*why).to_owned()),
    })
}

/// The relations of a statement, resolved where that is certain, with those that a write takes along.
fn relations(statement: &Statement, context: &Context<'_>) -> BTreeSet<Relation> {
    let mut relations = BTreeSet::new();
    let path = proof::effective_path(context.session);
    for (name, access) in &statement.found.mentions.relations {
        let Some(oid) = certain(name, path.as_deref(), context) else {
            relations.insert(Relation {
                schema: name.schema.clone(),
                name: name.name.clone(),
                access: *access,
                oid: None,
                kind: None,
                part_of: None,
            });
            continue;
        };
        relations.extend(context.catalogue.and_then(|c| c.as_relation(oid, *access)));
        if let Some(catalogue) = context.catalogue {
            take_along(catalogue, oid, *access, statement, &mut relations);
        }
    }
    relations
}

/// The one relation that a name must mean, if it must.
fn certain(name: &Name, path: Option<&[String]>, context: &Context<'_>) -> Option<u32> {
    let catalogue = context.catalogue?;
    if context.session.temporary_objects && name.schema.is_none() {
        return None;
    }
    match proof::relations_named(catalogue, path.unwrap_or_default(), name).as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// What else is written: what a view stands on, partitions and children, and tables that follow by foreign keys.
///
/// What ONLY leaves out is named all the same, and so is every partition that rows could go to.
fn take_along(
    catalogue: &Catalogue,
    oid: u32,
    access: Access,
    statement: &Statement,
    relations: &mut BTreeSet<Relation>,
) {
    if access != Access::Write {
        return;
    }
    let bases = catalogue.standings.get(&oid).map(|s| s.bases.clone()).unwrap_or_default();
    for base in &bases {
        relations.extend(catalogue.as_relation(*base, Access::Write));
    }
    let has = |verb: &'static str| statement.verbs.contains(&Verb(verb));
    let truncates = has("truncate") && statement.cascades;
    let (deletes, updates) = (has("delete") || has("merge"), has("update") || has("merge"));
    let mut waiting: Vec<u32> = bases.into_iter().chain([oid]).collect();
    let mut seen: BTreeSet<u32> = waiting.iter().copied().collect();
    while let Some(from) = waiting.pop() {
        let kind = catalogue.relations.get(&from).map(|row| row.kind);
        // Rows that are added to a table stay in it; into a partitioned one they go further down.
        let descends = kind == Some(RelationKind::PartitionedTable) || deletes || updates || has("truncate");
        for child in catalogue.children.get(&from).into_iter().flatten().filter(|_| descends) {
            if seen.insert(*child) {
                relations.extend(catalogue.as_relation(*child, Access::Write));
                waiting.push(*child);
            }
        }
        for cascade in catalogue.cascades.get(&from).into_iter().flatten() {
            let follows = truncates || (cascade.on_delete && deletes) || (cascade.on_update && updates);
            if follows && seen.insert(cascade.to) {
                relations.extend(catalogue.as_relation(cascade.to, Access::Write));
                waiting.push(cascade.to);
            }
        }
    }
}

impl Catalogue {
    fn as_relation(&self, oid: u32, access: Access) -> Option<Relation> {
        let row = self.relations.get(&oid)?;
        Some(Relation {
            schema: Some(row.schema.clone()),
            name: row.name.clone(),
            access,
            oid: Some(oid),
            kind: Some(row.kind),
            part_of: self.part_of(oid),
        })
    }
}
