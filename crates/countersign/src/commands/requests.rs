//! Asking, answering, and what comes of it.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::people::encoded;
use super::{clock, when};
use crate::cli::{Approve, Cli, Deny, List, Reasoned, Request, Requests};
use crate::client::Client;
use crate::home::Home;
use crate::output::{Output, harmless, line, note, text_at};

/// A person or a policy said no.
const DENIED: u8 = 3;
/// Nobody answered in time, or it was given up.
const LAPSED_OR_WITHDRAWN: u8 = 4;

pub async fn request(cli: &Cli, home: &Home, options: &Request) -> Result<ExitCode> {
    let client = Client::new(cli, home)?;
    let body = json!({
        "role": options.role,
        "for": options.lasting.to_string(),
        "reason": options.reason,
        "ticket": options.ticket,
    });
    let asked = match client.post("/requests", body).await {
        Ok(asked) => asked,
        Err(error) => return denied_by_policy(error),
    };
    let asked = if options.wait { wait(&client, asked).await? } else { asked };
    Output(cli.output).thing(&asked, sentence)?;
    if options.wait { Ok(outcome(&asked)) } else { Ok(ExitCode::SUCCESS) }
}

/// A refusal by policy is an answer, with an exit code of its own.
fn denied_by_policy(error: anyhow::Error) -> Result<ExitCode> {
    match error.downcast_ref::<crate::client::Refused>() {
        Some(refused) if refused.status == 403 => {
            crate::complain(&error);
            Ok(ExitCode::from(DENIED))
        }
        _ => Err(error),
    }
}

/// Follows the live changes until the request has its answer.
async fn wait(client: &Client, asked: Value) -> Result<Value> {
    let path = format!("/requests/{}", encoded(&text_at(&asked, "/id")));
    let mut stream = client.follow().await?.bytes_stream();
    note(&sentence(&asked));
    loop {
        let current = client.get(&path).await?;
        if text_at(&current, "/state") != "pending" {
            return Ok(current);
        }
        // A change of anything is reason enough to look; so is a stream that ended, after a moment.
        match tokio::time::timeout(std::time::Duration::from_secs(20), stream.next()).await {
            Ok(Some(Ok(_))) | Err(_) => {}
            Ok(Some(Err(_)) | None) => {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                stream = client.follow().await?.bytes_stream();
            }
        }
    }
}

fn outcome(request: &Value) -> ExitCode {
    match text_at(request, "/state").as_str() {
        "approved" => ExitCode::SUCCESS,
        "denied" => ExitCode::from(DENIED),
        "lapsed" | "withdrawn" | "void" => ExitCode::from(LAPSED_OR_WITHDRAWN),
        _ => ExitCode::FAILURE,
    }
}

fn sentence(request: &Value) -> String {
    let id = text_at(request, "/id");
    let asked = stages(request);
    harmless(&match text_at(request, "/state").as_str() {
        "pending" => format!("{id} waits for {asked}; it lapses {}.", when(request, "/lapses_at")),
        "approved" => format!("{id} is approved."),
        "denied" => match text_at(request, "/answer/comment") {
            comment if comment.is_empty() => {
                format!("{id} was denied by {}.", text_at(request, "/answer/by"))
            }
            comment => format!("{id} was denied by {}: {comment}", text_at(request, "/answer/by")),
        },
        state => format!("{id} is {state}."),
    })
}

