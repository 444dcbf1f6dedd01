//! Asking policy before anything is done, and who could and did what: what the console's pages of policies and of accesses
//! show, for terminals and scripts.

use std::fmt::Write as _;
use std::path::{Component, Path};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::bundle::read;
use crate::cli::{Accesses, Cli, PolicyCommand, Simulate};
use crate::client::Client;
use crate::home::Home;
use crate::output::{Output, harmless, text_at};

/// The period of `audit accesses` where none is said.
const DAY: SignedDuration = SignedDuration::from_hours(24);

pub async fn policy(cli: &Cli, home: &Home, command: &PolicyCommand) -> Result<ExitCode> {
    match command {
        PolicyCommand::Simulate(options) => simulate(cli, home, options).await,
        PolicyCommand::Compare { bundle } => compare(cli, home, bundle).await,
        PolicyCommand::Export { out } => export(cli, home, out).await,
        PolicyCommand::Replay { bundle, days } => replay(cli, home, bundle, *days).await,
    }
}

/// Writes the bundle in force into a new folder.
async fn export(cli: &Cli, home: &Home, out: &Path) -> Result<ExitCode> {
    let found = Client::new(cli, home)?.get("/bundle/files").await?;
    let files = found.get("files").and_then(Value::as_object).context("the gateway tells no files")?;
    std::fs::create_dir(out)
        .with_context(|| format!("could not make the folder `{}`; name a new one", out.display()))?;
    for (name, text) in files {
        let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        let text = text.as_str().filter(|_| is_inside);
        let text =
            text.with_context(|| format!("the gateway tells of a file `{name}`, which is none of a bundle"))?;
        let path = out.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text).with_context(|| format!("could not write `{}`", path.display()))?;
    }
    let done = json!({ "id": text_at(&found, "/id"), "state": "written", "files": files.len() });
    Output(cli.output).thing(&done, |_| {
        let out = out.display();
        format!("{} files are in {out}. Change them, then: countersign apply {out}", files.len())
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn simulate(cli: &Cli, home: &Home, options: &Simulate) -> Result<ExitCode> {
    let mut wanted =
        json!({ "principal": options.principal, "attempt": attempt(options), "means": options.means });
    let ago = options.signed_in_ago.map(|ago| ago.to_string());
    for (name, said) in [("at", &options.at), ("source", &options.source), ("signed_in_ago", &ago)] {
        if let (Some(said), Some(wanted)) = (said, wanted.as_object_mut()) {
            wanted.insert(name.to_owned(), json!(said));
        }
    }
    if let (Some(folder), Some(wanted)) = (&options.bundle, wanted.as_object_mut()) {
        wanted.insert("files".to_owned(), json!(read(folder)?));
    }
    let tried = Client::new(cli, home)?.post("/bundle/simulate", wanted).await?;
    Output(cli.output).thing(&tried, |tried| harmless(&tried_in_words(tried)))?;
    let denied = text_at(&tried, "/state") == "deny";
    Ok(if denied { ExitCode::from(crate::DENIED) } else { ExitCode::SUCCESS })
}

fn attempt(options: &Simulate) -> Value {
    let Simulate { role, reason, ticket, .. } = options;
    let mut attempt = match (&options.action, &options.sql, &options.lasting) {
        (Some(action), ..) => return json!({ "kind": "house", "action": action }),
        (None, Some(text), _) => {
            json!({ "kind": "statement", "role": role, "resource": options.resource, "text": text, "reason": reason })
        }
        (None, None, lasting) => {
            let lasting = lasting.map(|span| span.to_string()).unwrap_or_default();
            json!({ "kind": "access", "role": role, "for": lasting, "reason": reason })
        }
    };
    if let (Some(ticket), Some(attempt)) = (ticket, attempt.as_object_mut()) {
        attempt.insert("ticket".to_owned(), json!(ticket));
    }
    attempt
}

fn tried_in_words(tried: &Value) -> String {
    let mut text = match text_at(tried, "/state").as_str() {
        "allow" => format!("{} would be allowed.\n", text_at(tried, "/action")),
        "hold" => format!("{} would wait for somebody's yes.\n", text_at(tried, "/action")),
        _ => format!("{} would be denied.\n", text_at(tried, "/action")),
    };
    let mut say = |label: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "{label:<9}{value}");
        }
    };
    say("why", text_at(tried, "/reason"));
    say("parts", text_at(tried, "/actions"));
    for one in list(tried, "/policies") {
        let rule = Some(text_at(one, "/rule")).filter(|rule| !rule.is_empty());
        let rule = rule.map(|rule| format!(" (rule {rule})")).unwrap_or_default();
        say("policy", format!("{} {}{rule}", text_at(one, "/id"), text_at(one, "/says")));
    }
    for one in list(tried, "/stages") {
        let people: Vec<String> = list(one, "/people").map(|who| text_at(who, "/name")).collect();
        say(
            "asks",
            format!("{} of {} ({})", text_at(one, "/need"), text_at(one, "/from"), people.join(", ")),
        );
    }
    for error in list(tried, "/errors") {
        say("error", text_at(error, ""));
    }
    if tried.get("holds").and_then(Value::as_bool) == Some(false) {
        say("note", "they do not hold the role now".to_owned());
    }
    text
}

