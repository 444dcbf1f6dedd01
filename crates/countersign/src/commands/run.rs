//! `countersign run`: one step of a pipeline under a role, from asking to giving back.
//!
//! The job shows the token that whoever runs it gave it, and a key that never leaves this process; nothing is kept on disk.
//! It asks for the role, waits for the answer, starts the command with a way to the resource in its environment, and says meanwhile
//! that it goes on. The way leads through this process: the command has no password, and connects for as long as it runs. When the command ends, however it ends, so does all that it had; should this process be killed, the
//! gateway notices by its silence.

use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use super::local::{Listen, Local, Wanted};
use super::requests::{outcome, sentence};
use crate::cli::{Cli, Run};
use crate::client::Client;
use crate::output::{note, text_at};

/// How often the gateway hears that the job goes on: it may miss a few.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How often it is asked whether somebody has answered.
const LOOK: Duration = Duration::from_secs(2);

/// How long a command has to end when this is told to.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What the exit code of a command is that a signal ended, as shells have it.
const SIGNALLED: i32 = 128;

pub async fn run(cli: &Cli, options: &Run) -> Result<ExitCode> {
    let Some((program, args)) = options.command.split_first() else { bail!("no command is named") };
    let url = cli.url.as_deref().context("no gateway is known; name one with --url or COUNTERSIGN_URL")?;
    let client = Client::at(url, None)?.proving()?;
    let token = id_token(options, client.url()).await?;
    let signed_in =
        client.post("/sign-in/job", json!({ "token": token.as_str(), "service": options.service })).await?;
    let client = client.with_token(&text_at(&signed_in, "/token"));
    note(&format!("This job is {}.", text_at(&signed_in, "/principal")));
    let done = tokio::select! {
        done = step(&client, options, (program, args)) => done,
        () = told_to_end() => Ok(ExitCode::from(143)),
    };
    // What it had ends with this; where that can't be said, by its silence.
    if let Err(error) = client.post("/sign-out", json!({})).await {
        note(&format!("could not say that the job is over: {error:#}"));
    }
    done
}

/// Asks, waits, and runs the command.
async fn step(client: &Client, options: &Run, (program, args): (&String, &[String])) -> Result<ExitCode> {
    let asked = client.post(
        "/requests",
        json!({
            "role": options.role,
            "for": options.lasting.to_string(),
            "reason": options.reason,
            "ticket": options.ticket,
        }),
    );
    let asked = asked.await?;
    let path = format!("/requests/{}", super::people::encoded(&text_at(&asked, "/id")));
    note(&sentence(&asked));
    let mut answered = asked;
    while text_at(&answered, "/state") == "pending" {
        tokio::time::sleep(LOOK).await;
        answered = client.get(&path).await?;
    }
    if text_at(&answered, "/state") != "approved" {
        note(&sentence(&answered));
        return Ok(outcome(&answered));
    }
    let resource = match &options.resource {
        Some(resource) => resource.clone(),
        None => only_resource(client, &options.role).await?,
    };
    let wanted = Wanted { client: client.clone(), resource, role: Some(options.role.clone()), agent: None };
    let local = Local::open(&Listen::Port(0), wanted).await?;
    let url = local.url().await?;
    let connecting = AbortOnDropHandle::new(tokio::spawn(local.serve()));
    let done = command(client, (program, args), &url).await;
    drop(connecting);
    done
}

/// Runs the command until it ends, or the job is ended.
async fn command(client: &Client, (program, args): (&String, &[String]), url: &str) -> Result<ExitCode> {
    let child = tokio::process::Command::new(program)
        .args(args)
        .env("DATABASE_URL", url)
        // What the step could sign in with again is none of the command's business.
        .env_remove("COUNTERSIGN_ID_TOKEN")
        .env_remove("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.with_context(|| format!("could not start `{program}`"))?;
    loop {
        tokio::select! {
            ended = child.wait() => return Ok(code_of(ended?)),
            () = told_to_end() => return end(child).await,
            () = tokio::time::sleep(HEARTBEAT) => {
                // Whoever ends the job's sign-in ends the command.
                if let Err(error) = client.get("/me").await
                    && error.downcast_ref::<crate::client::Refused>().is_some_and(|refused| refused.status == 401)
                {
                    note("this job was ended; so is its command");
                    return end(child).await;
                }
            }
        }
    }
}

/// Ends the command: with a word, and then without.
async fn end(mut child: tokio::process::Child) -> Result<ExitCode> {
    if let Some(id) = child.id() {
        let _gone = std::process::Command::new("kill").args(["-TERM", &id.to_string()]).status();
    }
    match tokio::time::timeout(ENDS_WITHIN, child.wait()).await {
        Ok(ended) => Ok(code_of(ended?)),
        Err(_) => {
            child.kill().await?;
            Ok(ExitCode::from(137))
        }
    }
}

fn code_of(ended: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = ended.code().unwrap_or_else(|| SIGNALLED.saturating_add(ended.signal().unwrap_or_default()));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Ends when somebody wants this to end.
pub(super) async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let (term, int) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (term, int) {
        (Ok(mut term), Ok(mut int)) => tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} },
        _ => std::future::pending().await,
    }
}

/// The one resource of a role.
async fn only_resource(client: &Client, role: &str) -> Result<String> {
    let roles = client.get("/roles").await?;
    let roles = roles.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let found = roles.iter().find(|one| text_at(one, "/id") == role);
    let resources = found.and_then(|one| one.get("resources")).and_then(Value::as_array);
    match resources.map(Vec::as_slice) {
        Some([Value::String(only)]) => Ok(only.clone()),
        _ => bail!(
            "the role `{role}` has several resources, or none that you may see; name one with --resource"
        ),
    }
}

/// The token that whoever runs the job gave it: in a variable, or to be fetched as GitHub's runners do.
async fn id_token(options: &Run, gateway: &str) -> Result<Zeroizing<String>> {
    let variable =
        |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Zeroizing::new);
    if let Some(name) = &options.id_token_env {
        return variable(name).with_context(|| format!("the variable `{name}` has no token"));
    }
    if let Some(token) = variable("COUNTERSIGN_ID_TOKEN") {
        return Ok(token);
    }
    let asked = variable("ACTIONS_ID_TOKEN_REQUEST_URL").zip(variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
    let (url, secret) = asked.context(
        "this job was given no token; put it into COUNTERSIGN_ID_TOKEN (GitLab: `id_tokens`), or let GitHub's runner give one \
         (`permissions: id-token: write`)",
    )?;
    let mut url = url::Url::parse(&url).context("the address of the runner's tokens is none")?;
    url.query_pairs_mut().append_pair("audience", options.audience.as_deref().unwrap_or(gateway));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let answer = client.get(url).bearer_auth(secret.as_str()).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status).context("the runner gave no token")?;
    let answer: Value = answer.json().await.context("the runner gave no token")?;
    let token = text_at(&answer, "/value");
    if token.is_empty() {
        bail!("the runner gave no token");
    }
    Ok(Zeroizing::new(token))
}
