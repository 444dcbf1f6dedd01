//! Which columns and functions a statement reaches, by the names that they have in the database.
//!
//! Names are resolved as the server resolves them, and where that hangs on what is not known here (what a query in FROM
//! calls its columns, which of several functions fits), all that it could be counts. Through a view its definition is
//! reached; through a table whatever shares its rows, that is children and partitions, and parents too: who reads a
//! partition reads rows of its parent.
//!
//! What cannot be resolved, and what runs without being looked into, makes the answer incomplete, which is said
//! ([`Facts::resolved`]). What not: row level security and what functions do inside.

use std::collections::{BTreeMap, BTreeSet};

use super::access::{Mentions, Name};
use super::catalogue::{Catalogue, Volatility};
use super::columns::{Item, Reference, Referred, Source, Uses, Written};
use super::facts::{Access, Called, ColumnUse, Facts, PartOf, RelationKind};
use super::proof;
use super::session::{Context, SessionState};
use super::standing::VIEW_DEPTH_MAX;
use super::statement::Statement;

/// How many columns of one statement are named. One that reaches more is said to be incomplete.
const COLUMNS_MAX: usize = 4_096;

/// What every table has beside its own columns: nobody's data.
const SYSTEM_COLUMNS: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// A column: the OID of its relation and its number.
type Column = (u32, i16);

/// What a view reaches.
#[derive(Clone, Debug, Default)]
pub(super) struct ViewReach {
    /// Whatever is read of it.
    always: BTreeSet<Column>,
    /// For one of its columns.
    each: BTreeMap<i16, BTreeSet<Column>>,
    complete: bool,
}

/// What a statement reaches.
#[derive(Debug, Default)]
struct Reached {
    read: BTreeSet<Column>,
    written: BTreeSet<Column>,
    complete: bool,
}

/// Finds out what every view reaches. The definitions are read already.
pub(super) fn work_out_views(catalogue: &mut Catalogue) {
    let mut done = BTreeMap::new();
    for oid in catalogue.views.keys().copied() {
        view_reach(catalogue, oid, &mut done, 0);
    }
    catalogue.view_reach = done;
}

fn view_reach(catalogue: &Catalogue, oid: u32, done: &mut BTreeMap<u32, ViewReach>, depth: u32) -> ViewReach {
    if let Some(known) = done.get(&oid) {
        return known.clone();
    }
    let reading = catalogue.views.get(&oid).and_then(|text| catalogue.readings.get(text));
    let Some(Ok(definition)) = reading.map(|reading| &**reading).filter(|_| depth <= VIEW_DEPTH_MAX) else {
        return ViewReach::default();
    };
    // Of its own it can only say something that goes round in a circle, which no view does.
    done.insert(oid, ViewReach::default());
    let uses = &definition.uses;
    let mut reach = ViewReach { complete: true, ..ViewReach::default() };
    let numbers: Vec<i16> =
        catalogue.column_names.get(&oid).into_iter().flat_map(|all| all.keys().copied()).collect();
    let by_column = uses.outputs == numbers.len();
    let find = |name: &Name| catalogue.relation(name.schema.as_deref().unwrap_or("pg_catalog"), &name.name);
    let mut resolver = Resolver::new(catalogue, uses, &find);
    for reference in &uses.references {
        let mut found = BTreeSet::new();
        resolver.reference(reference, &mut found);
        let mut all = BTreeSet::new();
        for column in found {
            let inner = catalogue
                .views
                .contains_key(&column.0)
                .then(|| view_reach(catalogue, column.0, done, depth + 1));
            reach.complete &= add_through(column, inner.as_ref(), &mut all);
        }
        match reference.output.filter(|_| by_column).and_then(|index| numbers.get(index)) {
            Some(number) => reach.each.entry(*number).or_default().extend(all),
            None => reach.always.extend(all),
        }
    }
    reach.complete &= resolver.complete;
    done.insert(oid, reach.clone());
    reach
}

/// Adds a column, and what it reaches if it is a view's. False if that is not known.
fn add_through(column: Column, view: Option<&ViewReach>, into: &mut BTreeSet<Column>) -> bool {
    into.insert(column);
    let Some(view) = view else { return true };
    into.extend(view.always.iter().copied());
    into.extend(view.each.get(&column.1).into_iter().flatten().copied());
    view.complete
}

