//! The demo's server of tools: a folder of reports, spoken to on standard input and output.
//!
//! It is a server like any other (Model Context Protocol, revision 2025-11-25), so small that it can be read whole. It trusts
//! whoever starts it, as such servers do.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

/// The longest report, in bytes.
const REPORT_BYTES_MAX: usize = 64 * 1024;

/// What is there when the demo starts for the first time.
const SAMPLES: [(&str, &str); 2] = [
    ("2026-q1", "Orders grew by 4 per cent. Two customers asked for their money back.\n"),
    ("2026-q2", "Orders fell by 1 per cent. The new shelf pays for itself.\n"),
];

/// Puts the samples into `folder`, unless something is there.
///
/// # Errors
/// The folder can't be written.
pub fn prepare(folder: &Path) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    for (name, text) in SAMPLES {
        std::fs::write(folder.join(format!("{name}.md")), text)?;
    }
    Ok(())
}

/// Serves until the input ends.
///
/// # Errors
/// Input or output fails.
pub async fn serve(folder: &Path) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut stdout = tokio::io::stdout();
    while let Some(line) = lines.next_line().await? {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        if let Some(answer) = answer(folder, &message) {
            stdout.write_all(format!("{answer}\n").as_bytes()).await?;
            stdout.flush().await?;
        }
    }
    Ok(())
}

fn answer(folder: &Path, message: &Value) -> Option<Value> {
    let id = message.get("id")?.clone();
    let method = message.get("method")?.as_str()?;
    let outcome = match method {
        "initialize" => Ok(json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
            "serverInfo": {"name": "reports", "version": env!("CARGO_PKG_VERSION")}})),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": tools()})),
        "tools/call" => Ok(call(folder, message.get("params").unwrap_or(&Value::Null))),
        _ => Err(json!({"code": -32_601, "message": "there is no such method"})),
    };
    let (member, value) = match outcome {
        Ok(result) => ("result", result),
        Err(error) => ("error", error),
    };
    Some(json!({"jsonrpc": "2.0", "id": id, member: value}))
}

fn tools() -> Value {
    let name = json!({"type": "string", "pattern": "^[a-z0-9-]{1,64}$"});
    let schema = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let read_only = json!({"readOnlyHint": true});
    json!([
        {"name": "list_reports", "description": "Lists the reports", "inputSchema": schema(json!({}), &[]),
            "annotations": read_only},
        {"name": "read_report", "description": "Reads a report", "annotations": read_only,
            "inputSchema": schema(json!({"name": name}), &["name"])},
        {"name": "write_report", "description": "Writes a report, in place of the one that is there",
            "inputSchema": schema(json!({"name": name, "text": {"type": "string"}}), &["name", "text"])},
        {"name": "delete_report", "description": "Deletes a report", "annotations": {"destructiveHint": true},
            "inputSchema": schema(json!({"name": name}), &["name"])},
    ])
}

fn call(folder: &Path, params: &Value) -> Value {
    let argument = |name: &str| params.pointer(&format!("/arguments/{name}")).and_then(Value::as_str);
    let done = match params.get("name").and_then(Value::as_str) {
        Some("list_reports") => list(folder),
        Some("read_report") => {
            report(folder, argument("name")).and_then(|path| Ok(std::fs::read_to_string(path)?))
        }
        Some("write_report") => write(folder, argument("name"), argument("text")),
        Some("delete_report") => report(folder, argument("name"))
            .and_then(|path| Ok(std::fs::remove_file(path)?))
            .map(|()| "deleted".into()),
        _ => Err(anyhow::anyhow!("there is no such tool")),
    };
    match done {
        Ok(text) => json!({"content": [{"type": "text", "text": text}]}),
        Err(error) => json!({"content": [{"type": "text", "text": format!("{error:#}")}], "isError": true}),
    }
}

fn list(folder: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".md").map(str::to_owned));
    }
    names.sort();
    Ok(names.join("\n"))
}

fn write(folder: &Path, name: Option<&str>, text: Option<&str>) -> Result<String> {
    let path = report(folder, name)?;
    let text = text.context("`text` is missing")?;
    if text.len() > REPORT_BYTES_MAX {
        bail!("a report has at most {REPORT_BYTES_MAX} bytes");
    }
    std::fs::write(path, text)?;
    Ok("written".into())
}

/// Where a report is: its name leads nowhere else.
fn report(folder: &Path, name: Option<&str>) -> Result<PathBuf> {
    let name = name.context("`name` is missing")?;
    let is_one = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_one { Ok(folder.join(format!("{name}.md"))) } else { bail!("`{name}` is no name of a report") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(folder: &Path, tool: &str, arguments: Value) -> String {
        let params = json!({"name": tool, "arguments": arguments});
        let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        answer(folder, &asked).unwrap()["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn reports_are_listed_read_written_and_deleted() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("reports");
        prepare(&folder).unwrap();
        assert_eq!(said(&folder, "list_reports", json!({})), "2026-q1\n2026-q2");
        assert_eq!(said(&folder, "write_report", json!({"name": "a", "text": "b"})), "written");
        assert_eq!(said(&folder, "read_report", json!({"name": "a"})), "b");
        assert_eq!(said(&folder, "delete_report", json!({"name": "a"})), "deleted");
        assert_eq!(said(&folder, "read_report", json!({"name": "../a"})), "`../a` is no name of a report");
        assert!(answer(&folder, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).is_none());
    }
}
