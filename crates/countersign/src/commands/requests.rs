//! Asking, answering, and what comes of it.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::in_full::in_full;
use super::people::encoded;
use super::when;
use crate::cli::{Approve, Cli, Deny, Grants, Reasoned, Request, RequestOther, Requests, Script};
use crate::client::Client;
use crate::home::Home;
use crate::output::{Column, Output, harmless, line, note, text_at};

/// A person or a policy said no.
/// Nobody answered in time, or it was given up.
const LAPSED_OR_WITHDRAWN: u8 = 4;

pub async fn request(cli: &Cli, home: &Home, options: &Request) -> Result<ExitCode> {
    if let Some(RequestOther::Script(script)) = &options.other {
        return put_forward(cli, home, script).await;
    }
    let body = json!({
        "role": options.role,
        "for": options.lasting.to_string(),
        "reason": options.reason,
        "ticket": options.ticket,
    });
    ask(cli, home, ("/requests", body), options.wait).await
}

/// Puts a script forward.
async fn put_forward(cli: &Cli, home: &Home, script: &Script) -> Result<ExitCode> {
    let text = if script.file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("standard input can't be read as text")?
    } else {
        let file = script.file.display();
        std::fs::read_to_string(&script.file).with_context(|| format!("`{file}` can't be read as text"))?
    };
    let settings: BTreeMap<&str, &str> =
        script.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = json!({
        "resource": script.resource,
        "role": script.role,
        "text": text,
        "settings": settings,
        "reason": script.reason,
        "ticket": script.ticket,
    });
    ask(cli, home, ("/scripts", body), script.wait).await
}

async fn ask(cli: &Cli, home: &Home, (path, body): (&str, Value), waits: bool) -> Result<ExitCode> {
    let client = Client::new(cli, home)?;
    let asked = client.post(path, body).await?;
    let asked = if waits { wait(&client, asked).await? } else { asked };
    Output(cli.output).thing(&asked, sentence)?;
    if waits { Ok(outcome(&asked)) } else { Ok(ExitCode::SUCCESS) }
}

/// Waits until the request has its answer.
async fn wait(client: &Client, asked: Value) -> Result<Value> {
    let path = format!("/requests/{}", encoded(&text_at(&asked, "/id")));
    note(&sentence(&asked));
    follow(client, &path, |current| text_at(current, "/state") != "pending").await
}