/// What the columns that a statement uses come to. `find` says which relation a name must mean, if it must.
fn reached(catalogue: &Catalogue, uses: &Uses, find: &dyn Fn(&Name) -> Option<u32>) -> Reached {
    let mut resolver = Resolver::new(catalogue, uses, find);
    let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
    for reference in &uses.references {
        resolver.reference(reference, &mut read);
    }
    for one in &uses.writes {
        resolver.written(one, &mut written);
    }
    let mut complete = resolver.complete;
    let mut through = |columns: BTreeSet<Column>| {
        let mut all = BTreeSet::new();
        for column in columns {
            let view = catalogue.view_reach.get(&column.0);
            complete &= add_through(column, view, &mut all);
        }
        let kin = kin_of(catalogue, &all);
        all.extend(kin);
        complete &= all.len() <= COLUMNS_MAX;
        all
    };
    let (read, written) = (through(read), through(written));
    Reached { read, written, complete }
}

/// The columns of the same names of whatever shares rows with their tables.
fn kin_of(catalogue: &Catalogue, columns: &BTreeSet<Column>) -> BTreeSet<Column> {
    let mut kin = BTreeSet::new();
    let tables: BTreeSet<u32> = columns.iter().map(|(oid, _)| *oid).collect();
    for table in tables {
        let related = relatives(catalogue, table);
        if related.is_empty() {
            continue;
        }
        let own = columns.range((table, i16::MIN)..=(table, i16::MAX));
        let names: BTreeSet<&str> = own.filter_map(|column| catalogue.column_name(*column)).collect();
        for other in related {
            let all = catalogue.column_names.get(&other).into_iter().flatten();
            kin.extend(
                all.filter(|(_, column)| names.contains(&*column.name)).map(|(number, _)| (other, *number)),
            );
            if kin.len() > COLUMNS_MAX {
                return kin;
            }
        }
    }
    kin
}

/// All ancestors and descendants of a table.
fn relatives(catalogue: &Catalogue, table: u32) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    for links in [&catalogue.children, &catalogue.parents] {
        let mut waiting = vec![table];
        while let Some(from) = waiting.pop() {
            for next in links.get(&from).into_iter().flatten() {
                if *next != table && all.insert(*next) {
                    waiting.push(*next);
                }
            }
        }
    }
    all
}

struct Resolver<'a> {
    catalogue: &'a Catalogue,
    uses: &'a Uses,
    find: &'a dyn Fn(&Name) -> Option<u32>,
    complete: bool,
}

/// Whether a source has a column of a name.
enum Has {
    Yes(Column),
    No,
    Perhaps,
}

impl<'a> Resolver<'a> {
    fn new(catalogue: &'a Catalogue, uses: &'a Uses, find: &'a dyn Fn(&Name) -> Option<u32>) -> Self {
        Resolver { catalogue, uses, find, complete: true }
    }

    fn reference(&mut self, reference: &Reference, into: &mut BTreeSet<Column>) {
        match &reference.what {
            Referred::Plain(name) => self.plain(reference.scope, name, into),
            Referred::Of(item, name) => {
                let items = self.labelled(reference.scope, item);
                self.complete &= !items.is_empty();
                self.of_item(&items, name, into);
            }
            Referred::All(item) => {
                let items = self.labelled(reference.scope, item);
                self.complete &= !items.is_empty();
                items.iter().flat_map(|item| &item.sources).for_each(|source| self.whole(source, into));
            }
            Referred::Everything => {
                let items = self.uses.scopes.get(reference.scope).into_iter().flat_map(|scope| &scope.items);
                let sources = items.filter(|item| !item.again).flat_map(|item| &item.sources);
                sources.for_each(|source| self.whole(source, into));
            }
            Referred::Common(sources) => self.common(sources, into),
            Referred::Among(sources, name) => {
                for source in sources {
                    if let Has::Yes(column) = self.has(source, name) {
                        into.insert(column);
                    }
                }
            }
        }
    }

    fn of_item(&mut self, items: &[&Item], name: &str, into: &mut BTreeSet<Column>) {
        let (mut without, mut has_it) = (Vec::new(), false);
        for source in items.iter().flat_map(|item| &item.sources) {
            match self.has(source, name) {
                Has::Yes(column) => {
                    into.insert(column);
                    has_it = true;
                }
                Has::No => without.push(source),
                Has::Perhaps => {}
            }
        }
        // A function of the whole row may be written like a column.
        if !has_it && !SYSTEM_COLUMNS.contains(&name) {
            without.into_iter().for_each(|source| self.whole(source, into));
        }
    }

    /// The innermost scope in which a table has the column decides; failing that, it may be a whole row.
    fn plain(&mut self, scope: usize, name: &str, into: &mut BTreeSet<Column>) {
        for scope in self.outwards(scope) {
            let mut found = false;
            for source in scope.items.iter().flat_map(|item| &item.sources) {
                if let Has::Yes(column) = self.has(source, name) {
                    into.insert(column);
                    found = true;
                }
            }
            if found {
                return;
            }
        }
        for item in self.labelled(scope, name) {
            item.sources.iter().for_each(|source| self.whole(source, into));
        }
    }

