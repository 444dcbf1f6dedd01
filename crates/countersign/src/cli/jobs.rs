//! What jobs of pipelines run.

use clap::Args;
use countersign_core::Span;

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The role.
    #[arg(long, value_name = "ROLE")]
    pub role: String,
    /// For how long at most; it ends with the command.
    #[arg(long = "for", value_name = "TIME", default_value = "30m")]
    pub lasting: Span,
    /// Why; approvers read this, and what the issuer says of the job.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The ticket it belongs to.
    #[arg(long, value_name = "ID")]
    pub ticket: Option<String>,
    /// The resource that DATABASE_URL leads to, where the role has several.
    #[arg(long, value_name = "NAME")]
    pub resource: Option<String>,
    /// The service that the job is, where it may be several.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// The variable that has the job's token. COUNTERSIGN_ID_TOKEN if absent; on GitHub it is fetched.
    #[arg(long, value_name = "VARIABLE")]
    pub id_token_env: Option<String>,
    /// What a fetched token is to be meant for; the gateway's address if absent.
    #[arg(long, value_name = "TEXT")]
    pub audience: Option<String>,
    /// The command and its arguments. DATABASE_URL in its environment leads through the gateway.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}
