//! Plays conversations of clients of tools, straight to a server that we did not write and through a gateway before it,
//! with calls that are held and approved meanwhile, and prints what differs.
//!
//! Arguments: `FOLDER`, where the server is installed, and `NAME=PROGRAM[ ARG...]` for each client, as `cargo xtask clients
//! mcp` gives them.

use std::collections::BTreeMap;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use countersign_core::request::State;
use countersign_core::{RequestId, Span};
use countersign_doors::mcp::Program;
use countersign_testkit::house::PERSON_PASSWORD;
use countersign_testkit::tools::ToolHouse;
use similar::TextDiff;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// The server, in its package.
const SERVER: &str = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
/// The same at an address.
const EVERYTHING: [&str; 2] = [SERVER, "streamableHttp"];
/// The server of files, in its package.
const FILES: &str = "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js";
/// Who speaks with that.
const OF_FILES: &str = "filesystem";
/// Who finds its way in by itself, and has its person let it in.
const OF_OAUTH: &str = "oauth";
/// The server of the conformance suite, beside it.
const CONFORMANCE: &str = "conformance_server.mjs";
/// Who speaks with that.
const OF_CONFORMANCE: &str = "conformance";
/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);
/// How long a conversation may take.
const TALK: Duration = Duration::from_secs(120);

/// What the client does: everything, with some of it held.
const POLICIES: &str = r#"
@id("all-of-it")
permit (principal in Role::"clerk", action in Action::"mcp", resource in Role::"clerk");

@id("sums-are-countersigned")
@gate("prod-write")
forbid (principal, action == Action::"mcp.call", resource)
when { ["get-sum", "write_file", "test_simple_text"].contains(context.tool) };

