//! The ledger from outside: search, export, and verification that trusts nobody's word.
//!
//! The program fetches the tiles and hashes them itself. Each home keeps the last checkpoint it saw of a log and
//! checks that the log has grown out of it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::digest;
use countersign_engine::signatures::{self, Tally};
use countersign_ledger::Hash;
use countersign_ledger::checkpoint::Checkpoint;
use countersign_ledger::export::{self, ExportFile};
use countersign_ledger::note::VerifierKey;
use countersign_ledger::source::{DirSource, Source};
use countersign_ledger::tile::{self, Kind, Tile};
use countersign_ledger::verify::{self, KeyStatus, Layout, Options, Outcome, Report};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::cli::{Cli, Search, Verify};
use crate::client::Client;
use crate::home::Home;
use crate::output::{Output, harmless, line, text_at};

/// Findings that are printed for people; JSON has them all.
const SHOWN_MAX: usize = 20;

pub async fn search(cli: &Cli, home: &Home, options: &Search) -> Result<()> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let named = [
        ("text", &options.text),
        ("type", &options.kind),
        ("principal", &options.principal),
        ("session", &options.session),
        ("request", &options.request),
        ("control", &options.control),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.append_pair("limit", &options.limit.to_string());
    let found = Client::new(cli, home)?.get(&format!("/ledger/events?{}", query.finish())).await?;
    Output(cli.output).list(
        &found,
        "No event matches.",
        &[
            ("index", &|event| text_at(event, "/seq")),
            ("when", &|event| text_at(event, "/at").chars().take(19).collect()),
            ("what", &|event| text_at(event, "/type")),
            ("who", &|event| text_at(event, "/actor")),
            ("text", &|event| text_at(event, "/text")),
        ],
    )
}

/// One event with what it commits to. Whoever may not read it gets nothing, and that it was read is a line.
pub async fn show(cli: &Cli, home: &Home, index: u64) -> Result<()> {
    let event = Client::new(cli, home)?.get(&format!("/ledger/events/{index}")).await?;
    Output(cli.output).thing(&event, in_full)
}

fn in_full(event: &Value) -> String {
    let mut lines = Vec::new();
    let told = [
        ("index", "/seq"),
        ("when", "/at"),
        ("what", "/type"),
        ("outcome", "/outcome"),
        ("who", "/actor"),
        ("whom", "/subject"),
        ("role", "/role"),
        ("resource", "/resource"),
        ("session", "/session"),
        ("request", "/request"),
        ("grant", "/grant"),
        ("leaf", "/leaf"),
        ("state", "/state"),
    ];
    for (name, pointer) in told {
        let value = text_at(event, pointer);
        if !value.is_empty() {
            lines.push(format!("{name:<10}{}", harmless(&value)));
        }
    }
    for content in event.get("content").and_then(Value::as_array).into_iter().flatten() {
        let pointer = harmless(&text_at(content, "/pointer"));
        lines.push(String::new());
        match (text_at(content, "/state").as_str(), content.get("text").and_then(Value::as_str)) {
            ("kept", Some(text)) => {
                lines.push(format!("{pointer}, as it was committed to:"));
                lines.extend(text.lines().map(|line| format!("  {}", harmless(line))));
            }
            ("withheld", _) => {
                lines.push(format!("{pointer} is kept, and policy does not permit you `session.results`"))
            }
            ("kept", None) => lines.push(format!("{pointer} is kept, and is no text")),
            _ => lines.push(format!("{pointer} was erased; the proof of the line stands")),
        }
    }
    lines.push(String::new());
    lines.push(harmless(&text_at(event, "/line")));
    lines.join("\n")
}

pub async fn prove(cli: &Cli, home: &Home, index: u64) -> Result<()> {
    let event = Client::new(cli, home)?.get(&format!("/ledger/events/{index}")).await?;
    let shown = json!({ "id": index.to_string(), "state": "proved", "line": event.get("line"),
        "proof": event.get("proof") });
    if text_at(&event, "/proof").is_empty() {
        bail!("event {index} is not under a checkpoint yet; try again in a moment");
    }
    Output(cli.output).thing(&shown, |shown| text_at(shown, "/proof"))
}

