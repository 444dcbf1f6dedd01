//! The roof: command line, configuration, wiring. The only crate that reads the clock, the environment and
//! randomness; everything below is given them.

mod browser;
mod cli;
mod client;
mod commands;
mod configuration;
mod demo;
mod directories;
mod home;
mod keepers;
mod output;
mod programs;
mod prover;
mod scratch;
mod serve;
mod telling;
mod wiring;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser as _};
use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

use cli::{AgentCommand, AuditCommand, Cli, Command};
use client::{Refused, Unreachable};
use commands::{audit, bundle, identity, people, policy, requests, sessions};
use home::Home;
use output::note;

/// What a session allocates, the ledger's thread frees, for every statement: the system's allocator makes one wait for
/// the other there. What is given back is wiped first: passwords and tokens pass through buffers of HTTP and TLS that nobody
/// but the allocator has in hand when they are done with.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

/// It failed.
const FAILED: u8 = 1;
/// Wrong usage, or it could not be checked.
const UNCHECKED: u8 = 2;
/// A person or a policy said no.
pub(crate) const DENIED: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = wiring::install_crypto() {
        complain(&error);
        return ExitCode::from(FAILED);
    }
    // Statements are parsed on these threads, however they nest. It is address space, not memory.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_stack_size(countersign_doors::postgres::PARSER_STACK_BYTES);
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&anyhow::Error::new(error).context("could not start"));
            return ExitCode::from(FAILED);
        }
    };
    match runtime.block_on(run(&cli)) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::from(code_of(&error, &cli.command))
        }
    }
}

/// The exit code of what went wrong: a refusal by policy is an answer, and has one of its own.
fn code_of(error: &anyhow::Error, command: &Command) -> u8 {
    let is_refused = error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 403);
    match command {
        Command::Audit { .. } => UNCHECKED,
        _ if is_refused => DENIED,
        _ => FAILED,
    }
}

async fn run(cli: &Cli) -> Result<ExitCode> {
    let home = || Home::new(cli.home.clone());
    match &cli.command {
        Command::Serve(options) => serve::serve(options).await?,
        Command::Demo(options) if options.script => return demo::script(options).await,
        Command::Demo(options) => demo::demo(options).await?,
        Command::Login(options) => people::login(cli, &home()?, options).await?,
        Command::Logout => people::logout(cli, &home()?).await?,
        Command::Whoami => people::whoami(cli, &home()?).await?,
        Command::Roles => people::roles(cli, &home()?).await?,
        Command::Run(options) => return commands::run::run(cli, options).await,
        Command::Request(options) => return requests::request(cli, &home()?, options).await,
        Command::Requests(options) => requests::requests(cli, &home()?, options).await?,
        Command::Approve(options) => return requests::approve(cli, &home()?, options).await,
        Command::Deny(options) => requests::deny(cli, &home()?, options).await?,
        Command::Withdraw { id } => requests::withdraw(cli, &home()?, id).await?,
        Command::Grants(options) => requests::grants(cli, &home()?, options).await?,
        Command::Revoke(options) => requests::revoke(cli, &home()?, options).await?,
        Command::Relinquish { id } => requests::relinquish(cli, &home()?, id).await?,
        Command::Disable(options) => people::disable(cli, &home()?, options).await?,
        Command::Enable { name } => people::enable(cli, &home()?, name).await?,
        Command::Agent { command: AgentCommand::Code { name } } => {
            people::agent_code(cli, &home()?, name).await?
        }
        Command::Secrets { command } => commands::secrets::secrets(cli, &home()?, command).await?,
        Command::Directories => people::directories(cli, &home()?).await?,
        Command::SignIns { of } => identity::sign_ins(cli, &home()?, of.as_deref()).await?,
        Command::SignIn { command } => identity::sign_in(cli, &home()?, command).await?,
        Command::Authenticators => identity::authenticators(cli, &home()?).await?,
        Command::Authenticator { command } => identity::authenticator(cli, &home()?, command).await?,
        Command::Sessions(options) => sessions::sessions(cli, &home()?, options).await?,
        Command::Session { command } => sessions::session(cli, &home()?, command).await?,
        Command::Connect(options) => sessions::connect(cli, &home()?, options).await?,
        Command::Check { bundle: Some(bundle), .. } => return bundle::check(cli, bundle),
        Command::Check { bundle: None, .. } => return bundle::check_live(cli, &home()?).await,
        Command::Apply { bundle } => bundle::apply(cli, &home()?, bundle).await?,
        Command::Policy { command } => return policy::policy(cli, &home()?, command).await,
        Command::Audit { command: AuditCommand::Accesses(options) } => {
            policy::accesses(cli, &home()?, options).await?;
        }
        Command::Audit { command: AuditCommand::Search(options) } => {
            audit::search(cli, &home()?, options).await?
        }
        Command::Audit { command: AuditCommand::Export { out } } => audit::export(cli, &home()?, out).await?,
        Command::Audit { command: AuditCommand::Verify(options) } => {
            return audit::verify(cli, &home()?, options).await;
        }
        Command::Audit { command: AuditCommand::Show { index } } => {
            audit::show(cli, &home()?, *index).await?
        }
        Command::Audit { command: AuditCommand::Prove { index } } => {
            audit::prove(cli, &home()?, *index).await?
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "countersign", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end())?;
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            output::line(String::from_utf8_lossy(&page).trim_end())?;
        }
        Command::Schema => bundle::schema()?,
        Command::DemoReports { folder } => demo::reports::serve(folder).await?,
        Command::Password { name, data, config, reset_authenticators: true } => {
            wiring::reset_authenticators(name, data, config.as_deref()).await?
        }
        Command::Password { name, data, config, .. } => {
            wiring::set_password(name, data, config.as_deref()).await?
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what went wrong, why, and what to do next.
pub(crate) fn complain(error: &anyhow::Error) {
    if let Some(Refused { message, hint, .. }) = error.downcast_ref() {
        note(&output::harmless(&format!("error: {message}")));
        if let Some(hint) = hint {
            note(&output::harmless(&format!("hint: {hint}")));
        }
        return;
    }
    note(&output::harmless(&format!("error: {error:#}")));
    if error.downcast_ref::<Unreachable>().is_some() {
        note("hint: is it running? name another with --url or COUNTERSIGN_URL");
    }
}
