//! A running gateway: store, engine, door and portal wired together, and stopped in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use countersign_core::{PrincipalId, Span};
use countersign_doors::mcp::{self, Program};
use countersign_doors::postgres::{Door, DoorSettings, ServerTls};
use countersign_engine::federation::Matching;
use countersign_engine::{Engine, Settings};
use countersign_integrations::ldap::{Ldap, LdapSettings};
use countersign_integrations::oidc::{ProviderSettings, Providers};
use countersign_integrations::push::Pusher;
use countersign_portal::scim::{Scim, ScimClient, ScimSettings};
use countersign_portal::{DoorAddress, Portal, PortalSettings};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use crate::cli::Serve;
use crate::configuration::{Configuration, Listener, ProviderSection, SignInSection, configuration};
use crate::directories::{ldap_directories, scim_clients};
use crate::output::note;
use crate::telling::pusher;
use crate::wiring::{Authority, Certificate, DataFolder, SystemEntropy, ports};

/// Statements up to this length are parsed on the runtime's own threads, whose stacks `main` sees to. Longer ones would
/// keep a thread from its other sessions for too long.
const PARSE_HERE_BYTES_MAX: usize = 2_048;

/// The shortest limit of a sign-in that can be set: shorter, and nobody gets anything done.
const SIGN_IN_MIN: Span = Span::minutes(1);

/// The longest: that of AAL1 (NIST SP 800-63B-4).
const SIGN_IN_MAX: Span = Span::hours(30 * 24);

/// What a gateway is started with.
pub struct Start {
    /// The console's listener, bound already: links need its port.
    pub console: TcpListener,
    /// The console's certificate; without one it speaks HTTP, for loopback and behind a proxy.
    pub console_tls: Option<Certificate>,
    /// Where people reach the console.
    pub console_url: String,
    /// The postgres door's listener.
    pub postgres: TcpListener,
    /// The door's certificate.
    pub postgres_tls: Certificate,
    /// Where clients reach the door.
    pub postgres_address: (String, u16),
    /// Who may provision directories.
    pub scim: Vec<ScimClient>,
    /// The directories that are asked.
    pub ldap: Vec<LdapSettings>,
    /// The programs that resources may name as their servers of tools.
    pub programs: BTreeMap<String, Program>,
    /// Who tells people on their devices.
    pub pusher: Option<Pusher>,
}

/// A gateway that runs.
pub struct Gateway {
    /// The engine beneath.
    pub engine: Engine,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<()>>,
}

