//! The command line, as clap sees it. Scripts rely on names, options and exit codes; see `docs/users/cli.md`.

mod jobs;
mod policy;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use countersign_core::Span;

pub use jobs::Run;
pub use policy::{Accesses, PolicyCommand, Simulate};

/// Exit codes, printed by `countersign help`.
const EXIT_CODES: &str = "Exit codes:\n  0  done, granted, proved\n  1  failed; `audit verify`: the ledger is broken\n  2  \
     wrong usage, or could not be checked\n  3  denied\n  4  lapsed or withdrawn";

/// Countersign: nothing privileged happens without a countersignature.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to print.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// The gateway's address, for example https://countersign.example.com.
    #[arg(long, global = true, env = "COUNTERSIGN_URL", value_name = "URL")]
    pub url: Option<String>,
    /// A sign-in token; `login` keeps one for you.
    #[arg(long, global = true, env = "COUNTERSIGN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Where this command line keeps its sign-in and the last checkpoint it saw.
    #[arg(long, global = true, env = "COUNTERSIGN_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, at most 80 columns where it can be.
    Text,
    /// For scripts: one JSON document.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway.
    Serve(Serve),
    /// Run a gateway with a scratch database and a sample bundle, to try everything.
    Demo(Demo),
    /// Sign in by way of the console, or with a password.
    Login(Login),
    /// Sign out and forget the token.
    Logout,
    /// Show who you are and what you hold.
    Whoami,
    /// Show the roles you may ask for.
    Roles,
    /// Ask for a role, or put a script forward.
    Request(Request),
    /// Run a command under a role, in a job: ask, wait, run it, give back. The job signs in by the token that its issuer gave it.
    Run(Run),
    /// List requests.
    Requests(Requests),
    /// Approve a request.
    Approve(Approve),
    /// Deny a request.
    Deny(Deny),
    /// Withdraw a request of yours.
    Withdraw {
        /// The request.
        id: String,
    },
    /// List grants.
    Grants(Grants),
    /// End somebody's grant.
    Revoke(Reasoned),
    /// Give back a grant of yours.
    Relinquish {
        /// The grant.
        id: String,
    },
    /// Shut a principal out: their sessions are cut, their grants revoked.
    Disable(Disable),
    /// Let a principal in again.
    Enable {
        /// Who.
        name: String,
    },
    /// Work with the gateway's own upstream secrets, and with the keys that seal everything at rest.
    Secrets {
        /// What to do.
        #[command(subcommand)]
        command: SecretsCommand,
    },
    /// Work with agents of yours.
    Agent {
        /// What to do.
        #[command(subcommand)]
        command: AgentCommand,
    },
    /// List the directories that people come from, and when they were last heard.
    Directories,
    /// List your sign-ins, or somebody's.
    SignIns {
        /// Whose, if not yours.
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
    },
    /// End a sign-in.
    SignIn {
        /// What to do with it.
        #[command(subcommand)]
        command: SignInCommand,
    },
    /// List what you have bound to your account beside a password.
    Authenticators,
    /// Bind something to your account beside a password, or take it away.
    Authenticator {
        /// What to do.
        #[command(subcommand)]
        command: AuthenticatorCommand,
    },
    /// List sessions.
    Sessions(Sessions),
    /// Work with one session.
    Session {
        /// What to do with it.
        #[command(subcommand)]
        command: SessionCommand,
    },
    /// Start the client of a resource with a fresh credential; for a server of tools, be that server on standard input and
    /// output.
    Connect(Connect),
    /// Check a bundle folder; reports every mistake at once.
    Check {
        /// The bundle folder.
        #[arg(value_name = "DIR", required_unless_present = "live", conflicts_with = "live")]
        bundle: Option<PathBuf>,
        /// Have the gateway read back what its upstream accounts may do, and show those that could do more than the
        /// roles of the bundle in force say.
        #[arg(long)]
        live: bool,
    },
    /// Put a bundle in force, or ask for it where a gate holds that.
    Apply {
        /// The bundle folder.
        #[arg(value_name = "DIR")]
        bundle: PathBuf,
    },
    /// Ask policy beforehand: of one attempt, of everybody, of what was done already.
    Policy {
        /// What to ask.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Search, export and verify the ledger.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Print the shell completions.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff).
    Man,
    /// Print the JSON Schemas of the bundle's files.
    Schema,
    /// The demo's server of tools, on standard input and output.
    #[command(hide = true)]
    DemoReports {
        /// Where its reports are.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Set the password of a local person, on the gateway's own machine while it is stopped.
    Password {
        /// Who.
        name: String,
        /// The data folder.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The configuration folder, where it says who keeps the master key.
        #[arg(long, value_name = "DIR")]
        config: Option<PathBuf>,
        /// Take away what they have bound beside a password, and leave the password as it is.
        #[arg(long)]
        reset_authenticators: bool,
    },
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration folder: `countersign.toml` and `bundle/`.
    #[arg(long, value_name = "DIR", default_value = "/etc/countersign")]
    pub config: PathBuf,
    /// The data folder. Overrides the configuration's.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The data folder; it is kept, and used again next time.
    #[arg(long, value_name = "DIR", default_value = ".countersign-demo")]
    pub data: PathBuf,
    /// The console's port; 0 lets the system choose.
    #[arg(long, value_name = "N", default_value_t = 7780)]
    pub console_port: u16,
    /// The postgres door's port; 0 lets the system choose.
    #[arg(long, value_name = "N", default_value_t = 7754)]
    pub postgres_port: u16,
    /// Don't open the console in a browser.
    #[arg(long)]
    pub no_open: bool,
    /// Play the story against the running demo and print what happens; fails if a step fails.
    #[arg(long)]
    pub script: bool,
}

/// What to do about agents.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Get a code for an agent's program to sign in with, once, together with a key of its own.
    Code {
        /// The agent.
        name: String,
    },
}

