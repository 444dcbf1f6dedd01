//! The engine as a whole, on a real store in a temporary folder, with a clock in the test's hand.

mod accesses;
mod again;
mod audit;
mod budgets;
mod bundles;
mod consents;
mod crash;
mod directories;
mod federated;
mod forms;
mod identity;
mod jobs;
mod kept;
mod keys;
mod lines;
pub(crate) mod passkeys;
mod pauses;
mod people;
mod programs;
mod sessions;
mod setup;
pub(crate) mod signing;
mod statements;
mod store;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use countersign_core::question::Context;
use countersign_core::{ActionName, GrantId, PrincipalId, RequestId, ResourceId, RoleId, Span};
use countersign_policy::context::{Plain, Sql};
use tempfile::TempDir;

use crate::action::{Attempt, Client, Look, Recorded, Waiting};
use crate::settings::Argon2Cost;
use crate::store::{SqliteStore, Store};
use crate::testing::{Failing, ManualClock, ports};
use crate::{
    AskAccess, Caller, Engine, GrantFilter, Judgement, MasterKey, Session, Settings, SignInClient,
    StartError, Via,
};

pub(crate) const PEOPLE: &str = r#"
[user.alice]
name = "Alice Archer"
email = "alice@shop.example"
[user.bob]
name = "Bob Baker"
[user.bea]
name = "Bea Bloom"
[user.carol]
name = "Carol Cooper"
[user.dave]
name = "Dave Dyer"
[service.ci]
name = "Nightly"
owner = "dave"
[group.dba]
members = ["bob", "bea"]
[group.security]
members = ["carol"]
[group.admins]
members = ["dave"]
"#;

pub(crate) const RULES: &str = r#"
[approval.shop-access]
stages = [{ need = 1, from = ["group:dba"] }]
pending_for = "30m"
valid_for = "10m"
[approval.prod-write]
stages = [{ need = 1, from = ["group:dba"] }]
pending_for = "15m"
valid_for = "10m"
uses = 1
[approval.policy-change]
stages = [{ need = 1, from = ["group:security"] }]
pending_for = "1d"
valid_for = "1h"
"#;

const RESOURCES: &str = r#"
[resource.shop]
kind = "postgres"
title = "The shop"
owner = "group:dba"
impact = "high"
recording = "before-release"
host = "127.0.0.1"
port = 5432
database = "shop"
tls = "disable"
[resource.shop.secrets]
shop_reader = "env:READER"
shop_writer = "secret:shop_writer"
[resource.metrics]
kind = "postgres"
title = "Metrics"
owner = "group:dba"
impact = "low"
recording = "alongside"
host = "127.0.0.1"
port = 5432
database = "metrics"
tls = "disable"
[resource.metrics.secrets]
metrics_reader = "env:METRICS"
"#;

const ROLES: &str = r#"
[role.shop-reader]
title = "Read the shop"
actions = ["sql.read"]
resources = ["shop"]
account = "shop_reader"
longest = "4h"
[role.shop-writer]
title = "Change the shop"
actions = ["sql.read", "sql.write", "sql.ddl"]
resources = ["shop"]
account = "shop_writer"
longest = "4h"
[role.metrics-reader]
title = "Read metrics"
actions = ["sql.read"]
resources = ["metrics"]
account = "metrics_reader"
longest = "4h"
"#;

pub(crate) const POLICIES: &str = r#"
@id("everyone-may-ask")
permit (principal is User, action == Action::"access.request", resource is Role);

@id("shop-roles-need-the-dba")
@gate("shop-access")
@reason("roles of the shop need a DBA")
forbid (principal, action == Action::"access.request", resource)
when { resource in [Role::"shop-reader", Role::"shop-writer"] };

@id("whoever-is-asked-may-answer")
permit (principal is User, action in [Action::"request.approve", Action::"request.deny"], resource is Request);

@id("the-dba-looks-after-the-shop")
permit (
  principal in Group::"dba",
  action in [Action::"request.read", Action::"grant.read", Action::"grant.revoke", Action::"session.read",
    Action::"session.end", Action::"session.pause", Action::"session.resume",
    Action::"principal.disable", Action::"principal.enable", Action::"ledger.read",
    Action::"ledger.export", Action::"sign_in.read", Action::"sign_in.end", Action::"authenticator.reset"],
  resource
);

@id("administrators-apply")
permit (principal in Group::"admins", action == Action::"policy.apply", resource);

@id("policy-changes-need-security")
@gate("policy-change")
forbid (principal, action == Action::"policy.apply", resource);