impl Gateway {
    /// Opens door and portal over a started engine.
    ///
    /// # Errors
    /// The door's settings are wrong.
    pub fn open(engine: Engine, start: Start) -> Result<Self> {
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let tls = ServerTls::new(&start.postgres_tls.door, &start.postgres_tls.end);
        let settings = DoorSettings {
            parse_here_bytes_max: PARSE_HERE_BYTES_MAX,
            ..DoorSettings::new(Arc::new(SystemEntropy::default()))
        };
        let door = Door::new(engine.clone(), start.postgres, Some(tls), settings)?;
        let (host, port) = start.postgres_address;
        let authority = start.postgres_tls.authority;
        let authority =
            authority.map(|Authority { pem, path }| countersign_portal::Authority { pem, path: Some(path) });
        let scim = Scim::new(
            engine.clone(),
            ScimSettings {
                public_url: start.console_url.clone(),
                clients: start.scim,
                secrets: ports().secrets,
                entropy: Arc::new(SystemEntropy::default()),
            },
        );
        let tools = mcp::Door::new(
            engine.clone(),
            mcp::DoorSettings {
                programs: start.programs,
                ..mcp::DoorSettings::new(Arc::new(SystemEntropy::default()), &start.console_url)
            },
        );
        let tools_address = tools_address(&start.console_url)?;
        let settings = PortalSettings {
            public_url: start.console_url,
            doors: vec![DoorAddress { kind: "postgres".into(), host, port }, tools_address],
            authority,
            entropy: Arc::new(SystemEntropy::default()),
        };
        let router =
            Portal::router(engine.clone(), settings).context("the console's address is not right")?;
        let router = router.merge(scim.router()).merge(tools_router(&tools));
        let console_tls = start.console_tls.map(|certificate| certificate.config);
        tasks.spawn(door_task(door, stopping.clone()));
        tasks.spawn(follow_task(scim, stopping.clone()));
        let stopped = until_stopped(stopping.clone());
        tasks.spawn(async move {
            tools.run(stopped).await;
            Ok(())
        });
        if let Some(pusher) = start.pusher {
            let stopped = until_stopped(stopping.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = pusher.run() => {}
                    () = stopped => {}
                }
                Ok(())
            });
        }
        for settings in start.ldap {
            let asked = Ldap::new(engine.clone(), settings, ports().secrets);
            let stopped = until_stopped(stopping.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = asked.run() => {}
                    () = stopped => {}
                }
                Ok(())
            });
        }
        tasks.spawn(async move {
            let stopped = until_stopped(stopping);
            countersign_portal::serve(start.console, router, console_tls, stopped)
                .await
                .context("the console stopped")
        });
        Ok(Self { engine, stop, tasks })
    }

    /// Runs until a signal asks to stop or a part fails; then ends sessions and closes the ledger.
    ///
    /// # Errors
    /// A part failed.
    pub async fn run(mut self) -> Result<()> {
        let ended = tokio::select! {
            asked = asked_to_stop() => asked,
            Some(part) = self.tasks.join_next() => match part {
                Ok(Ok(())) => Err(anyhow::anyhow!("a part of the gateway ended by itself")),
                Ok(Err(error)) => Err(error),
                Err(error) => Err(error.into()),
            },
            () = self.engine.ended() => {
                Err(anyhow::anyhow!("the ledger's writer failed, and nothing may happen without it"))
            }
        };
        self.stop().await;
        ended
    }

    async fn stop(mut self) {
        let _nobody_left = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.engine.stop().await;
    }
}

async fn door_task(door: Door, stopping: watch::Receiver<bool>) -> Result<()> {
    door.run(until_stopped(stopping)).await;
    Ok(())
}

/// Where the door of tools is: at the console's address.
fn tools_address(console_url: &str) -> Result<DoorAddress> {
    let url = url::Url::parse(console_url).context("the console's address is not right")?;
    let host = url.host_str().context("the console's address names no host")?;
    let port = url.port_or_known_default().context("the console's address names no port")?;
    Ok(DoorAddress { kind: "mcp".into(), host: host.trim_matches(['[', ']']).to_owned(), port })
}

/// The endpoints of the door of tools, on the console's listener, whose connections tell who is at their other end.
fn tools_router(door: &mcp::Door) -> Router {
    door.router().layer(map_request(|mut call: Request| async move {
        if let Some(peer) = call.extensions().get::<countersign_portal::serve::Peer>().copied() {
            call.extensions_mut().insert(mcp::Peer(peer.0));
        }
        call
    }))
}

/// What provisioning clients said is said again whenever a bundle fills its groups otherwise.
async fn follow_task(scim: Scim, stopping: watch::Receiver<bool>) -> Result<()> {
    tokio::select! {
        () = scim.follow() => until_stopped(stopping.clone()).await,
        () = until_stopped(stopping.clone()) => {}
    }
    Ok(())
}

/// Resolves when the gateway is asked to stop, or nobody is left to ask.
async fn until_stopped(mut stopping: watch::Receiver<bool>) {
    let _asked_or_gone = stopping.wait_for(|stop| *stop).await;
}

