//! The gateway's own upstream secrets, and the keys that seal everything at rest.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use countersign_engine::SECRET_BYTES_MAX;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::people::encoded;
use crate::cli::{Cli, SecretsCommand};
use crate::client::Client;
use crate::home::Home;
use crate::output::{Output, text_at};

/// How often it is looked whether a change is done.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub async fn secrets(cli: &Cli, home: &Home, command: &SecretsCommand) -> Result<()> {
    let client = Client::new(cli, home)?;
    match command {
        SecretsCommand::List => list(cli, &client).await,
        SecretsCommand::Put { name } => {
            let value = from_stdin()?;
            client.post("/secrets", json!({ "name": name, "value": value.as_str() })).await?;
            let done = json!({ "id": name, "state": "stored" });
            Output(cli.output)
                .thing(&done, |_| format!("The gateway has `{name}`; `secret:{name}` leads to it."))
        }
        SecretsCommand::Remove { name } => {
            client.post(&format!("/secrets/{}/remove", encoded(name)), json!({})).await?;
            let done = json!({ "id": name, "state": "removed" });
            Output(cli.output).thing(&done, |_| format!("`{name}` is gone."))
        }
        SecretsCommand::Keys => show(cli, &client.get("/house-keys").await?),
        SecretsCommand::Rotate { wait } => rotate(cli, &client, *wait).await,
        SecretsCommand::Wrap => show(cli, &client.post("/house-keys/wrap", json!({})).await?),
    }
}

async fn list(cli: &Cli, client: &Client) -> Result<()> {
    let found = client.get("/secrets").await?;
    Output(cli.output).list(
        &found,
        "The gateway keeps no secrets of its own, and the bundle asks for none.",
        &[("id", &|one| text_at(one, "/id")), ("state", &|one| text_at(one, "/state"))],
    )
}

async fn rotate(cli: &Cli, client: &Client, wait: bool) -> Result<()> {
    let mut keys = client.post("/house-keys/rotate", json!({})).await?;
    while wait && text_at(&keys, "/state") != "settled" {
        tokio::time::sleep(LOOK_EVERY).await;
        keys = client.get("/house-keys").await?;
    }
    show(cli, &keys)
}

fn show(cli: &Cli, keys: &Value) -> Result<()> {
    Output(cli.output).thing(keys, |keys| {
        let made_at = super::when(keys, "/made_at");
        let made = if made_at.is_empty() { String::new() } else { format!(", made {made_at}") };
        let state = match text_at(keys, "/state").as_str() {
            "settled" => "everything is sealed under it".to_owned(),
            _ => "what is under the older one is being sealed anew".to_owned(),
        };
        format!("Key {}{made}, kept by {}: {state}.", text_at(keys, "/id"), text_at(keys, "/keeper"))
    })
}

/// A secret as it comes, without the end of its last line.
fn from_stdin() -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX + 2));
    let limit = SECRET_BYTES_MAX as u64 + 2;
    std::io::stdin().lock().take(limit).read_to_string(&mut text).context("could not read the secret")?;
    while text.ends_with(['\r', '\n']) {
        text.pop();
    }
    if text.is_empty() {
        bail!("nothing was given on standard input; for example `countersign secrets put NAME < FILE`");
    }
    Ok(text)
}