@id("writes-need-the-dba")
@gate("prod-write")
@reason("changes need a second pair of eyes")
forbid (principal, action in Action::"sql.write", resource)
when { resource.impact == "high" };

@id("nothing-is-dropped")
@reason("nothing is dropped by hand")
forbid (principal, action == Action::"sql.drop", resource);
"#;

/// The files of the test's bundle.
pub(crate) fn bundle() -> BTreeMap<String, String> {
    [
        ("bundle.toml", "name = \"test\"\nformat = 1\n"),
        ("people.toml", PEOPLE),
        ("resources.toml", RESOURCES),
        ("roles.toml", ROLES),
        ("rules.toml", RULES),
        ("house.cedar", POLICIES),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into()
}

/// An engine on a store that can be made to fail.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) clock: ManualClock,
    pub(crate) store: Arc<Failing<SqliteStore>>,
    pub(crate) folder: TempDir,
    seed: u64,
}

pub(crate) fn settings() -> Settings {
    Settings {
        node: "test".into(),
        origin: "countersign.test/ledger".into(),
        console_url: "http://localhost:8443".into(),
        argon2: Argon2Cost { memory_kib: 64, passes: 1 },
        ..Settings::default()
    }
}

pub(crate) fn open(
    folder: &Path,
    clock: &ManualClock,
    seed: u64,
) -> Result<(Engine, Arc<Failing<SqliteStore>>), StartError> {
    let store = Arc::new(Failing::new(SqliteStore::open(&folder.join("countersign.db"))?));
    let master = MasterKey::new([7; 32]);
    let engine = Engine::start(Arc::clone(&store) as Arc<dyn Store>, master, ports(clock, seed), settings())?;
    Ok((engine, store))
}

impl Bench {
    /// A fresh ledger without a bundle.
    pub(crate) fn empty() -> Self {
        let (folder, clock) = (TempDir::new().unwrap(), ManualClock::default());
        let (engine, store) = open(folder.path(), &clock, 1).unwrap();
        Self { engine, clock, store, folder, seed: 1 }
    }

    /// With the test's bundle in force.
    pub(crate) async fn new() -> Self {
        Self::with_bundle(bundle()).await
    }

    pub(crate) async fn with_bundle(files: BTreeMap<String, String>) -> Self {
        let bench = Self::empty();
        bench.engine.first_bundle(files, &who("dave")).await.unwrap();
        bench
    }

    /// Goes away without a word, as after `kill -9`, and comes back.
    pub(crate) async fn crash(self) -> Self {
        let Self { engine, clock, store, folder, seed } = self;
        drop(engine);
        let store = gone(store).await;
        drop(store);
        let (engine, store) = open(folder.path(), &clock, seed + 1).unwrap();
        Self { engine, clock, store, folder, seed: seed + 1 }
    }

    /// Stops in good order. The folder stays.
    pub(crate) async fn stop(self) -> (TempDir, ManualClock, u64) {
        self.engine.stop().await;
        let Self { engine, clock, store, folder, seed } = self;
        drop(engine);
        drop(gone(store).await);
        (folder, clock, seed)
    }

    pub(crate) async fn restart(self) -> Self {
        let (folder, clock, seed) = self.stop().await;
        let (engine, store) = open(folder.path(), &clock, seed + 1).unwrap();
        Self { engine, clock, store, folder, seed: seed + 1 }
    }

    /// Somebody who is signed in, without the cost of a password.
    pub(crate) fn caller(&self, name: &str) -> Caller {
        self.caller_with(name, &[crate::Means::Password])
    }

    /// Somebody who proved who they are by these means.
    pub(crate) fn caller_with(&self, name: &str, means: &[crate::Means]) -> Caller {
        self.engine.caller_with(&who(name), means)
    }

    /// A request for a role, pending.
    pub(crate) async fn ask(&self, name: &str, role: &str) -> RequestId {
        let ask = AskAccess {
            role: RoleId::new(role),
            lasting: Span::minutes(30),
            purpose: "repair the orders".into(),
            ticket: Some("OPS-7".into()),
        };
        self.engine.ask(&self.caller(name), ask).await.unwrap()
    }

    /// A live grant.
    pub(crate) async fn grant(&self, name: &str, role: &str) -> GrantId {
        let id = self.ask(name, role).await;
        let pending = self.engine.snapshot().book.request(id).unwrap().state.as_str() == "pending";
        if pending {
            self.engine.approve(&self.caller("bob"), id, None, None).await.unwrap();
        }
        let views =
            self.engine.grant_views(&self.caller(name), GrantFilter { mine: true, ..GrantFilter::default() });
        views.iter().find(|view| view.grant.request == id).unwrap().grant.id
    }