@id("questions-of-servers-are-countersigned")
@gate("prod-write")
forbid (principal, action == Action::"mcp.sample", resource)
when { context.verbs.contains("sampling/createMessage") };
"#;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("name the folder that the server is installed in")?;
    let mut differ = false;
    for argument in arguments {
        let (name, command) = argument.split_once('=').context("write NAME=PROGRAM ARG...")?;
        let command = command.split('\t').map(str::to_owned).collect();
        let talk = Talk { name: name.to_owned(), folder: folder.clone(), command };
        differ |= match name {
            OF_FILES => play_files(&talk).await?,
            OF_OAUTH => play_at_address(&talk, &EVERYTHING).await?,
            OF_CONFORMANCE => play_at_address(&talk, &[CONFORMANCE]).await?,
            _ => play(&talk).await?,
        };
    }
    Ok(if differ { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A client's conversation.
struct Talk {
    name: String,
    folder: String,
    command: Vec<String>,
}

/// Plays it before a server that is a program, and before one at an address; whether anything differs.
async fn play(talk: &Talk) -> Result<bool> {
    let folder = &talk.folder;
    let program = Program {
        command: vec!["node".into(), format!("{folder}/{SERVER}"), "stdio".into()],
        environment: BTreeMap::new(),
        ..Program::default()
    };
    let house = ToolHouse::program_with(program, POLICIES).await?;
    let command = format!("node\t{SERVER}\tstdio");
    let differ = compare(talk, "a program", &house, &[("MCP_COMMAND", command)]).await?;
    house.close().await;
    Ok(differ | play_at_address(talk, &EVERYTHING).await?)
}

/// Plays it before this server at an address; whether anything differs.
async fn play_at_address(talk: &Talk, server: &[&str]) -> Result<bool> {
    let (server, url) = serve(&talk.folder, server).await?;
    let house = ToolHouse::at(&url, POLICIES).await?;
    let differ = compare(talk, "streamable HTTP", &house, &[("MCP_URL", url)]).await?;
    house.close().await;
    drop(server);
    Ok(differ)
}

/// Plays it before the server of files, which is a program; whether anything differs.
async fn play_files(talk: &Talk) -> Result<bool> {
    let files = tempfile::tempdir()?;
    let place = files.path().to_str().context("the temporary folder has an odd name")?.to_owned();
    let program = Program {
        command: vec!["node".into(), format!("{}/{FILES}", talk.folder), place.clone()],
        ..Program::default()
    };
    let house = ToolHouse::program_with(program, POLICIES).await?;
    let command = format!("node\t{FILES}\t{place}");
    let direct = [("MCP_COMMAND", command), ("MCP_FILES", place)];
    let differ = compare(talk, "the server of files", &house, &direct).await?;
    house.close().await;
    Ok(differ)
}

/// Plays the conversation both ways; whether it differs.
async fn compare(talk: &Talk, before: &str, house: &ToolHouse, direct: &[(&str, String)]) -> Result<bool> {
    let files: Vec<_> = direct.iter().filter(|(name, _)| *name == "MCP_FILES").cloned().collect();
    let direct = talk.with(direct).await.context("straight to the server")?;
    house.house.grant("alice", "clerk", Span::minutes(30)).await?;
    let mut through = vec![("MCP_URL", house.url()), ("MCP_TOKEN", house.token("alice", "files").await?)];
    through.push(("MCP_PERSON", format!("alice:{PERSON_PASSWORD}")));
    through.extend(files);
    let through = tokio::select! {
        through = talk.with(&through) => through.context("through the gateway")?,
        failed = approve_all(house) => return Err(failed),
    };
    let snapshot = house.house.engine.snapshot();
    let held =
        snapshot.book.requests().filter(|request| request.action().as_str().starts_with("mcp.")).count();
    let name = format!("{} before {before}", talk.name);
    // A sum or a file that is written; with the SDKs a question of the server's as well.
    let least = if talk.name.ends_with("-sdk") || talk.name == OF_CONFORMANCE { 2 } else { 1 };
    if held < least {
        bail!("{name}: {held} were held, and not {least}");
    }
    if direct == through {
        println!("same: {name} ({} lines, {held} held and approved)", direct.lines().count());
        return Ok(false);
    }
    println!("DIFFERS: {name}\n{}", TextDiff::from_lines(&direct, &through).unified_diff());
    Ok(true)
}

/// Has bob say yes to whatever is held, until that fails.
async fn approve_all(house: &ToolHouse) -> anyhow::Error {
    let mut changed = house.house.engine.changed();
    loop {
        let pending: Vec<RequestId> = {
            let snapshot = house.house.engine.snapshot();
            let pending = snapshot.book.requests().filter(|request| request.state == State::Pending);
            pending.map(|request| request.id).collect()
        };
        for request in pending {
            if let Err(error) = house.house.approve(request).await {
                return error.context("bob could not say yes");
            }
        }
        if let Err(error) = changed.changed().await {
            return error.into();
        }
    }
}

impl Talk {
    /// What the client prints.
    async fn with(&self, environment: &[(&str, String)]) -> Result<String> {
        let (program, args) = self.command.split_first().context("no client is named")?;
        let mut client = Command::new(program);
        client
            .args(args)
            .current_dir(&self.folder)
            .envs(environment.iter().map(|(name, value)| (name, value)));
        client.stdin(Stdio::null()).kill_on_drop(true);
        let output =
            tokio::time::timeout(TALK, client.output()).await.context("the conversation does not end")??;
        if !output.status.success() {
            bail!(
                "the client failed: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The server at an address on this machine.
async fn serve(folder: &str, script: &[&str]) -> Result<(Child, String)> {
    let port = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port();
    let mut server = Command::new("node");
    server.args(script).current_dir(folder).env("PORT", port.to_string());
    let mut child = server.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    if let Some(said) = child.stderr.take() {
        // Read, so that it does not wait to be.
        tokio::spawn(async move {
            let mut lines = BufReader::new(said).lines();
            while let Ok(Some(_)) = lines.next_line().await {}
        });
    }
    let listening = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(START, listening).await.context("the server does not start")?;
    Ok((child, format!("http://127.0.0.1:{port}/mcp")))
}