pub async fn verify(cli: &Cli, home: &Home, options: &Verify) -> Result<ExitCode> {
    let keys: Vec<VerifierKey> = match &options.key {
        Some(key) => vec![key.parse().with_context(|| format!("`{key}` is not the key of a log"))?],
        None => Vec::new(),
    };
    let given = options.checkpoint.as_deref().map(read_checkpoint).transpose()?;
    let home = home.clone();
    let (report, signed) = match &options.export {
        Some(folder) => {
            if !folder.is_dir() {
                bail!("`{}` is not a folder with an export", folder.display());
            }
            let source = DirSource::open(folder)
                .with_context(|| format!("could not read the export `{}`", folder.display()))?;
            tokio::task::spawn_blocking(move || -> Result<_> {
                let mut report = check(&source, &keys, given, &home, Layout::Export)?;
                let signed = signatures::check(&source, &mut report);
                Ok((report, Some(signed)))
            })
            .await??
        }
        None => {
            let client = Client::new(cli, &home)?;
            // Whoever may not read the ledger is told so, rather than that its files can't be read.
            client.get("/ledger/events?limit=1").await?;
            let source = Served { client, handle: Handle::current() };
            let report =
                tokio::task::spawn_blocking(move || check(&source, &keys, given, &home, Layout::Log));
            // Signatures are content, which a log as it is served does not have.
            (report.await??, None)
        }
    };
    tell(cli, &report, signed)?;
    Ok(ExitCode::from(report.outcome().exit_code()))
}

/// Verifies against the checkpoint that was given, and against the one that this home kept.
fn check(
    source: &dyn Source,
    keys: &[VerifierKey],
    given: Option<Vec<u8>>,
    home: &Home,
    layout: Layout,
) -> Result<Report> {
    let head = source.read(export::CHECKPOINT_PATH).ok().flatten();
    let origin =
        head.as_deref().and_then(|note| Checkpoint::read_unverified(note).ok()).map(|found| found.origin);
    let kept = origin.as_deref().and_then(|origin| home.checkpoint(origin)).map(String::into_bytes);
    // An export is as old as it is: what this home has seen since is no reason to doubt it.
    let kept = kept.filter(|_| layout == Layout::Log);
    let run = |retained: Option<&[u8]>| verify::verify(source, &Options { keys, retained, layout });
    let mut report = run(given.as_deref().or(kept.as_deref()));
    if report.outcome() == Outcome::Proved && given.is_some() && kept.is_some() && given != kept {
        report = run(kept.as_deref());
    }
    if report.outcome() == Outcome::Proved
        && layout == Layout::Log
        && let (Some(origin), Some(note)) = (&report.origin, &head)
    {
        home.keep_checkpoint(origin, &String::from_utf8_lossy(note))?;
    }
    Ok(report)
}

fn tell(cli: &Cli, report: &Report, signed: Option<Tally>) -> Result<()> {
    let outcome = report.outcome();
    if Output(cli.output).is_text() {
        for sentence in sentences(report, signed) {
            line(&harmless(&sentence))?;
        }
        return Ok(());
    }
    let mut shown = serde_json::to_value(report)?;
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("id".into(), json!(report.origin));
        shown.insert("state".into(), json!(outcome));
        if let Some(Tally { held, undisclosed }) = signed {
            shown.insert("signatures".into(), json!({ "held": held, "undisclosed": undisclosed }));
        }
    }
    Output(cli.output).thing(&shown, |_| String::new())
}

/// The report in sentences; the first says if the key is not authenticated.
fn sentences(report: &Report, signed: Option<Tally>) -> Vec<String> {
    let mut said = Vec::new();
    if report.key != KeyStatus::Authenticated {
        said.push(
            "The log's key is not authenticated: pass --key with the key you had from elsewhere.".to_owned(),
        );
    }
    let found = report.findings.iter().take(SHOWN_MAX).map(ToString::to_string);
    said.extend(found);
    let more = u64::try_from(report.findings.len().saturating_sub(SHOWN_MAX)).unwrap_or(u64::MAX);
    if more + report.findings_omitted > 0 {
        said.push(format!("... and {} more", more + report.findings_omitted));
    }
    said.extend(signed.and_then(signatures_in_words));
    let root = report.root.map(|root| root.to_string()).unwrap_or_default();
    said.push(match report.outcome() {
        Outcome::Proved => {
            let grown = report.grown_from.map(|size| format!(" It has grown out of the {size} kept before."));
            let held = match report.contents_held {
                0 => String::new(),
                count => format!(" {count} disclosed contents are what was committed to."),
            };
            format!("Proved: {} events, root {root}.{}{held}", report.size, grown.unwrap_or_default())
        }
        Outcome::Broken => format!("BROKEN: {} finding(s) above.", report.findings.len()),
        Outcome::Unchecked => "Could not check everything; what was read holds.".to_owned(),
    });
    said
}

/// What is to be said of signed approvals, if there are any.
fn signatures_in_words(Tally { held, undisclosed }: Tally) -> Option<String> {
    let erased = "the assertion is not in the export: erased, or not disclosed";
    let signed = match held {
        1 => "1 approval is signed by its approver's passkey".to_owned(),
        _ => format!("{held} approvals are signed by their approvers' passkeys"),
    };
    match (held, undisclosed) {
        (0, 0) => None,
        (_, 0) => Some(format!("{signed}.")),
        (_, _) => Some(format!("{signed}; {undisclosed} more could not be checked ({erased}).")),
    }
}