/// What to do with the gateway's own secrets. None is ever shown.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// List them by name, and those that the bundle in force asks for.
    List,
    /// Read one from standard input and put it there, in place of one of that name; `secret:NAME` in a bundle leads to it.
    Put {
        /// Its name.
        name: String,
    },
    /// Take one away.
    Remove {
        /// Its name.
        name: String,
    },
    /// Show who keeps the keys that seal everything, and whether they are being changed.
    Keys,
    /// Make a new key that seals; what is there is sealed anew while the gateway works.
    Rotate {
        /// Wait until nothing is left under the older one.
        #[arg(long)]
        wait: bool,
    },
    /// Have the keys wrapped anew, after the master key was changed.
    Wrap,
}

/// What to do with a sign-in.
#[derive(Debug, Subcommand)]
pub enum SignInCommand {
    /// End it.
    End {
        /// The sign-in.
        id: String,
    },
}

/// What to do about authenticators.
#[derive(Debug, Subcommand)]
pub enum AuthenticatorCommand {
    /// Bind an authenticator app: one-time codes as the second step of signing in.
    Totp,
    /// Make new recovery codes; the old ones count no more.
    RecoveryCodes,
    /// Take one away.
    Remove {
        /// The authenticator.
        id: String,
    },
    /// Take away all that somebody has bound, who lost it.
    Reset {
        /// Who.
        name: String,
    },
}

/// Options of `login`.
#[derive(Debug, Args)]
pub struct Login {
    /// Who you are: signs in with a password, and not by way of the console.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Show a code to be typed in at the console on another machine, even where there is a browser.
    #[arg(long, conflicts_with_all = ["user", "password_stdin", "no_open"])]
    pub device: bool,
    /// Print the link to the console only, do not open the browser.
    #[arg(long, conflicts_with_all = ["user", "password_stdin"])]
    pub no_open: bool,
    /// Read the password from standard input; and the code from the line after it, if the account has a second factor.
    #[arg(long)]
    pub password_stdin: bool,
    /// Print the token as the last line.
    #[arg(long)]
    pub print_token: bool,
}

/// Options of `request`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Request {
    /// A script in place of a role.
    #[command(subcommand)]
    pub other: Option<RequestOther>,
    /// The role.
    #[arg(required = true)]
    pub role: Option<String>,
    /// For how long, for example 30m or 2h.
    #[arg(long = "for", value_name = "TIME", default_value = "30m")]
    pub lasting: Span,
    /// Why; approvers read this.
    #[arg(long, value_name = "TEXT", required = true)]
    pub reason: Option<String>,
    /// The ticket it belongs to.
    #[arg(long, value_name = "ID")]
    pub ticket: Option<String>,
    /// Wait for the answer: exit 0 granted, 3 denied, 4 lapsed or withdrawn.
    #[arg(long)]
    pub wait: bool,
}

/// What else can be asked for.
#[derive(Debug, Subcommand)]
pub enum RequestOther {
    /// Put a whole script forward: every statement is shown, the whole is approved, and your own client then runs it, each
    /// statement once and in order, for example with `psql -f FILE`.
    Script(Script),
}

/// Options of `request script`.
#[derive(Debug, Args)]
pub struct Script {
    /// The file; `-` reads standard input.
    pub file: std::path::PathBuf,
    /// On what it would run.
    #[arg(long, value_name = "NAME")]
    pub resource: String,
    /// In which of your roles; the newest that reaches the resource if absent.
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// A setting that your client begins its session with, for example `TimeZone=Europe/Berlin`. May be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Why; approvers read this.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The ticket it belongs to.
    #[arg(long, value_name = "ID")]
    pub ticket: Option<String>,
    /// Wait for the answer: exit 0 approved, 3 denied, 4 lapsed or withdrawn.
    #[arg(long)]
    pub wait: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, for example TimeZone=Europe/Berlin".to_owned()),
    }
}

/// Options of `requests`.
#[derive(Debug, Args)]
pub struct Requests {
    /// Only those that wait for your word.
    #[arg(long)]
    pub inbox: bool,
    /// Only your own.
    #[arg(long)]
    pub mine: bool,
    /// Only this one, in full.
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// In this state: pending, approved, denied, lapsed, withdrawn, void, or all.
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
}