    /// The items of the innermost scope that has any of this name.
    fn labelled(&self, scope: usize, label: &str) -> Vec<&'a Item> {
        let named = |item: &&Item| item.label.as_deref() == Some(label);
        let mut scopes = self.outwards(scope);
        scopes
            .find_map(|scope| {
                let items: Vec<&Item> = scope.items.iter().filter(named).collect();
                (!items.is_empty()).then_some(items)
            })
            .unwrap_or_default()
    }

    fn outwards(&self, scope: usize) -> impl Iterator<Item = &'a super::columns::Scope> + use<'a> {
        let scopes = &self.uses.scopes;
        std::iter::successors(scopes.get(scope), |scope| scopes.get(scope.outer?))
    }

    fn has(&mut self, source: &Source, name: &str) -> Has {
        let Source::Table { name: table, renamed } = source else { return Has::Perhaps };
        let Some((oid, columns)) = self.columns(table) else { return Has::Perhaps };
        let called = |index: usize, own: &'a str| renamed.get(index).map_or(own, String::as_str).to_owned();
        let mut columns = columns.enumerate();
        columns
            .find(|(index, (_, own))| called(*index, own) == name)
            .map_or(Has::No, |(_, (number, _))| Has::Yes((oid, number)))
    }

    fn whole(&mut self, source: &Source, into: &mut BTreeSet<Column>) {
        let Source::Table { name, .. } = source else { return };
        if let Some((oid, columns)) = self.columns(name) {
            into.extend(columns.map(|(number, _)| (oid, number)));
        }
    }

    fn common(&mut self, sources: &[Source], into: &mut BTreeSet<Column>) {
        let derived = sources.contains(&Source::Derived);
        let mut by_name: BTreeMap<&str, Vec<Column>> = BTreeMap::new();
        for source in sources {
            let Source::Table { name, renamed } = source else { continue };
            if !renamed.is_empty() {
                self.whole(source, into);
            }
            let Some((oid, columns)) = self.columns(name) else { continue };
            for (number, own) in columns {
                by_name.entry(own).or_default().push((oid, number));
            }
        }
        into.extend(by_name.into_values().filter(|all| derived || all.len() > 1).flatten());
    }

    fn written(&mut self, written: &Written, into: &mut BTreeSet<Column>) {
        let Some((oid, columns)) = self.columns(&written.table) else { return };
        let named = |name: &str| written.columns.as_ref().is_none_or(|all| all.iter().any(|one| one == name));
        into.extend(columns.filter(|(_, name)| named(name)).map(|(number, _)| (oid, number)));
        // Rows of a view come and go with the rows that it is made of.
        if written.columns.is_none() {
            let bases = self.catalogue.standings.get(&oid).into_iter().flat_map(|standing| &standing.bases);
            for base in bases {
                let all = self.catalogue.column_names.get(base).into_iter().flat_map(|all| all.keys());
                into.extend(all.map(|number| (*base, *number)));
            }
        }
    }

    /// The columns of the relation that a name must mean. What it means is not known: then nothing is complete.
    fn columns(&mut self, name: &Name) -> Option<(u32, impl Iterator<Item = (i16, &'a str)> + use<'a>)> {
        let oid = (self.find)(name);
        let known = oid.and_then(|oid| Some((oid, self.catalogue.column_names.get(&oid)?)));
        // A relation can have no columns at all.
        self.complete &= oid.is_some();
        let (oid, columns) = known?;
        Some((oid, columns.iter().map(|(number, column)| (*number, column.name.as_str()))))
    }
}

impl Catalogue {
    fn column_name(&self, (oid, number): Column) -> Option<&str> {
        self.column_names.get(&oid)?.get(&number).map(|column| column.name.as_str())
    }

    /// A use of a column, by its names.
    fn column_use(&self, column: Column, access: Access) -> Option<ColumnUse> {
        let relation = self.relations.get(&column.0)?;
        let name = self.column_name(column)?.to_owned();
        Some(ColumnUse {
            schema: relation.schema.clone(),
            relation: relation.name.clone(),
            column: name,
            access,
        })
    }

    /// What a relation is to those whose rows it holds.
    pub(super) fn part_of(&self, oid: u32) -> Option<PartOf> {
        let parent = self.parents.get(&oid)?.first()?;
        Some(match self.relations.get(parent)?.kind {
            RelationKind::PartitionedTable => PartOf::Partition,
            _ => PartOf::InheritanceChild,
        })
    }

    /// What a relation is, in the words of policies.
    fn kinds_of(&self, oid: u32) -> impl Iterator<Item = &'static str> + use<> {
        let kind = self.relations.get(&oid).map_or("unknown", |row| row.kind.as_str());
        std::iter::once(kind).chain(self.part_of(oid).map(PartOf::as_str))
    }
}

