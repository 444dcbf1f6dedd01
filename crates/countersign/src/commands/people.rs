//! Signing in, and shutting people out.

use std::io::BufRead as _;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{login, when};
use crate::cli::{Cli, Disable, Login};
use crate::client::{Client, Refused};
use crate::home::{Home, SignIn};
use crate::output::{Output, harmless, line, note, text_at};

pub async fn login(cli: &Cli, home: &Home, options: &Login) -> Result<()> {
    let client = Client::new(cli, home)?;
    let answer = if options.user.is_some() || options.password_stdin {
        by_password(&client, options).await?
    } else if options.device || !(options.no_open || login::has_browser()) {
        login::by_device(&client).await?
    } else {
        login::by_browser(&client, !options.no_open).await?
    };
    keep(cli, home, &client, options, &answer)
}

/// Signs in with a password, and the code of an app where the account has one.
async fn by_password(client: &Client, options: &Login) -> Result<Value> {
    let user = match &options.user {
        Some(user) => user.clone(),
        None => ask("name: ")?,
    };
    let password = if options.password_stdin {
        first_line()?
    } else {
        rpassword::prompt_password("password: ")
            .context("could not read the password; use --password-stdin")?
    };
    let answer = client.post("/sign-in", json!({ "user": user, "password": password })).await?;
    if answer.get("pending").is_some() { second_step(client, &answer, options).await } else { Ok(answer) }
}

/// Keeps a sign-in for the commands that come after.
fn keep(cli: &Cli, home: &Home, client: &Client, options: &Login, answer: &Value) -> Result<()> {
    let token = text_at(answer, "/token");
    let principal = text_at(answer, "/principal");
    home.keep_sign_in(&SignIn {
        url: client.url().to_owned(),
        token: token.clone(),
        principal: principal.clone(),
    })?;
    if options.print_token {
        return line(&token);
    }
    let shown = json!({ "id": principal, "state": "signed in", "expires_at": answer.get("expires_at") });
    Output(cli.output).thing(&shown, |shown| {
        format!("Signed in as {principal}; this ends {}.", super::when(shown, "/expires_at"))
    })
}

/// Completes a sign-in whose password was right. At a terminal a wrong code is asked for again.
async fn second_step(client: &Client, step: &Value, options: &Login) -> Result<Value> {
    loop {
        let code =
            if options.password_stdin { first_line()? } else { ask("code of your authenticator app: ")? };
        let second = json!({ "pending": step.get("pending"), "code": code.trim() });
        match client.post("/sign-in/second", second).await {
            Err(error) if !options.password_stdin && is_wrong_code(&error) => note(&format!("{error}")),
            answer => return answer,
        }
    }
}

fn is_wrong_code(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.message.contains("code is wrong"))
}

pub async fn logout(cli: &Cli, home: &Home) -> Result<()> {
    let client = Client::new(cli, home)?;
    client.post("/sign-out", json!({})).await?;
    home.forget_sign_in();
    Output(cli.output).thing(&json!({ "state": "signed out" }), |_| "Signed out.".into())
}

pub async fn whoami(cli: &Cli, home: &Home) -> Result<()> {
    let client = Client::new(cli, home)?;
    let (mut me, mut held) = (client.get("/me").await?, client.get("/grants?mine=true").await?);
    if let Some(me) = me.as_object_mut() {
        me.insert(
            "grants".to_owned(),
            held.get_mut("items").map(serde_json::Value::take).unwrap_or_default(),
        );
    }
    Output(cli.output).thing(&me, |me| {
        let groups = text_at(me, "/groups");
        let groups = if groups.is_empty() { "none".into() } else { groups };
        let grants =
            me.get("grants").and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let held = grants.iter().map(|grant| {
            format!(
                "\n  {} {}, until {}",
                text_at(grant, "/id"),
                text_at(grant, "/role"),
                when(grant, "/not_after")
            )
        });
        let held: String = if grants.is_empty() { "\nYou hold no grant.".into() } else { held.collect() };
        harmless(&format!("{} ({}), groups: {groups}{held}", text_at(me, "/principal"), text_at(me, "/name")))
    })
}

pub async fn roles(cli: &Cli, home: &Home) -> Result<()> {
    let roles = Client::new(cli, home)?.get("/roles").await?;
    Output(cli.output).list(
        &roles,
        "There is no role that you may ask for.",
        &[
            ("role", &|role| text_at(role, "/id")),
            ("for", &|role| text_at(role, "/title")),
            ("resources", &|role| text_at(role, "/resources")),
            ("longest", &longest),
            ("asked", &|role| text_at(role, "/asked")),
        ],
    )
}

pub async fn disable(cli: &Cli, home: &Home, options: &Disable) -> Result<()> {
    let path = format!("/principals/{}/disable", encoded(&options.name));
    let done = Client::new(cli, home)?.post(&path, json!({ "reason": options.reason })).await?;
    Output(cli.output)
        .thing(&done, |_| format!("{} is disabled: sessions are cut, grants are revoked.", options.name))
}

pub async fn enable(cli: &Cli, home: &Home, name: &str) -> Result<()> {
    let done =
        Client::new(cli, home)?.post(&format!("/principals/{}/enable", encoded(name)), json!({})).await?;
    Output(cli.output).thing(&done, |_| format!("{name} may sign in again; what was revoked stays revoked."))
}

pub async fn directories(cli: &Cli, home: &Home) -> Result<()> {
    let found = Client::new(cli, home)?.get("/directories").await?;
    let count = |of: &Value, name: &str| of.get(name).map(ToString::to_string).unwrap_or_default();
    Output(cli.output).list(
        &found,
        "The bundle names no directory.",
        &[
            ("id", &|one| text_at(one, "/id")),
            ("state", &|one| text_at(one, "/state")),
            ("last heard", &|one| super::when(one, "/heard_at")),
            ("accounts", &|one| count(one, "accounts")),
            ("let in", &|one| count(one, "active")),
            ("title", &|one| text_at(one, "/title")),
        ],
    )
}

pub async fn agent_code(cli: &Cli, home: &Home, name: &str) -> Result<()> {
    let given = Client::new(cli, home)?.post(&format!("/agents/{}/code", encoded(name)), json!({})).await?;
    if Output(cli.output).is_text() {
        note(&format!(
            "A code for {name}'s program, to sign in with once; it counts until {}.",
            super::when(&given, "/expires_at")
        ));
        return line(&text_at(&given, "/code"));
    }
    let code = json!({ "id": name, "state": "waiting", "code": given.get("code"), "expires_at": given.get("expires_at") });
    Output(cli.output).thing(&code, |code| text_at(code, "/code"))
}

/// A text as one segment of a path.
pub(crate) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn longest(role: &Value) -> String {
    role.get("longest_s")
        .and_then(Value::as_i64)
        .map(|n| countersign_core::Span::seconds(n).to_string())
        .unwrap_or_default()
}

pub(super) fn ask(prompt: &str) -> Result<String> {
    note(prompt);
    first_line()
}

fn first_line() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().read_line(&mut text)?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() {
        bail!("nothing was given on standard input");
    }
    Ok(text)
}