async fn asked_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// `countersign serve`.
///
/// # Errors
/// The configuration is wrong, a port is taken, the store is damaged.
pub async fn serve(options: &Serve) -> Result<()> {
    log_to_stderr();
    crate::wiring::keep_memory_private();
    let found = configuration(&options.config)?;
    let data = options.data.clone().or(found.gateway.data.clone());
    let folder = DataFolder::open(
        &data.context("no data folder is named; set `data` under [gateway], or use --data")?,
    )?;
    let console =
        TcpListener::bind(found.console.listen).await.with_context(|| taken(found.console.listen))?;
    let postgres =
        TcpListener::bind(found.postgres.listen).await.with_context(|| taken(found.postgres.listen))?;
    let console_tls = given(&found.console)?;
    let console_url = console_url(&found, console.local_addr()?, console_tls.is_some())?;
    let address = door_address(found.gateway.postgres_address.as_deref(), postgres.local_addr()?)?;
    let names = [address.0.clone(), "localhost".into(), "127.0.0.1".into()];
    let (scim, ldap) = (scim_clients(&found.scim)?, ldap_directories(&found.ldap)?);
    if let Some(twice) = found.scim.keys().find(|name| found.ldap.contains_key(*name)) {
        bail!("the directory `{twice}` has both [scim.{twice}] and [ldap.{twice}]; whose word is it to be?");
    }
    let postgres_tls = given(&found.postgres)?.map_or_else(|| Certificate::own(&folder, &names), Ok)?;
    let defaults = Settings::default();
    let (sign_in_for, sign_in_idle) = found.sign_in.limits(&defaults)?;
    let settings = Settings {
        device_codes: found.sign_in.device_codes.unwrap_or(defaults.device_codes),
        sign_in_for,
        sign_in_idle,
        node: found.gateway.node.clone().unwrap_or(defaults.node.clone()),
        origin: found.gateway.origin.clone().unwrap_or(defaults.origin.clone()),
        console_url: console_url.clone(),
        ..defaults
    };
    let engine = folder.engine(&found.master(), settings).await?;
    if let Some(providers) = providers(&found.sign_in.oidc)? {
        engine.federate(Arc::new(providers));
    }
    if let Some(bootstrap) = &found.bootstrap {
        first_bundle(&engine, &options.config.join("bundle"), &bootstrap.by).await?;
    }
    say_setup_code(&engine, &console_url).await?;
    let pusher = pusher(found.push, &engine).await?;
    note(&format!("console {console_url}, postgres {}:{}", address.0, address.1));
    note(&format!("the key of the log, to be kept elsewhere (`audit verify --key`): {}", engine.vkey()));
    let start = Start {
        console,
        console_tls,
        console_url,
        postgres,
        postgres_tls,
        postgres_address: address,
        scim,
        ldap,
        programs: found.mcp.programs()?,
        pusher,
    };
    Gateway::open(engine, start)?.run().await
}

/// Says where the gateway was started by which code it is set up in the browser, if it has no bundle.
async fn say_setup_code(engine: &Engine, console_url: &str) -> Result<()> {
    let opened = engine.open_setup().await;
    if let Some(opened) = opened.map_err(|refused| anyhow::anyhow!(refused.message))? {
        let (code, until) = (opened.code.as_str(), opened.until.rfc3339());
        note(&format!(
            "this gateway is to be set up: open {console_url} and type the code {code}, once, until {until}"
        ));
    }
    Ok(())
}

/// Puts the first bundle in force, unless one is.
async fn first_bundle(engine: &Engine, bundle: &Path, by: &str) -> Result<()> {
    if engine.snapshot().book.in_force.is_some() {
        return Ok(());
    }
    let by: PrincipalId = by.parse()?;
    apply_first(engine, crate::commands::bundle::read(bundle)?, &by, bundle).await
}

/// Puts these files in force as the first bundle.
///
/// # Errors
/// The bundle has mistakes, all of which are told.
pub async fn apply_first(
    engine: &Engine,
    files: BTreeMap<String, String>,
    by: &PrincipalId,
    folder: &Path,
) -> Result<()> {
    use countersign_engine::ApplyError;
    match engine.first_bundle(files, by).await {
        Ok(_) => Ok(()),
        Err(ApplyError::Invalid(mistakes)) => {
            let list: String =
                mistakes.iter().map(|one| crate::commands::bundle::in_words(folder, one)).collect();
            bail!("the bundle is not right:\n{list}")
        }
        Err(ApplyError::Refused(refused)) => bail!("the bundle was refused: {}", refused.message),
    }
}