async fn compare(cli: &Cli, home: &Home, folder: &Path) -> Result<ExitCode> {
    let body = json!({ "files": read(folder)? });
    let found = Client::new(cli, home)?.post("/bundle/compare", body).await?;
    Output(cli.output).thing(&found, |found| harmless(&difference_in_words(found)))?;
    Ok(ExitCode::SUCCESS)
}

fn difference_in_words(found: &Value) -> String {
    if found.get("same").and_then(Value::as_bool) == Some(true) {
        return "This bundle is the one in force.".to_owned();
    }
    let mut text = match text_at(found, "/state").as_str() {
        "allow" => "You may put it in force at once.\n".to_owned(),
        "hold" => "Somebody has to say yes before it is in force.\n".to_owned(),
        _ => format!("You may not put it in force: {}.\n", text_at(found, "/reason")),
    };
    for person in list(found, "/people") {
        let presence = match text_at(person, "/state").as_str() {
            "comes" => " comes",
            "goes" => " goes",
            _ => "",
        };
        let _ = writeln!(text, "{}{presence}", text_at(person, "/id"));
        for change in list(person, "/changes") {
            let _ = writeln!(text, "  {}", change_in_words(change));
        }
    }
    for one in list(found, "/ends") {
        let of = text_at(one, "/of");
        let _ = writeln!(
            text,
            "ends: {} {} of {} {of}",
            text_at(one, "/kind"),
            text_at(one, "/id"),
            text_at(one, "/by/name")
        );
    }
    let people = list(found, "/people").count();
    let _ = writeln!(text, "{people} of {} principals see a difference.", text_at(found, "/compared"));
    let (compared, of) = (text_at(found, "/compared"), text_at(found, "/of"));
    if compared != of {
        let _ = writeln!(
            text,
            "Only {compared} of {of} were compared: there are too many questions for one comparison."
        );
    }
    text
}

fn change_in_words(change: &Value) -> String {
    let word = |at: &str| {
        let rules = text_at(change, &format!("{at}/rules"));
        let verdict = text_at(change, &format!("{at}/verdict"));
        if rules.is_empty() { verdict } else { format!("{verdict} ({rules})") }
    };
    let what = match text_at(change, "/scope").as_str() {
        "ask" => format!("ask for {}", text_at(change, "/role")),
        "do" => format!(
            "{} as {} on {}",
            text_at(change, "/actions"),
            text_at(change, "/role"),
            text_at(change, "/resource")
        ),
        "see" => format!(
            "see {} as {} on {}",
            text_at(change, "/column"),
            text_at(change, "/role"),
            text_at(change, "/resource")
        ),
        _ => text_at(change, "/actions"),
    };
    format!("{what}: {} -> {}", word("/before"), word("/after"))
}

async fn replay(cli: &Cli, home: &Home, folder: &Path, days: u32) -> Result<ExitCode> {
    let body = json!({ "files": read(folder)?, "days": days });
    let found = Client::new(cli, home)?.post("/bundle/replay", body).await?;
    Output(cli.output).thing(&found, |found| harmless(&replay_in_words(found)))?;
    Ok(ExitCode::SUCCESS)
}

fn replay_in_words(found: &Value) -> String {
    let number = |at: &str| text_at(found, at);
    let since = if text_at(found, "/state") == "cut" { "what was looked at begins at" } else { "since" };
    let mut text = format!(
        "Of {} attempts ({since} {}), {} would now be held, {} denied, {} newly allowed, {} held by other rules.\n",
        number("/judged"),
        number("/since"),
        number("/newly_held"),
        number("/newly_denied"),
        number("/newly_allowed"),
        number("/held_otherwise"),
    );
    if number("/unknown") != "0" {
        let _ = writeln!(text, "{} could not be judged again.", number("/unknown"));
    }
    for one in list(found, "/examples") {
        let at: String = text_at(one, "/at").chars().take(19).collect();
        let (before, after) = (text_at(one, "/before"), text_at(one, "/after"));
        let head =
            format!("{} {at} {} {}", text_at(one, "/seq"), text_at(one, "/by/name"), text_at(one, "/action"));
        let said = shortened(one);
        let _ = writeln!(text, "{head}: {before} -> {after}  {said}");
    }
    text
}

/// The beginning of what was sent, on one line.
fn shortened(one: &Value) -> String {
    let said = text_at(one, "/text").split_whitespace().collect::<Vec<_>>().join(" ");
    said.chars().take(100).collect()
}

pub async fn accesses(cli: &Cli, home: &Home, options: &Accesses) -> Result<()> {
    let (from, until) = period(options)?;
    let mut query = Serializer::new(String::new());
    query.append_pair("from", &from).append_pair("until", &until);
    query.append_pair("acts", &options.acts.to_string());
    for (name, said) in [("resource", &options.resource), ("person", &options.person)] {
        if let Some(said) = said {
            query.append_pair(name, said);
        }
    }
    let report = Client::new(cli, home)?.get(&format!("/accesses?{}", query.finish())).await?;
    Output(cli.output).thing(&report, |report| harmless(&accesses_in_words(report)))
}

