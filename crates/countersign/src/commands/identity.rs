//! Sign-ins, and what is bound to an account beside a password.

use anyhow::Result;
use serde_json::{Value, json};

use super::people::{ask, encoded};
use super::when;
use crate::cli::{AuthenticatorCommand, Cli, SignInCommand};
use crate::client::Client;
use crate::home::Home;
use crate::output::{Output, line, note, text_at};

pub async fn sign_ins(cli: &Cli, home: &Home, of: Option<&str>) -> Result<()> {
    let client = Client::new(cli, home)?;
    let path = match of {
        Some(name) => format!("/principals/{}/sign-ins", encoded(name)),
        None => "/me/sign-ins".to_owned(),
    };
    let found = client.get(&path).await?;
    Output(cli.output).list(
        &found,
        "Nobody is signed in.",
        &[
            ("id", &|sign_in| text_at(sign_in, "/id")),
            ("since", &|sign_in| when(sign_in, "/signed_in_at")),
            ("used", &|sign_in| when(sign_in, "/seen_at")),
            ("by", &|sign_in| text_at(sign_in, "/means")),
            ("from", &|sign_in| text_at(sign_in, "/address")),
            ("with", &|sign_in| text_at(sign_in, "/program")),
            ("", &|sign_in| {
                if sign_in.get("this") == Some(&Value::Bool(true)) { "this".into() } else { String::new() }
            }),
        ],
    )
}

pub async fn sign_in(cli: &Cli, home: &Home, command: &SignInCommand) -> Result<()> {
    let SignInCommand::End { id } = command;
    Client::new(cli, home)?.post(&format!("/sign-ins/{}/end", encoded(id)), json!({})).await?;
    let shown = json!({ "id": id, "state": "ended" });
    Output(cli.output).thing(&shown, |_| format!("{id} has ended; its token opens nothing any more."))
}

pub async fn authenticators(cli: &Cli, home: &Home) -> Result<()> {
    let found = Client::new(cli, home)?.get("/me/authenticators").await?;
    Output(cli.output).list(
        &found,
        "Your password is all there is; `countersign authenticator totp` binds an authenticator app.",
        &[
            ("id", &|one| text_at(one, "/id")),
            ("what", &|one| text_at(one, "/means")),
            ("name", &|one| text_at(one, "/name")),
            ("bound", &|one| when(one, "/bound_at")),
            ("used", &|one| when(one, "/used_at")),
            ("left", &|one| text_at(one, "/left")),
        ],
    )
}

pub async fn authenticator(cli: &Cli, home: &Home, command: &AuthenticatorCommand) -> Result<()> {
    let client = Client::new(cli, home)?;
    match command {
        AuthenticatorCommand::Totp => totp(cli, &client).await,
        AuthenticatorCommand::RecoveryCodes => {
            show_codes(cli, &client.post("/me/recovery-codes", json!({})).await?)
        }
        AuthenticatorCommand::Remove { id } => {
            client.post(&format!("/me/authenticators/{}/remove", encoded(id)), json!({})).await?;
            let shown = json!({ "id": id, "state": "removed" });
            Output(cli.output).thing(&shown, |_| format!("{id} counts no more."))
        }
        AuthenticatorCommand::Reset { name } => {
            client.post(&format!("/principals/{}/authenticators/reset", encoded(name)), json!({})).await?;
            let shown = json!({ "id": name, "state": "reset" });
            Output(cli.output).thing(&shown, |_| {
                format!("{name} is signed out, and signs in with a password until they bind something.")
            })
        }
    }
}

/// Shows a secret, and binds it once its first code is typed.
async fn totp(cli: &Cli, client: &Client) -> Result<()> {
    let offer = client.post("/me/totp", json!({})).await?;
    note("Put this into your authenticator app, as a link or by hand. The console shows it as a picture.");
    note(&text_at(&offer, "/uri"));
    note(&format!("secret: {}", text_at(&offer, "/secret")));
    let code = ask("code that it shows: ")?;
    show_codes(cli, &client.post("/me/totp/bind", json!({ "code": code })).await?)
}

fn show_codes(cli: &Cli, answer: &Value) -> Result<()> {
    if !Output(cli.output).is_text() {
        return Output(cli.output).thing(answer, |_| String::new());
    }
    note(
        "Recovery codes, each for one sign-in without the app. They are shown this once: keep them apart from it.",
    );
    let codes = answer.get("recovery_codes").and_then(Value::as_array).into_iter().flatten();
    codes.filter_map(Value::as_str).try_for_each(line)
}
