//! `countersign demo`: the whole product on real input, with nothing to set up.

mod facts;
mod psql;
pub mod reports;
mod script;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use countersign_core::PrincipalId;
use countersign_doors::mcp::Program;
use countersign_engine::{Engine, Settings};
use tokio::net::TcpListener;

pub use script::script;

use crate::cli::Demo;
use crate::home::write_private;
use crate::output::note;
use crate::scratch::Scratch;
use crate::serve::{Gateway, Start, apply_first, log_to_stderr};
use crate::wiring::{Authority, Certificate, DataFolder, random_text};
use facts::{DemoFacts, Person, Resource, Upstream};

/// The sample bundle, as the repository has it.
const BUNDLE: [(&str, &str); 8] = [
    ("access.cedar", include_str!("../../../../demo/bundle/access.cedar")),
    ("bundle.toml", include_str!("../../../../demo/bundle/bundle.toml")),
    ("house.cedar", include_str!("../../../../demo/bundle/house.cedar")),
    ("people.toml", include_str!("../../../../demo/bundle/people.toml")),
    ("resources.toml", include_str!("../../../../demo/bundle/resources.toml")),
    ("roles.toml", include_str!("../../../../demo/bundle/roles.toml")),
    ("rules.toml", include_str!("../../../../demo/bundle/rules.toml")),
    ("statements.cedar", include_str!("../../../../demo/bundle/statements.cedar")),
];
/// What the demo adds to it: a server of tools. Behind the file of the same name, or as one of its own.
const TOOLS: [(&str, &str); 3] = [
    ("resources.toml", include_str!("../../../../demo/tools/resources.toml")),
    ("roles.toml", include_str!("../../../../demo/tools/roles.toml")),
    ("tools.cedar", include_str!("../../../../demo/tools/tools.cedar")),
];
/// The server of tools, as the bundle names it.
const REPORTS: &str = "reports";
/// The shop.
const SHOP: &str = include_str!("../../../../demo/shop.sql");
/// Its accounts.
const ACCOUNTS: &str = include_str!("../../../../demo/accounts.sql");
/// The accounts that the gateway uses upstream, by the name of their secret in the gateway's own store.
const UPSTREAM_ACCOUNTS: [&str; 3] = ["shop_reader", "shop_writer", "shop_looker"];
/// Who applies the first bundle.
const ADMINISTRATOR: &str = "dave";
/// Who signs in, in which groups; the bundle says the same.
const PEOPLE: [(&str, &str); 4] =
    [("alice", "engineers"), ("bob", "dba"), ("carol", "security"), ("dave", "admins")];