/// Who is asked: `1 of group:dba and 1 of group:security`.
fn stages(request: &Value) -> String {
    let stages = request.get("stages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let words =
        stages.iter().map(|stage| format!("{} of {}", text_at(stage, "/need"), text_at(stage, "/from")));
    words.collect::<Vec<_>>().join(" and ")
}

pub async fn requests(cli: &Cli, home: &Home, options: &Requests) -> Result<()> {
    let client = Client::new(cli, home)?;
    if let Some(id) = &options.id {
        let found = client.get(&format!("/requests/{}", encoded(id))).await?;
        return Output(cli.output).thing(&found, in_full);
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if options.inbox {
        query.append_pair("inbox", "true");
    }
    if options.mine {
        query.append_pair("mine", "true");
    }
    if let Some(state) = &options.state {
        query.append_pair("state", state);
    }
    let found = client.get(&format!("/requests?{}", query.finish())).await?;
    Output(cli.output).list(
        &found,
        "Nothing is waiting.",
        &[
            ("id", &|request| text_at(request, "/id")),
            ("state", &|request| text_at(request, "/state")),
            ("who", &|request| text_at(request, "/by/name")),
            ("what", &what),
            ("why", &|request| text_at(request, "/reason")),
            ("until", &until),
        ],
    )
}

/// When a waiting request lapses, or when the answer came.
fn until(request: &Value) -> String {
    let pending = text_at(request, "/state") == "pending";
    when(request, if pending { "/lapses_at" } else { "/ended_at" })
}

fn what(request: &Value) -> String {
    match text_at(request, "/kind").as_str() {
        "access" => format!("{} for {}", text_at(request, "/role"), span(request, "/for_s")),
        "action" => format!("{} on {}", text_at(request, "/action"), text_at(request, "/resource")),
        _ => text_at(request, "/action"),
    }
}

fn span(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .map(|n| countersign_core::Span::seconds(n).to_string())
        .unwrap_or_default()
}

/// Everything an approver must see before they answer.
fn in_full(request: &Value) -> String {
    let mut rows: Vec<(&str, String)> = vec![
        ("request", text_at(request, "/id")),
        ("state", text_at(request, "/state")),
        ("who", text_at(request, "/by/name")),
        ("what", what(request)),
        ("why", text_at(request, "/reason")),
        ("ticket", text_at(request, "/ticket")),
        ("asks", stages(request)),
        ("lapses", clock(request, "/lapses_at")),
        ("ended", clock(request, "/ended_at")),
        ("outcome", outcome_of(request)),
        ("rows", rows_of(request)),
    ];
    for relation in request.get("relations").and_then(Value::as_array).into_iter().flatten() {
        rows.push(("relation", text_at(relation, "/name")));
    }
    for gate in request.get("held_by").and_then(Value::as_array).into_iter().flatten() {
        for policy in gate.get("policies").and_then(Value::as_array).into_iter().flatten() {
            let why = format!("{} ({})", text_at(policy, "/reason"), text_at(policy, "/id"));
            rows.push(("held by", format!("{}: {why}", text_at(gate, "/rule"))));
        }
    }
    for said in request.get("approvals").and_then(Value::as_array).into_iter().flatten() {
        rows.push(("approved by", format!("{} {}", text_at(said, "/by"), text_at(said, "/comment"))));
    }
    rows.push(("digest", text_at(request, "/digest")));
    let rows = rows.into_iter().filter(|(_, value)| !value.trim().is_empty());
    let mut text: String = rows.map(|(name, value)| format!("{name:<12} {value}\n")).collect();
    for (index, value) in
        request.get("parameters").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        text.push_str(&format!("{:<12} {}\n", format!("${}", index + 1), shown_parameter(value)));
    }
    let statement = text_at(request, "/text");
    if !statement.is_empty() {
        text.push_str(&format!("\n{statement}\n"));
    }
    harmless(&text)
}

fn outcome_of(request: &Value) -> String {
    let (result, rows, code) = (
        text_at(request, "/outcome/result"),
        text_at(request, "/outcome/rows"),
        text_at(request, "/outcome/code"),
    );
    match (rows.as_str(), code.as_str()) {
        ("", "") => result,
        (rows, "") => format!("{result}, {rows} rows"),
        (_, code) => format!("{result} with {code}"),
    }
}

fn shown_parameter(value: &Value) -> String {
    match text_at(value, "/encoding").as_str() {
        "null" => "NULL".into(),
        "hex" => format!("{} (bytes of {}, in hexadecimal)", text_at(value, "/value"), type_of(value)),
        _ => format!("{} ({})", text_at(value, "/value"), type_of(value)),
    }
}

fn type_of(parameter: &Value) -> String {
    match (text_at(parameter, "/type_name"), text_at(parameter, "/type")) {
        (name, _) if !name.is_empty() => name,
        (_, oid) if oid == "0" => "a type that is not known".into(),
        (_, oid) => format!("type {oid}"),
    }
}

fn rows_of(request: &Value) -> String {
    if text_at(request, "/kind") != "action" {
        return String::new();
    }
    match (text_at(request, "/rows/count"), text_at(request, "/rows/estimate")) {
        (count, _) if !count.is_empty() => format!("{count} (counted)"),
        (_, estimate) if !estimate.is_empty() => format!("about {estimate} (estimated)"),
        _ => "unknown".into(),
    }
}

pub async fn approve(cli: &Cli, home: &Home, options: &Approve) -> Result<()> {
    let client = Client::new(cli, home)?;
    let path = format!("/requests/{}", encoded(&options.id));
    let digest = match &options.digest {
        Some(digest) => digest.clone(),
        // At a terminal the approver sees what they approve, and approves exactly that.
        None => {
            let shown = client.get(&path).await?;
            if Output(cli.output).is_text() {
                line(&in_full(&shown))?;
            }
            if text_at(&shown, "/state") == "pending" && !options.yes && !agreed()? {
                bail!("not approved; it still waits");
            }
            text_at(&shown, "/digest")
        }
    };
    let body = json!({ "digest": digest, "comment": options.comment });
    let done = client.post(&format!("{path}/approve"), body).await?;
    Output(cli.output).thing(&done, sentence)
}

/// Asks whoever sits at the terminal; a script has said it by calling.
fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    note("Approve exactly this? [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub async fn deny(cli: &Cli, home: &Home, options: &Deny) -> Result<()> {
    let path = format!("/requests/{}/deny", encoded(&options.id));
    let done = Client::new(cli, home)?.post(&path, json!({ "comment": options.comment })).await?;
    Output(cli.output).thing(&done, sentence)
}

pub async fn withdraw(cli: &Cli, home: &Home, id: &str) -> Result<()> {
    let done =
        Client::new(cli, home)?.post(&format!("/requests/{}/withdraw", encoded(id)), json!({})).await?;
    Output(cli.output).thing(&done, sentence)
}

pub async fn grants(cli: &Cli, home: &Home, options: &List) -> Result<()> {
    let found = Client::new(cli, home)?.get(&with_state("/grants", options.state.as_deref())).await?;
    Output(cli.output).list(
        &found,
        "No grant is live.",
        &[
            ("id", &|grant| text_at(grant, "/id")),
            ("state", &|grant| text_at(grant, "/state")),
            ("who", &|grant| text_at(grant, "/principal")),
            ("role", &|grant| text_at(grant, "/role")),
            ("why", &|grant| text_at(grant, "/purpose")),
            ("ends", &|grant| when(grant, "/not_after")),
        ],
    )
}

pub async fn revoke(cli: &Cli, home: &Home, options: &Reasoned) -> Result<()> {
    let path = format!("/grants/{}/revoke", encoded(&options.id));
    let done = Client::new(cli, home)?.post(&path, json!({ "reason": options.reason })).await?;
    Output(cli.output)
        .thing(&done, |done| format!("{} is revoked; what stood on it is cut.", text_at(done, "/id")))
}

pub async fn relinquish(cli: &Cli, home: &Home, id: &str) -> Result<()> {
    if !id.starts_with("grt_") {
        bail!("`{id}` is not a grant; `countersign grants` lists yours");
    }
    let done =
        Client::new(cli, home)?.post(&format!("/grants/{}/relinquish", encoded(id)), json!({})).await?;
    Output(cli.output).thing(&done, |done| format!("{} is given back.", text_at(done, "/id")))
}

pub(crate) fn with_state(path: &str, state: Option<&str>) -> String {
    state.map_or_else(|| path.to_owned(), |state| format!("{path}?state={}", encoded(state)))
}