/// Follows the live changes until the request is as it is waited for.
async fn follow(client: &Client, path: &str, is_done: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut stream = client.follow().await?.bytes_stream();
    loop {
        let current = client.get(path).await?;
        if is_done(&current) {
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

pub(super) fn outcome(request: &Value) -> ExitCode {
    match text_at(request, "/state").as_str() {
        "approved" => ExitCode::SUCCESS,
        "denied" => ExitCode::from(crate::DENIED),
        "lapsed" | "withdrawn" | "void" => ExitCode::from(LAPSED_OR_WITHDRAWN),
        _ => ExitCode::FAILURE,
    }
}

pub(super) fn sentence(request: &Value) -> String {
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
pub(super) fn stages(request: &Value) -> String {
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
            ("state", &|request| format!("{}\n{}", text_at(request, "/state"), until(request))),
            ("who", &|request| text_at(request, "/by/name")),
            ("what", &what),
            ("why", &|request| text_at(request, "/reason")),
        ],
    )
}

/// When a waiting request lapses, or when the answer came.
fn until(request: &Value) -> String {
    let pending = text_at(request, "/state") == "pending";
    when(request, if pending { "/lapses_at" } else { "/ended_at" })
}

pub(super) fn what(request: &Value) -> String {
    match text_at(request, "/kind").as_str() {
        "access" => format!("{} for {}", text_at(request, "/role"), span(request, "/for_s")),
        "action" => format!("{} on {}", text_at(request, "/action"), text_at(request, "/resource")),
        "script" => {
            let steps = request.get("steps").and_then(Value::as_array).map_or(0, Vec::len);
            format!("a script of {steps} statements on {}", text_at(request, "/resource"))
        }
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

/// What a yes covers, or may be said to cover, beyond the text run once.
pub(super) fn covers(request: &Value) -> String {
    let number = |pointer: &str| request.pointer(pointer).and_then(Value::as_u64);
    if text_at(request, "/kind") == "script" {
        let steps = request.get("steps").and_then(Value::as_array).map_or(0, Vec::len);
        let used = number("/receipt/used").map(|used| format!("{used} of {steps} statements are run; "));
        return format!("{}each once, in order, in one session", used.unwrap_or_default());
    }
    if let (Some(used), Some(uses)) = (number("/receipt/used"), number("/receipt/uses")) {
        let rows = number("/receipt/rows_spent").zip(number("/receipt/envelope/total"));
        let rows = rows.map(|(spent, total)| format!(", {spent} of {total} rows")).unwrap_or_default();
        return if uses > 1 || !rows.is_empty() {
            format!("{used} of {uses} uses{rows}")
        } else {
            String::new()
        };
    }
    let mut words = Vec::new();
    if let Some(uses) = number("/most/uses").filter(|uses| *uses > 1) {
        words.push(format!("up to {uses} uses of this text"));
    }
    if let (Some(rows), Some(total), Some(uses)) =
        (number("/most/envelope/rows"), number("/most/envelope/total"), number("/most/envelope/uses"))
    {
        words.push(format!("an envelope of up to {rows} rows a statement, {total} in all, {uses} uses"));
    }
    words.join("; or ")
}

pub async fn approve(cli: &Cli, home: &Home, options: &Approve) -> Result<ExitCode> {
    let client = Client::new(cli, home)?;
    let path = format!("/requests/{}", encoded(&options.id));
    let shown = client.get(&path).await?;
    let is_true = |pointer: &str| shown.pointer(pointer) == Some(&Value::Bool(true));
    if is_true("/signed") && is_true("/can/approve") {
        return sign(cli, &client, (options, &path, &shown)).await;
    }
    let digest = match &options.digest {
        Some(digest) => digest.clone(),
        // At a terminal the approver sees what they approve, and approves exactly that.
        None => {
            // Whoever may not approve it is told so by the gateway, and not asked first.
            let may = is_true("/can/approve");
            if may && Output(cli.output).is_text() {
                line(&in_full(&shown))?;
            }
            if may && !options.yes && !agreed()? {
                bail!("not approved; it still waits");
            }
            text_at(&shown, "/digest")
        }
    };
    let body = yes_of(options, &digest);
    let done = client.post(&format!("{path}/approve"), body).await?;
    Output(cli.output).thing(&done, sentence)?;
    Ok(ExitCode::SUCCESS)
}

/// Leads to the console, where the caller's passkey signs the yes, and waits for what comes of it.
async fn sign(
    cli: &Cli,
    client: &Client,
    (options, path, shown): (&Approve, &str, &Value),
) -> Result<ExitCode> {
    if let Some(flag) = said_elsewhere(options) {
        bail!("this request is approved with a passkey, in the console; leave out {flag} and say it there");
    }
    let to_sign = options.digest.as_ref().map_or_else(|| json!({}), |digest| json!({ "digest": digest }));
    let link = text_at(&client.post(&format!("{path}/signature"), to_sign).await?, "/link");
    if Output(cli.output).is_text() {
        line(&in_full(shown))?;
    }
    note(&format!("Its rules want your passkey. Look at it and approve it in the console: {link}"));
    if !options.no_open {
        crate::browser::open(&link);
    }
    let me = text_at(&client.get("/me").await?, "/principal");
    let is_mine = |request: &Value| {
        let approvals = request.get("approvals").and_then(Value::as_array);
        approvals.is_some_and(|given| given.iter().any(|one| text_at(one, "/by") == me))
    };
    let done = follow(client, path, |now| is_mine(now) || text_at(now, "/state") != "pending").await?;
    Output(cli.output).thing(&done, sentence)?;
    Ok(if is_mine(&done) { ExitCode::SUCCESS } else { outcome(&done) })
}

/// What is said with a yes where it is signed, and not here: a signature covers it.
fn said_elsewhere(options: &Approve) -> Option<&'static str> {
    let said = [
        ("--comment", options.comment.is_some()),
        ("--uses", options.uses.is_some()),
        ("--for", options.lasting.is_some()),
        ("--envelope", options.envelope),
    ];
    said.into_iter().find(|(_, is_said)| *is_said).map(|(flag, _)| flag)
}

/// The yes as it is sent: what is not said is left out.
fn yes_of(options: &Approve, digest: &str) -> Value {
    let mut body = serde_json::Map::new();
    body.insert("digest".into(), digest.into());
    body.insert("comment".into(), options.comment.clone().into());
    if let Some(uses) = options.uses {
        body.insert("uses".into(), uses.into());
    }
    if let Some(lasting) = options.lasting {
        body.insert("for".into(), lasting.to_string().into());
    }
    if let (Some(rows), Some(total)) = (options.rows, options.total) {
        body.insert("envelope".into(), json!({ "rows": rows, "total": total }));
    }
    body.into()
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

pub async fn grants(cli: &Cli, home: &Home, options: &Grants) -> Result<()> {
    let found = Client::new(cli, home)?.get(&with_state("/grants", options.state.as_deref())).await?;
    let mut columns: Vec<Column<'_>> = vec![
        ("id", &|grant| text_at(grant, "/id")),
        ("state", &|grant| text_at(grant, "/state")),
        ("who", &|grant| text_at(grant, "/principal")),
        ("role", &|grant| text_at(grant, "/role")),
        ("why", &|grant| text_at(grant, "/purpose")),
        ("ends", &ends),
    ];
    let limited = |grant: &Value| grant.get("budget").is_some();
    if found.pointer("/items").and_then(Value::as_array).is_some_and(|items| items.iter().any(limited)) {
        columns.push(("left", &left));
    }
    Output(cli.output).list(&found, "No grant is live.", &columns)
}

/// When it ended, or will.
fn ends(grant: &Value) -> String {
    when(grant, if grant.get("ended").is_some() { "/ended/at" } else { "/not_after" })
}

/// What is left of a grant's budget: `37600 rows, 41 s`.
fn left(grant: &Value) -> String {
    let units = [
        ("statements", "statements", 1),
        ("rows", "rows", 1),
        ("bytes", "bytes", 1),
        ("time_ms", "s", 1_000),
        ("relations", "relations", 1),
    ];
    let left = units.iter().filter_map(|(name, unit, size)| {
        let limit = grant.pointer(&format!("/budget/{name}"))?.as_u64()?;
        let spent = grant.pointer(&format!("/spent/{name}"))?.as_u64()?;
        Some(format!("{} {unit}", limit.saturating_sub(spent) / size))
    });
    left.collect::<Vec<_>>().join(", ")
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