/// Runs the demo in the foreground until a signal ends it.
///
/// # Errors
/// A port is taken, PostgreSQL is missing, the data folder belongs to something else.
pub async fn demo(options: &Demo) -> Result<()> {
    log_to_stderr();
    let folder = DataFolder::open(&options.data)?;
    let facts_path = DemoFacts::path(folder.path());
    remove(&facts_path)?;
    let console = listen(options.console_port).await?;
    let postgres = listen(options.postgres_port).await?;
    let console_url = format!("http://localhost:{}", console.local_addr()?.port());
    let scratch = Scratch::start(folder.path(), || random_text(16)).await?;
    let outcome = async {
        let passwords = passwords(folder.path())?;
        fill(&scratch, &passwords).await?;
        let settings = Settings {
            node: "demo".into(),
            origin: format!("countersign.local/demo/{}", ledger_name(folder.path())?),
            console_url: console_url.clone(),
            ..Settings::default()
        };
        let engine = folder.engine(&crate::keepers::Master::default(), settings).await?;
        prepare(&engine, folder.path(), &scratch, &passwords).await?;
        let names = ["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
        let postgres_tls = Certificate::own(&folder, &names)?;
        let authority = postgres_tls.authority.clone().context("the demo's door has no authority")?;
        let port = postgres.local_addr()?.port();
        let log_key = engine.vkey();
        let facts = describe(&console_url, port, &authority, &scratch, &passwords);
        let gateway = Gateway::open(
            engine,
            Start {
                console,
                console_tls: None,
                console_url: console_url.clone(),
                postgres,
                postgres_tls,
                postgres_address: ("localhost".into(), port),
                scim: Vec::new(),
                ldap: Vec::new(),
                programs: BTreeMap::from([(REPORTS.to_owned(), reports_program(folder.path())?)]),
                pusher: None,
            },
        )?;
        write_private(&facts_path, &serde_json::to_vec_pretty(&facts)?)?;
        note(&welcome(&facts, folder.path(), &log_key));
        if !options.no_open {
            crate::browser::open(&console_url);
        }
        gateway.run().await
    }
    .await;
    remove(&facts_path)?;
    scratch.stop().await;
    outcome
}

/// The bundle of the demo in `data`: the sample, with the scratch server's address.
///
/// # Errors
/// No demo was ever started there.
pub(crate) fn bundle_of(data: &Path) -> Result<BTreeMap<String, String>> {
    let bytes =
        std::fs::read(data.join("scratch.json")).context("no demo was started in this data folder")?;
    let scratch: serde_json::Value = serde_json::from_slice(&bytes)?;
    let port =
        scratch.get("port").and_then(serde_json::Value::as_u64).context("`scratch.json` names no port")?;
    bundle(u16::try_from(port)?)
}

fn bundle(port: u16) -> Result<BTreeMap<String, String>> {
    let mut files: BTreeMap<String, String> =
        BUNDLE.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let resources = files.get_mut("resources.toml").context("the sample bundle has no resources.toml")?;
    let sample = "port = 5432";
    if resources.matches(sample).count() != 1 {
        bail!("the sample bundle does not name the port to replace");
    }
    *resources = resources.replace(sample, &format!("port = {port}"));
    for (name, text) in TOOLS {
        files.entry(name.to_owned()).or_default().push_str(text);
    }
    Ok(files)
}

/// Makes the shop and its accounts, if the server has none yet.
async fn fill(scratch: &Scratch, passwords: &BTreeMap<String, String>) -> Result<()> {
    let server = scratch.connect("postgres").await?;
    let known = "select 1 from pg_roles where rolname = 'shop_looker'";
    if server.query_opt(known, &[]).await?.is_some() {
        return Ok(());
    }
    server.batch_execute("drop database if exists shop").await?;
    server.batch_execute("create database shop").await?;
    let shop = scratch.connect("shop").await?;
    shop.batch_execute(SHOP).await.context("could not fill the shop")?;
    let mut accounts = ACCOUNTS.to_owned();
    for name in UPSTREAM_ACCOUNTS {
        let password = passwords.get(name).context("an upstream account has no password")?;
        accounts = accounts.replace(&format!(":'{name}'"), &format!("'{password}'"));
    }
    // One message, one transaction: a demo that was ended in between finds nothing half-made.
    shop.batch_execute(&accounts).await.context("could not make the shop's accounts")
}

/// Passwords of people and accounts, made once for this data folder.
fn passwords(data: &Path) -> Result<BTreeMap<String, String>> {
    let path = data.join("passwords.json");
    if let Ok(bytes) = std::fs::read(&path) {
        return serde_json::from_slice(&bytes).with_context(|| format!("`{}` is damaged", path.display()));
    }
    let people = PEOPLE.iter().map(|(name, _)| *name);
    let made: BTreeMap<String, String> =
        people.chain(UPSTREAM_ACCOUNTS).map(|name| (name.to_owned(), random_text(10))).collect();
    write_private(&path, &serde_json::to_vec_pretty(&made)?)?;
    Ok(made)
}

/// A name for this demo's ledger: two demos have two logs.
fn ledger_name(data: &Path) -> Result<String> {
    let path = data.join("ledger-name");
    if !path.exists() {
        write_private(&path, random_text(6).as_bytes())?;
    }
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}

/// Gives the engine its first bundle, the people their passwords, the accounts their secrets.
async fn prepare(
    engine: &Engine,
    data: &Path,
    scratch: &Scratch,
    passwords: &BTreeMap<String, String>,
) -> Result<()> {
    for name in UPSTREAM_ACCOUNTS {
        let password = passwords.get(name).context("an upstream account has no password")?;
        engine.put_secret(name, password).await?;
    }
    let dave: PrincipalId = ADMINISTRATOR.parse()?;
    if engine.snapshot().book.in_force.is_none() {
        apply_first(engine, bundle(scratch.access.port)?, &dave, &data.join("bundle")).await?;
        for (name, _) in PEOPLE {
            let password = passwords.get(name).context("somebody has no password")?;
            engine.set_password(&name.parse()?, password).await?;
        }
    }
    Ok(())
}

fn describe(
    console: &str,
    port: u16,
    authority: &Authority,
    scratch: &Scratch,
    passwords: &BTreeMap<String, String>,
) -> DemoFacts {
    let people = PEOPLE.iter().map(|(name, group)| Person {
        name: (*name).to_owned(),
        password: passwords.get(*name).cloned().unwrap_or_default(),
        groups: vec![(*group).to_owned()],
    });
    let console_port = url::Url::parse(console).ok().and_then(|url| url.port()).unwrap_or_default();
    DemoFacts {
        console: console.to_owned(),
        ca: authority.path.clone(),
        people: people.collect(),
        resources: vec![
            Resource {
                name: "shop".into(),
                kind: "postgres".into(),
                host: "localhost".into(),
                port,
                database: "shop".into(),
            },
            Resource {
                name: REPORTS.into(),
                kind: "mcp".into(),
                host: "localhost".into(),
                port: console_port,
                database: REPORTS.into(),
            },
        ],
        upstream: Upstream {
            host: scratch.access.host.clone(),
            port: scratch.access.port,
            user: scratch.access.user.clone(),
            password: scratch.access.password.clone(),
            database: "shop".into(),
        },
    }
}

/// The demo's server of tools: this very program, before a folder of its own.
fn reports_program(data: &Path) -> Result<Program> {
    let folder = data.join(REPORTS);
    reports::prepare(&folder).context("the demo's reports could not be written")?;
    let this = std::env::current_exe().context("this program does not know where it is")?;
    let words = [this.as_os_str(), "demo-reports".as_ref(), folder.as_os_str()];
    let words = words.into_iter().map(|word| word.to_str().map(str::to_owned));
    let command: Option<Vec<String>> = words.collect();
    Ok(Program { command: command.context("the data folder's name is not UTF-8")?, ..Program::default() })
}

/// What to type. It fits 80 columns.
fn welcome(facts: &DemoFacts, data: &Path, log_key: &str) -> String {
    let people: String = facts
        .people
        .iter()
        .map(|person| {
            format!("    {:<8} {:<22} {}\n", person.name, person.password, person.groups.join(", "))
        })
        .collect();
    let console = &facts.console;
    let path = missing_from_path().map(|path| format!("export {path}\n  ")).unwrap_or_default();
    format!(
        "\nCountersign is running. The console: {console}\n\n  People (name, password, group):\n{people}\n\
         Try it, in another terminal:\n\n  \
{path}export COUNTERSIGN_URL={console}\n  \
         countersign login --user alice          # then: bob, in a third terminal with\n  \
         countersign connect shop                # COUNTERSIGN_HOME=~/.countersign-bob\n  \
         countersign request shop-writer --for 30m --reason \"remove duplicates\"\n  \
         countersign requests --inbox            # as bob\n  \
         countersign approve req_...             # as bob\n  \
         countersign connect shop                # as alice\n  \
         shop=> DELETE FROM orders WHERE status = 'duplicate';\n\n\
         For an agent, as alice: request reports-clerk, and put this into the list of\n  \
         servers of its configuration: {{\"command\": \"countersign\",\n  \
         \"args\": [\"--url\", \"{console}\", \"connect\", \"reports\"]}}\n\n\
         Or let it play by itself:  countersign demo --script --data {}\n\
         Prove it, with no server:  countersign audit export --out my-export   # as bob\n                           \
         countersign audit verify --export my-export --key LOGKEY\n\
         Change what it asks for:   countersign policy export --out my-bundle  # as dave\n                           \
         countersign apply my-bundle\n\n\
         The log's key, LOGKEY, which an auditor has from elsewhere:\n  {log_key}\n\nCtrl-C stops everything; the data stays in {}.\n",
        data.display(),
        data.display(),
    )
}

/// What to add to the shell's path so that `countersign` is this program, if it is not.
fn missing_from_path() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|entry| entry == folder);
    (!there).then(|| format!("PATH=\"{}:$PATH\"", folder.display()))
}

async fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).await.with_context(|| {
        format!("port {port} is taken; choose others with --console-port and --postgres-port")
    })
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
