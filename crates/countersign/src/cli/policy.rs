//! Options of `policy` and of `audit accesses`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use countersign_core::Span;

/// What to ask of policy. Nothing is done and nothing changes.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// What policy would say of one attempt: exit 0 allowed or held, 3 denied.
    Simulate(Box<Simulate>),
    /// What a bundle would make of everybody, person by person.
    Compare {
        /// The bundle's folder.
        #[arg(value_name = "DIR")]
        bundle: PathBuf,
    },
    /// Write the bundle in force into a folder, to be changed and applied.
    Export {
        /// A new folder.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// What a bundle would have said of what was done.
    Replay {
        /// The bundle's folder.
        #[arg(value_name = "DIR")]
        bundle: PathBuf,
        /// How many days back, 1 to 366.
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
        days: u32,
    },
}

/// Options of `policy simulate`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["lasting", "sql", "action"]))]
pub struct Simulate {
    /// Who would attempt it.
    #[arg(long = "as", value_name = "NAME")]
    pub principal: String,
    /// The role: to ask for, or to act in.
    #[arg(long, value_name = "ROLE", required_unless_present = "action", conflicts_with = "action")]
    pub role: Option<String>,
    /// To ask for the role, for so long.
    #[arg(long = "for", value_name = "TIME")]
    pub lasting: Option<Span>,
    /// To run this statement in the role.
    #[arg(long, value_name = "TEXT", requires = "resource")]
    pub sql: Option<String>,
    /// On which resource the statement would run.
    #[arg(long = "on", value_name = "RESOURCE", requires = "sql")]
    pub resource: Option<String>,
    /// To do this to the gateway, for example policy.apply.
    #[arg(long = "do", value_name = "ACTION")]
    pub action: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT", conflicts_with = "action", default_value = "")]
    pub reason: String,
    /// The ticket.
    #[arg(long, value_name = "TICKET", conflicts_with = "action")]
    pub ticket: Option<String>,
    /// From which address.
    #[arg(long, value_name = "ADDRESS")]
    pub source: Option<String>,
    /// When, for example 2026-03-03T09:00:00Z; now without it.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Signed in with this, where policies look at that: password, totp, passkey, oidc. Several with commas.
    #[arg(long, value_name = "MEANS", value_delimiter = ',')]
    pub means: Vec<String>,
    /// Signed in so long ago; just now without it.
    #[arg(long, value_name = "TIME", requires = "means")]
    pub signed_in_ago: Option<Span>,
    /// Ask this bundle instead of the one in force.
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
}

/// Options of `audit accesses`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("of").required(true).multiple(true).args(["resource", "person"]))]
pub struct Accesses {
    /// To which resource.
    #[arg(long, value_name = "RESOURCE")]
    pub resource: Option<String>,
    /// Whose: a person with all accounts, services and agents, or one of those.
    #[arg(long, value_name = "NAME")]
    pub person: Option<String>,
    /// From this instant, for example 2026-03-03T00:00:00Z; 24 hours before the end without it.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Until this one; now without it.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How many acts are told one by one, at most 5,000.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub acts: u32,
}