impl SignInSection {
    /// How long a sign-in lasts at most, and how long unused.
    fn limits(&self, defaults: &Settings) -> Result<(Span, Span)> {
        let read = |text: &Option<String>, key: &str, default: Span| match text {
            Some(text) => {
                text.parse::<Span>().with_context(|| format!("`{key}` under [sign_in] is not right"))
            }
            None => Ok(default),
        };
        let longest = read(&self.r#for, "for", defaults.sign_in_for)?;
        let idle = read(&self.idle, "idle", defaults.sign_in_idle.min(longest))?;
        for (key, span) in [("for", longest), ("idle", idle)] {
            if span < SIGN_IN_MIN || span > SIGN_IN_MAX {
                bail!(
                    "`{key}` under [sign_in] is `{span}`; it has to be from {SIGN_IN_MIN} to {SIGN_IN_MAX}"
                );
            }
        }
        if idle > longest {
            bail!("`idle` under [sign_in] is `{idle}`, longer than `for`, which is `{longest}`");
        }
        Ok((longest, idle))
    }
}

/// The identity providers, if there are any.
fn providers(sections: &[ProviderSection]) -> Result<Option<Providers>> {
    if sections.is_empty() {
        return Ok(None);
    }
    let ports = crate::wiring::ports();
    let read = |section: &ProviderSection| -> Result<ProviderSettings> {
        let secret = section.client_secret.as_deref().map(|reference| ports.secrets.resolve(reference));
        let client_secret = secret.transpose().map_err(anyhow::Error::msg);
        let client_secret = client_secret
            .with_context(|| format!("`client_secret` of the provider `{}` is not right", section.name))?;
        let matching = match section.r#match.as_str() {
            "email" => Matching::Email { domains: section.email_domains.clone() },
            _ if !section.email_domains.is_empty() => {
                bail!("`email_domains` of the provider `{}` goes with `match = \"email\"`", section.name)
            }
            claim => Matching::Name { claim: claim.to_owned() },
        };
        Ok(ProviderSettings {
            name: section.name.clone(),
            title: section.title.clone().unwrap_or_else(|| section.name.clone()),
            issuer: section.issuer.clone(),
            client_id: section.client_id.clone(),
            client_secret,
            scopes: section.scopes.clone(),
            matching,
            two_factors: section.two_factors.clone(),
        })
    };
    let settings = sections.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(Some(Providers::new(settings, ports.clock).context("[[sign_in.oidc]] is not right")?))
}

fn given(listener: &Listener) -> Result<Option<Certificate>> {
    match (&listener.certificate, &listener.key) {
        (Some(chain), Some(key)) => Certificate::given(chain, key).map(Some),
        (None, None) => Ok(None),
        _ => {
            bail!("`certificate` and `key` go together; the listener on {} has one of them", listener.listen)
        }
    }
}

/// A console in clear is for loopback, or behind a proxy that is named.
fn console_url(found: &Configuration, bound: SocketAddr, tls: bool) -> Result<String> {
    if let Some(url) = &found.gateway.console_url {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    if !tls && !bound.ip().is_loopback() {
        bail!(
            "the console has no certificate and listens beyond loopback; set `certificate` and `key` under [console], or `console_url` if a proxy ends TLS"
        );
    }
    let scheme = if tls { "https" } else { "http" };
    Ok(format!("{scheme}://localhost:{}", bound.port()))
}

fn door_address(named: Option<&str>, bound: SocketAddr) -> Result<(String, u16)> {
    let Some(named) = named else {
        let host = if bound.ip().is_loopback() || bound.ip().is_unspecified() {
            "localhost".into()
        } else {
            bound.ip().to_string()
        };
        return Ok((host, bound.port()));
    };
    let (host, port) =
        named.rsplit_once(':').with_context(|| format!("`{named}` is not an address; write host:port"))?;
    Ok((
        host.trim_matches(['[', ']']).to_owned(),
        port.parse().with_context(|| format!("`{port}` is not a port"))?,
    ))
}

fn taken(listen: SocketAddr) -> String {
    format!("could not listen on {listen}; is something else there? choose another port, or 0 for any")
}

/// Structured logs on standard error; `RUST_LOG` chooses how much.
pub fn log_to_stderr() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,tokio_postgres=warn"));
    let _set_already = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // What can't be written would be complained of by a macro that panics when it can't write either: a full disk
        // under the log must not end whoever has something to say.
        .log_internal_errors(false)
        .with_ansi(false)
        .try_init();
}
