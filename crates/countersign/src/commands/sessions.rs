//! Sessions, and starting a client through a door.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::local::{Listen, Local, Wanted};
use super::people::encoded;
use super::requests::with_state;
use super::when;
use crate::cli::{Cli, Connect, Print, Reasoned, SessionCommand, Sessions};
use crate::client::Client;
use crate::home::Home;
use crate::output::{Output, line, note, text_at};

pub async fn sessions(cli: &Cli, home: &Home, options: &Sessions) -> Result<()> {
    let found = Client::new(cli, home)?.get(&with_state("/sessions", options.state.as_deref())).await?;
    Output(cli.output).list(
        &found,
        "No session is open.",
        &[
            ("id", &|session| text_at(session, "/id")),
            ("state", &|session| match session.get("paused") {
                Some(_) => "paused".to_owned(),
                None => text_at(session, "/state"),
            }),
            ("who", &|session| text_at(session, "/principal")),
            ("resource", &|session| text_at(session, "/resource")),
            ("role", &|session| text_at(session, "/role")),
            ("opened", &|session| when(session, "/opened_at")),
        ],
    )
}

pub async fn session(cli: &Cli, home: &Home, command: &SessionCommand) -> Result<()> {
    let client = Client::new(cli, home)?;
    match command {
        SessionCommand::End { id } => {
            let done = client.post(&format!("/sessions/{}/end", encoded(id)), json!({})).await?;
            Output(cli.output).thing(&done, |_| format!("{id} is being ended."))
        }
        SessionCommand::Pause { id, reason } => {
            let path = format!("/sessions/{}/pause", encoded(id));
            let done = client.post(&path, json!({ "reason": reason })).await?;
            Output(cli.output).thing(&done, |_| format!("{id} is paused; what is sent in it waits."))
        }
        SessionCommand::Resume(Reasoned { id, reason }) => {
            let path = format!("/sessions/{}/resume", encoded(id));
            let done = client.post(&path, json!({ "reason": reason })).await?;
            Output(cli.output).thing(&done, |_| format!("{id} goes on."))
        }
        SessionCommand::Show { id } => {
            let found = client.get(&format!("/sessions/{}/actions", encoded(id))).await?;
            Output(cli.output).list(
                &found,
                "Nothing was done in it.",
                &[
                    ("index", &|event| text_at(event, "/seq")),
                    ("when", &|event| when(event, "/at")),
                    ("what", &|event| text_at(event, "/type")),
                    ("text", &|event| text_at(event, "/text")),
                ],
            )
        }
    }
}

pub async fn connect(cli: &Cli, home: &Home, options: &Connect) -> Result<()> {
    let client = Client::new(cli, home)?;
    if let Some(place) = &options.listen {
        return listen(cli, client, options, place).await;
    }
    let mut asked = json!({ "resource": options.resource, "agent": options.agent });
    if let (true, Some(asked)) = (options.tools, asked.as_object_mut()) {
        asked.insert("tools".into(), true.into());
    }
    let credential = client.post("/credentials", asked).await?;
    let ca = match text_at(&credential, "/ca") {
        pem if pem.is_empty() => None,
        pem => Some(home.keep_ca(client.url(), &pem)?),
    };
    let is_of_tools = credential.get("token").is_some();
    let url = match is_of_tools {
        true => text_at(&credential, "/url"),
        false => libpq_url(&credential, ca.as_deref(), options.role.as_deref())?,
    };
    match options.print {
        Some(Print::Token) if !is_of_tools => {
            bail!("`{}` takes no token; use --print url, or add --tools", options.resource)
        }
        Some(Print::Token) if Output(cli.output).is_text() => line(&text_at(&credential, "/token")),
        Some(Print::Url) if Output(cli.output).is_text() => line(&url),
        Some(Print::Url | Print::Token) => {
            let mut shown = json!({ "id": credential.get("id"), "state": "live", "url": url,
                "expires_at": credential.get("expires_at") });
            if let (Some(token), Some(shown)) = (credential.get("token"), shown.as_object_mut()) {
                shown.insert("token".into(), token.clone());
            }
            Output(cli.output).thing(&shown, |_| url.clone())
        }
        None if is_of_tools => super::tools::carry(&credential, options.role.as_deref()).await,
        None => start_psql(&url, &options.args),
    }
}

/// Lets tools in at a place on this machine until somebody ends this.
async fn listen(cli: &Cli, client: Client, options: &Connect, place: &Listen) -> Result<()> {
    let (resource, role, agent) = (options.resource.clone(), options.role.clone(), options.agent.clone());
    let local = Local::open(place, Wanted { client, resource, role, agent }).await?;
    let url = local.url().await?;
    note("Any tool of yours connects here without a password, until you end this with Ctrl-C.");
    let shown = json!({ "id": options.resource, "state": "listening", "url": url });
    Output(cli.output).thing(&shown, |_| url.clone())?;
    tokio::select! {
        () = local.serve() => {}
        () = super::run::told_to_end() => {}
    }
    Ok(())
}

/// A URL as libpq reads it, TLS verified where the gateway has a CA.
pub(crate) fn libpq_url(
    credential: &Value,
    ca: Option<&std::path::Path>,
    role: Option<&str>,
) -> Result<String> {
    let host = text_at(credential, "/host");
    let base = format!("postgresql://{}:{}/{}", bracketed(&host), text_at(credential, "/port"), "");
    let mut url = url::Url::parse(&base).context("the gateway named no address for its door")?;
    url.set_path(&encoded(&text_at(credential, "/database")));
    let named = url.set_username(&encoded(&text_at(credential, "/user")));
    let secret = url.set_password(Some(&encoded(&text_at(credential, "/password"))));
    if named.is_err() || secret.is_err() {
        bail!("the gateway named no address for its door");
    }
    let mut query = Vec::new();
    if let Some(ca) = ca {
        query.push("sslmode=verify-full".to_owned());
        query.push(format!("sslrootcert={}", encoded(&ca.display().to_string())));
    }
    if let Some(role) = role {
        query.push(format!("options={}", encoded(&format!("-c countersign.role={role}"))));
    }
    if !query.is_empty() {
        url.set_query(Some(&query.join("&")));
    }
    Ok(url.into())
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// Becomes psql. The password goes by environment, so that no list of processes shows it.
fn start_psql(url: &str, args: &[String]) -> Result<()> {
    let mut shown = url::Url::parse(url)?;
    let password = shown.password().map(percent_decoded).unwrap_or_default();
    if shown.set_password(None).is_err() {
        bail!("`{url}` has no place for a password");
    }
    note("Starting psql; the credential lasts for minutes, a session as long as its grant.");
    let error = Command::new("psql").env("PGPASSWORD", password).arg(shown.as_str()).args(args).exec();
    Err(error)
        .context("could not start `psql`; install the PostgreSQL client, or use --print url with another one")
}

fn percent_decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_one_that_libpq_reads() {
        let credential = json!({ "host": "localhost", "port": 7754, "database": "shop", "user": "alice",
            "password": "a/b+c d@" });
        let url = libpq_url(&credential, Some(std::path::Path::new("/tmp/my ca.pem")), None).unwrap();
        assert_eq!(
            url,
            "postgresql://alice:a%2Fb%2Bc%20d%40@localhost:7754/shop?sslmode=verify-full&sslrootcert=%2Ftmp%2Fmy%20ca.pem"
        );
        let parsed = url::Url::parse(&url).unwrap();
        assert_eq!(percent_decoded(parsed.password().unwrap()), "a/b+c d@");
    }
}