/// The period that is asked for, in UTC.
fn period(options: &Accesses) -> Result<(String, String)> {
    let read = |text: &String| {
        let hint = || format!("`{text}` is not an instant; write for example 2026-03-03T09:00:00Z");
        text.parse::<Timestamp>().with_context(hint)
    };
    let until = options.until.as_ref().map(read).transpose()?.unwrap_or_else(Timestamp::now);
    let from = options.from.as_ref().map(read).transpose()?;
    let from = match from {
        Some(from) => from,
        None => until.checked_sub(DAY).context("the period begins too early")?,
    };
    Ok((from.to_string(), until.to_string()))
}

fn accesses_in_words(report: &Value) -> String {
    let mut text = String::new();
    for one in list(report, "/items") {
        let hours = format!("{} to {}", short(one, "/from"), short(one, "/until"));
        let _ = writeln!(
            text,
            "{} held {} ({}), {hours}, {}",
            text_at(one, "/by/name"),
            text_at(one, "/role"),
            text_at(one, "/resources"),
            text_at(one, "/state")
        );
        let approvals: Vec<String> = list(one, "/approvals").map(|yes| text_at(yes, "/by")).collect();
        let by = if approvals.is_empty() {
            "nobody had to be asked".to_owned()
        } else {
            format!("approved by {}", approvals.join(", "))
        };
        let _ = writeln!(text, "  {} {by}: {}", text_at(one, "/request"), text_at(one, "/purpose"));
        let _ = writeln!(
            text,
            "  {} ran ({} approved one by one), {} held, {} refused, {} rows",
            text_at(one, "/ran"),
            text_at(one, "/approved"),
            text_at(one, "/held"),
            text_at(one, "/refused"),
            text_at(one, "/rows"),
        );
        for act in list(one, "/acts") {
            let said = shortened(act);
            let _ = writeln!(
                text,
                "    {} {} {} {said}",
                text_at(act, "/seq"),
                short(act, "/at"),
                text_at(act, "/type")
            );
        }
    }
    if text.is_empty() {
        text.push_str("Nobody had access in that time.\n");
    }
    if text_at(report, "/state") == "cut" {
        let _ =
            writeln!(text, "There is more: only what was before {} was looked at.", short(report, "/until"));
    }
    text
}

/// An instant to the second, in UTC.
fn short(value: &Value, pointer: &str) -> String {
    text_at(value, pointer).chars().take(19).collect::<String>().replace('T', " ")
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Command;

    fn simulated(words: &str) -> Result<Value, clap::Error> {
        let all = ["countersign", "policy", "simulate"].into_iter().chain(words.split(' '));
        match Cli::try_parse_from(all)?.command {
            Command::Policy { command: PolicyCommand::Simulate(options) } => Ok(attempt(&options)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_attempt_is_one_of_three() {
        assert_eq!(
            simulated("--as alice --role shop-reader --for 30m").unwrap(),
            json!({ "kind": "access", "role": "shop-reader", "for": "30m", "reason": "" })
        );
        assert_eq!(
            simulated("--as alice --role w --on shop --sql TABLE --ticket T-1").unwrap(),
            json!({ "kind": "statement", "role": "w", "resource": "shop", "text": "TABLE", "reason": "", "ticket": "T-1" })
        );
        assert_eq!(
            simulated("--as dave --do policy.apply").unwrap(),
            json!({ "kind": "house", "action": "policy.apply" })
        );
        for wrong in [
            "--as alice",
            "--as alice --role w",
            "--as alice --role w --sql TABLE",
            "--as a --do x --for 3m",
            "--role w --for 3m",
        ] {
            assert!(simulated(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_held_is_told_with_who_would_be_asked() {
        let tried = json!({
            "state": "hold", "reason": "two eyes see less than four", "action": "sql.write", "actions": ["sql.delete"],
            "policies": [{ "id": "writes", "says": "holds", "rule": "prod-write" }, { "id": "role/w", "says": "permits" }],
            "errors": [], "stages": [{ "need": 1, "from": ["group:dba", "owner"], "people": [{ "name": "bob" }] }], "holds": false,
        });
        insta::assert_snapshot!(tried_in_words(&tried), @"
        sql.write would wait for somebody's yes.
        why      two eyes see less than four
        parts    sql.delete
        policy   writes holds (rule prod-write)
        policy   role/w permits
        asks     1 of group:dba, owner (bob)
        note     they do not hold the role now
        ");
    }

    #[test]
    fn the_period_is_a_day_unless_it_is_said() {
        let options = |from: Option<&str>, until: Option<&str>| Accesses {
            resource: None,
            person: None,
            from: from.map(str::to_owned),
            until: until.map(str::to_owned),
            acts: 1,
        };
        let said = period(&options(None, Some("2026-03-03T10:00:00+01:00"))).unwrap();
        assert_eq!(said, ("2026-03-02T09:00:00Z".to_owned(), "2026-03-03T09:00:00Z".to_owned()));
        assert!(period(&options(Some("yesterday"), None)).is_err());
    }
}