/// The functions that a statement calls by name, all that could be meant; and whether every name means one.
fn called(catalogue: &Catalogue, session: &SessionState, mentions: &Mentions) -> (BTreeSet<Called>, bool) {
    let (mut called, mut complete) = (BTreeSet::new(), true);
    let path = proof::effective_path(session);
    for function in &mentions.functions {
        let before = called.len();
        let name = &function.name;
        let in_sight = |schema: &str| match &name.schema {
            Some(written) => written == schema,
            None => path.as_ref().is_none_or(|path| path.iter().any(|one| one == schema)),
        };
        for schema in ["pg_catalog", "information_schema"].into_iter().filter(|schema| in_sight(schema)) {
            let qualified = format!("{schema}.{}", name.name);
            if let Some(volatility) = catalogue.builtin_volatility.get(&qualified) {
                called.insert(Called {
                    name: qualified,
                    volatile: *volatility == Volatility::Volatile,
                    definer: false,
                });
            }
        }
        for own in
            catalogue.functions.get(&name.name).into_iter().flatten().filter(|own| in_sight(&own.schema))
        {
            called.insert(Called {
                name: format!("{}.{}", own.schema, name.name),
                volatile: own.volatility == Volatility::Volatile,
                definer: own.definer,
            });
        }
        complete &=
            called.len() > before || called.iter().any(|one| one.name.ends_with(&format!(".{}", name.name)));
    }
    (called, complete && path.is_some())
}

impl Facts {
    /// Takes in what a statement reaches. Its relations and what taints it are there already.
    pub(super) fn reach(
        &mut self,
        statement: &Statement,
        context: &Context<'_>,
        find: &dyn Fn(&Name) -> Option<u32>,
    ) {
        let found = &statement.found;
        let creates = self.verbs.iter().any(|verb| verb.as_str().starts_with("create_"));
        let is_made = |access| creates && access == Access::Ddl;
        self.resolved =
            !self.taints_session && self.relations.iter().all(|one| one.oid.is_some() || is_made(one.access));
        for one in self.relations.iter().filter(|one| one.oid.is_none()) {
            let temporary = one.schema.as_deref().is_some_and(|schema| schema.starts_with("pg_temp"));
            match temporary || (found.creates_temporary && is_made(one.access)) {
                true => self.relation_kinds.insert("temporary"),
                false if is_made(one.access) => continue,
                false => self.relation_kinds.insert("unknown"),
            };
        }
        self.touches = self.relations.iter().map(|one| qualified(one.schema.as_deref(), &one.name)).collect();
        let Some(catalogue) = context.catalogue else {
            self.resolved &= found.mentions.is_bare() && statement.uses.writes.is_empty();
            return;
        };
        let mut reached = reached(catalogue, &statement.uses, find);
        let (calls, known) = called(catalogue, context.session, &found.mentions);
        self.calls = calls;
        self.resolved &= reached.complete && known;
        let named: Vec<(u32, Access)> =
            self.relations.iter().filter_map(|one| Some((one.oid?, one.access))).collect();
        // Whatever else is written or defined anew, each of its columns may be another one afterwards.
        for (oid, _) in named.iter().filter(|(_, access)| *access != Access::Read) {
            if reached.written.range((*oid, i16::MIN)..=(*oid, i16::MAX)).next().is_none() {
                let columns = catalogue.column_names.get(oid).into_iter().flat_map(|all| all.keys());
                reached.written.extend(columns.map(|number| (*oid, *number)));
            }
        }
        self.name(catalogue, &reached, named.into_iter().map(|(oid, _)| oid).collect());
    }

    fn name(&mut self, catalogue: &Catalogue, reached: &Reached, named: BTreeSet<u32>) {
        let columns = reached.read.iter().chain(&reached.written).map(|(oid, _)| *oid);
        let mut touched: BTreeSet<u32> =
            named.iter().flat_map(|oid| relatives(catalogue, *oid)).chain(columns).collect();
        for oid in &named {
            touched.extend(catalogue.standings.get(oid).into_iter().flat_map(|standing| &standing.bases));
        }
        touched.extend(named);
        self.resolved &= touched.len() <= COLUMNS_MAX;
        for oid in touched.iter().take(COLUMNS_MAX) {
            self.relation_kinds.extend(catalogue.kinds_of(*oid));
            let row = catalogue.relations.get(oid);
            self.touches.extend(row.map(|row| qualified(Some(&row.schema), &row.name)));
        }
        for (columns, access) in [(&reached.read, Access::Read), (&reached.written, Access::Write)] {
            self.resolved &= columns.len() <= COLUMNS_MAX;
            let uses = columns.iter().take(COLUMNS_MAX);
            self.columns.extend(uses.filter_map(|column| catalogue.column_use(*column, access)));
        }
    }
}

fn qualified(schema: Option<&str>, name: &str) -> String {
    schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"))
}