    /// An open session in a role that was asked for and granted.
    pub(crate) async fn session(&self, name: &str, role: &str) -> Session {
        self.grant(name, role).await;
        self.connect(name, role).await
    }

    pub(crate) async fn connect(&self, name: &str, role: &str) -> Session {
        let resource = if role.starts_with("metrics") { "metrics" } else { "shop" };
        let role = Some(RoleId::new(role));
        let (who, resource) = (who(name), ResourceId::new(resource));
        self.engine.open_session(who, resource, role, "postgres", client(), None, None).await.unwrap()
    }

    /// An attempt, held and asked for.
    pub(crate) async fn hold(&self, session: &Session, text: &str) -> Waiting {
        let Judgement::Hold(held) = self.engine.judge(session, write(text)) else { panic!("not held") };
        self.engine.hold(held, look(12)).await.unwrap()
    }

    /// An attempt that was asked for, approved by bob, and used.
    pub(crate) async fn run(&self, session: &Session, text: &str) -> Recorded {
        let waiting = self.hold(session, text).await;
        self.engine.approve(&self.caller("bob"), waiting.id(), None, None).await.unwrap();
        self.engine.use_receipt(waiting, crate::Ground::default()).await.unwrap()
    }

    /// The types of all lines.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let lines = self.store.read(0, 100_000).unwrap();
        lines.into_iter().map(|line| crate::line::read(line.bytes).unwrap().kind).collect()
    }

    /// The lines of one type.
    pub(crate) fn lines_of(&self, kind: &str) -> Vec<crate::line::Line> {
        let lines = self.store.read(0, 100_000).unwrap();
        let lines = lines.into_iter().map(|line| crate::line::read(line.bytes).unwrap());
        lines.filter(|line| line.kind == kind).collect()
    }

    pub(crate) fn count(&self, kind: &str) -> usize {
        self.kinds().iter().filter(|one| *one == kind).count()
    }

    /// Moves the clock and lets what hours bring happen.
    pub(crate) async fn pass(&self, span: Span) {
        self.clock.advance(span);
        let due = || {
            let deadline = self.engine.snapshot().book.next_deadline();
            deadline.is_some_and(|at| at <= self.engine.now())
        };
        until(|| !due()).await;
    }
}

/// Waits until the last other handle of the store is gone.
async fn gone(mut store: Arc<Failing<SqliteStore>>) -> Failing<SqliteStore> {
    loop {
        match Arc::try_unwrap(store) {
            Ok(store) => return store,
            Err(held) => store = held,
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// Waits, in real time, for something that other threads do.
pub(crate) async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..5_000 {
        if done() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("it did not happen");
}

pub(crate) fn who(name: &str) -> PrincipalId {
    PrincipalId::new(name)
}

pub(crate) fn local() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

pub(crate) fn client() -> Client {
    Client { address: SocketAddr::new(local(), 50_000), application: "psql".into(), tls: true, proved: None }
}

pub(crate) fn sign_in_client() -> SignInClient {
    SignInClient { source: Some(local()), via: Via::Cli, user_agent: Some("countersign-cli/1".into()) }
}

pub(crate) fn look(rows: u64) -> Look {
    Look { rows: Some(rows), can_bound_rows: true, ..Look::default() }
}

fn attempt(action: &str, text: &str, provable_read: bool) -> Attempt {
    let context: Context = Sql {
        plain: Plain { now: countersign_core::At(0), source: None, via: Via::Postgres },
        purpose: String::new(),
        ticket: None,
        verbs: BTreeSet::from([action.trim_start_matches("sql.").to_owned()]),
        reads: BTreeSet::new(),
        writes: BTreeSet::new(),
        functions: BTreeSet::new(),
        has_where: true,
        has_limit: false,
        reach: countersign_policy::context::Reach::default(),
        statements: 1,
        in_transaction: false,
        provable_read,
        rows: None,
    }
    .into();
    Attempt {
        kind: ActionName::new(action),
        actions: [ActionName::new(action)].into(),
        verbs: [action.trim_start_matches("sql.").to_owned()].into(),
        provable_read,
        context: Arc::new(context),
        text: text.into(),
        parameter_types: [].into(),
        parameters: [].into(),
        relations: Vec::new(),
        settings: Arc::default(),
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    }
}

pub(crate) fn select(text: &str) -> Attempt {
    attempt("sql.select", text, true)
}

pub(crate) fn write(text: &str) -> Attempt {
    attempt("sql.delete", text, false)
}

pub(crate) fn drop_table(text: &str) -> Attempt {
    attempt("sql.drop", text, false)
}