/// Options of `grants`.
#[derive(Debug, Args)]
pub struct Grants {
    /// In this state. Live ones if absent.
    #[arg(long, value_name = "STATE", value_parser = ["live", "expired", "revoked", "relinquished"])]
    pub state: Option<String>,
}

/// Options of `sessions`.
#[derive(Debug, Args)]
pub struct Sessions {
    /// In this state. Live ones if absent.
    #[arg(long, value_name = "STATE", value_parser = ["live", "ended"])]
    pub state: Option<String>,
}

/// Options of `approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// The request.
    pub id: String,
    /// A word to the requester.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// The digest you were shown; a changed request is then not approved.
    #[arg(long, value_name = "HEX")]
    pub digest: Option<String>,
    /// How often it may be used, if less often than the rules allow.
    #[arg(long, value_name = "N")]
    pub uses: Option<u32>,
    /// For how long it may be used, if for less long than the rules allow: `10m`.
    #[arg(long = "for", value_name = "TIME")]
    pub lasting: Option<countersign_core::Span>,
    /// Approve bounds instead of the text: what it does to the relations it names, by any text.
    #[arg(long, requires_all = ["rows", "total"])]
    pub envelope: bool,
    /// Rows that one statement may write, within the envelope.
    #[arg(long, value_name = "N", requires = "envelope")]
    pub rows: Option<u64>,
    /// Rows that may be written in all, within the envelope.
    #[arg(long, value_name = "N", requires = "envelope")]
    pub total: Option<u64>,
    /// Do not ask again at a terminal.
    #[arg(long)]
    pub yes: bool,
    /// Where it has to be signed with a passkey: print the link only, do not open the browser.
    #[arg(long)]
    pub no_open: bool,
}

/// Options of `deny`.
#[derive(Debug, Args)]
pub struct Deny {
    /// The request.
    pub id: String,
    /// Why; the requester reads this.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
}

/// Options of `revoke`.
#[derive(Debug, Args)]
pub struct Reasoned {
    /// Which.
    pub id: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Options of `disable`.
#[derive(Debug, Args)]
pub struct Disable {
    /// Who.
    pub name: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What to do with a session.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// End it now.
    End {
        /// Which.
        id: String,
    },
    /// Begin nothing new in it until it is resumed; what runs goes on to its end.
    Pause {
        /// Which.
        id: String,
        /// Why, for whoever waits in it and for the record.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let it go on.
    Resume(Reasoned),
    /// Show what was done in it.
    Show {
        /// Which.
        id: String,
    },
}

/// Options of `connect`.
#[derive(Debug, Args)]
pub struct Connect {
    /// The resource.
    pub resource: String,
    /// Print this instead of starting the client.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub print: Option<Print>,
    /// Don't start the client: let any tool in without a password, at this port of this machine or at a socket in this folder (what
    /// holds a slash), for as long as this runs. Only your own programs are let in.
    #[arg(long, value_name = "PORT|DIR", conflicts_with_all = ["print", "args"])]
    pub listen: Option<crate::commands::local::Listen>,
    /// Of a database: be a server of tools (MCP) on standard input and output, whose tools run statements.
    #[arg(long, conflicts_with_all = ["listen", "args"])]
    pub tools: bool,
    /// The agent of yours that it is for.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// The role to use where you hold several.
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Arguments for the client.
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// What `connect --print` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Print {
    /// A URL that clients understand, as the last line.
    Url,
    /// The bearer token for a server of tools, as the last line.
    Token,
}

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Find events.
    Search(Search),
    /// Who had access to a resource or as a person, by which grant, who approved it, and what they did.
    Accesses(Accesses),
    /// Write what an auditor takes away: tiles, checkpoint, contents.
    Export {
        /// A new folder.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
    },
    /// Verify the ledger: exit 0 proved, 1 broken, 2 could not check.
    Verify(Verify),
    /// Show one event with what it commits to: texts, parameters, reasons. That it was read is recorded.
    Show {
        /// The event's index.
        index: u64,
    },
    /// Print the proof of one event (c2sp.org/tlog-proof).
    Prove {
        /// The event's index.
        index: u64,
    },
}

/// Options of `audit search`.
#[derive(Debug, Args)]
pub struct Search {
    /// Words in texts, reasons, names.
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Event type, for example grant.issued; or its beginning up to a dot, for example grant.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Whose.
    #[arg(long, value_name = "NAME")]
    pub principal: Option<String>,
    /// In which session.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// About which request.
    #[arg(long, value_name = "ID")]
    pub request: Option<String>,
    /// Evidence for which control, for example AC-6(9).
    #[arg(long, value_name = "CONTROL")]
    pub control: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
}

/// Options of `audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// An export to verify instead of the gateway's ledger. Needs no gateway.
    #[arg(long, value_name = "PATH")]
    pub export: Option<PathBuf>,
    /// A checkpoint kept earlier; the ledger must have grown from it.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The log's key, had from somewhere you trust.
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
}