fn read_checkpoint(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("could not read the checkpoint `{}`", path.display()))
}

/// The log as a gateway serves it.
struct Served {
    client: Client,
    handle: Handle,
}

impl Source for Served {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        if path != export::CHECKPOINT_PATH && path != export::VKEY_PATH && !path.starts_with("tile/") {
            return Ok(None);
        }
        self.handle
            .block_on(self.client.bytes(&format!("/ledger/{path}")))
            .map_err(|error| io::Error::other(format!("{error:#}")))
    }
}

pub async fn export(cli: &Cli, home: &Home, out: &Path) -> Result<()> {
    let client = Client::new(cli, home)?;
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("`{}` is not empty; name a new folder", out.display());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(out)?;
    let note = client
        .bytes("/ledger/checkpoint")
        .await?
        .context("the ledger has no checkpoint yet; try again in a moment")?;
    let note = String::from_utf8(note).context("the checkpoint is not text")?;
    let key = client.bytes("/ledger/vkey").await?.context("the gateway does not tell the log's key")?;
    let key: VerifierKey =
        String::from_utf8_lossy(&key).trim().parse().context("the gateway's log key is malformed")?;
    let size = Checkpoint::open(note.as_bytes(), std::slice::from_ref(&key))?.size;
    let contents = write_contents(&client, out, size).await?;
    let mut writer = export::Writer::new();
    let mut position = 0;
    while let Some(bundle) = Tile::holding(Kind::Entries, position, size) {
        position += u64::from(bundle.width);
        for entry in entries(&client, bundle).await? {
            write_all(out, writer.push(&entry)?)?;
        }
    }
    write_all(out, writer.finish(&note, &key)?)?;
    let shown =
        json!({ "id": out.display().to_string(), "state": "exported", "size": size, "contents": contents });
    Output(cli.output).thing(&shown, |_| {
        format!(
            "Exported {size} events and {contents} contents to {0}.\nVerify anywhere: countersign audit verify --export {0}",
            out.display()
        )
    })
}

/// The entries of one bundle, at the width that the checkpoint covers. A log that has grown meanwhile may have the
/// full bundle only.
async fn entries(client: &Client, bundle: Tile) -> Result<Vec<Vec<u8>>> {
    for tile in [bundle, bundle.full()] {
        if let Some(bytes) = client.bytes(&format!("/ledger/{tile}")).await? {
            let found = tile::decode_entries(&bytes, tile.width)?;
            return Ok(found.into_iter().take(usize::from(bundle.width)).map(<[u8]>::to_vec).collect());
        }
    }
    bail!("the gateway does not have `{bundle}`, which its checkpoint covers; the ledger is damaged")
}

/// The contents that the caller may take away, as they come; how many.
async fn write_contents(client: &Client, out: &Path, size: u64) -> Result<u64> {
    let mut file = create(&out.join(export::CONTENT_PATH))?;
    let mut stream = client.stream(&format!("/ledger/content?from=0&to={size}")).await?.bytes_stream();
    let mut lines = 0;
    let mut hash = digest::Context::new(&digest::SHA256);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.context("the export was cut off")?;
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        hash.update(&chunk);
        file.write_all(&chunk)?;
    }
    file.sync_all()?;
    let hash: [u8; 32] = hash.finish().as_ref().try_into()?;
    write_all(out, vec![export::content_hash_file(&Hash(hash))])?;
    Ok(u64::try_from(lines)?)
}

fn write_all(out: &Path, files: Vec<ExportFile>) -> Result<()> {
    for file in files {
        let path = out.join(&file.path);
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        create(&path)?.write_all(&file.bytes)?;
    }
    Ok(())
}

fn create(path: &Path) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("could not write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_with_what_it_commits_to() {
        let event = json!({
            "seq": 7, "at": "2026-03-03T14:00:00Z", "type": "action.allowed", "actor": "alice", "leaf": "ab",
            "line": "{\"seq\":7}",
            "content": [
                {"pointer": "/data/text", "state": "kept", "text": "select 1\n-- \u{202e}x"},
                {"pointer": "/data/parameters", "state": "erased"},
            ],
        });
        let shown = in_full(&event);
        for expected in [
            "what      action.allowed",
            "/data/text, as it was committed to:\n  select 1\n  -- ",
            "/data/parameters was erased; the proof of the line stands",
            "{\"seq\":7}",
        ] {
            assert!(shown.contains(expected), "`{expected}` is not in\n{shown}");
        }
        assert!(!shown.contains('\u{202e}'), "{shown}");
    }
}
