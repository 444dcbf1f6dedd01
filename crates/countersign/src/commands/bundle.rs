//! Bundles: checking them at one's own desk, and putting them in force.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use countersign_policy::{Diagnostic, Source};
use serde_json::{Value, json};

use crate::cli::Cli;
use crate::client::Client;
use crate::home::Home;
use crate::output::{Output, harmless, line, text_at};

/// The largest bundle that is read, all files together, in bytes.
const BUNDLE_BYTES_MAX: u64 = 8 * 1024 * 1024;

pub fn check(cli: &Cli, folder: &Path) -> Result<ExitCode> {
    let files = read(folder)?;
    let (state, found) = match countersign_policy::compile(&Source { files }) {
        Ok(compiled) => ("valid", compiled.warnings.clone()),
        Err(mistakes) => ("invalid", mistakes),
    };
    let shown = json!({ "state": state, "items": found.iter().map(as_json).collect::<Vec<_>>() });
    Output(cli.output).thing(&shown, |_| {
        let list: String = found.iter().map(|one| in_words(folder, one)).collect();
        match state {
            "valid" if found.is_empty() => "The bundle is valid.".into(),
            "valid" => format!("{list}The bundle is valid; see the warnings above."),
            _ => format!("{list}The bundle has {} mistake(s).", found.len()),
        }
    })?;
    Ok(if state == "valid" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the accounts of the bundle in force may do beyond their roles, asked of the servers now.
pub async fn check_live(cli: &Cli, home: &Home) -> Result<ExitCode> {
    let bundle = Client::new(cli, home)?.get("/bundle?live=true").await?;
    let all = bundle.get("warnings").and_then(Value::as_array).cloned().unwrap_or_default();
    let of_accounts = all.into_iter().filter(|one| text_at(one, "/file").starts_with("live/"));
    let items: Vec<Value> = of_accounts.collect();
    let state = if items.is_empty() { "valid" } else { "invalid" };
    let version = text_at(&bundle, "/version");
    Output(cli.output).thing(&json!({ "state": state, "items": items }), |_| {
        let words = |one: &Value| {
            let place = text_at(one, "/file");
            let message = text_at(one, "/message");
            harmless(&format!("{place}: {message}\n  hint: {}\n", text_at(one, "/hint")))
        };
        let list: String = items.iter().map(words).collect();
        match items.len() {
            0 => format!("No upstream account can do more than version {version} says."),
            count => {
                format!("{list}{count} thing(s) that upstream accounts can do beyond version {version}.")
            }
        }
    })?;
    Ok(if items.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub async fn apply(cli: &Cli, home: &Home, folder: &Path) -> Result<()> {
    let files = read(folder)?;
    let done = Client::new(cli, home)?.post("/bundle", json!({ "files": files })).await?;
    Output(cli.output).thing(&done, |done| match text_at(done, "/state").as_str() {
        "active" => format!("Version {} is in force.", text_at(done, "/version")),
        _ => format!("{} waits for approval; nothing has changed yet.", text_at(done, "/request")),
    })
}

pub fn schema() -> Result<()> {
    let schemas: BTreeMap<String, Value> =
        countersign_policy::schemas().into_iter().map(|(file, schema)| (file.to_owned(), schema)).collect();
    line(&serde_json::to_string_pretty(&schemas)?)
}

/// Every file of a bundle folder by its relative path.
///
/// # Errors
/// The folder cannot be read, is too large, or a file is not UTF-8.
pub fn read(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut left = BUNDLE_BYTES_MAX;
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let entries = fs::read_dir(&next)
            .with_context(|| format!("could not read the bundle folder `{}`", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            if !matches!(path.extension().and_then(|end| end.to_str()), Some("toml" | "cedar")) {
                continue;
            }
            left = left.checked_sub(fs::metadata(&path)?.len()).with_context(|| {
                format!("the bundle is larger than {} MiB", BUNDLE_BYTES_MAX / 1024 / 1024)
            })?;
            let text =
                fs::read_to_string(&path).with_context(|| format!("could not read `{}`", path.display()))?;
            let name =
                path.strip_prefix(folder)?.to_str().context("a file name in the bundle is not UTF-8")?;
            files.insert(name.replace('\\', "/"), text);
        }
    }
    if files.is_empty() {
        bail!(
            "`{}` holds no bundle; a bundle has a bundle.toml and other .toml and .cedar files",
            folder.display()
        );
    }
    Ok(files)
}

fn as_json(one: &Diagnostic) -> Value {
    json!({ "file": one.file, "line": one.line, "column": one.column, "message": one.message, "hint": one.hint })
}

/// One mistake, as compilers print them.
pub fn in_words(folder: &Path, one: &Diagnostic) -> String {
    let place = format!("{}:{}:{}", folder.join(&one.file).display(), one.line, one.column);
    let hint = one.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    harmless(&format!("{place}: {}{hint}\n", one.message))
}
