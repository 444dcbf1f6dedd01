//! Where a server of tools (Model Context Protocol) is: at an address, or a program that the gateway starts.
//!
//! A bundle names programs and never says what they are: whoever may change policy would otherwise run what they like
//! where the gateway runs. What a name stands for, under which account and limits, is the gateway's own configuration.

use std::collections::BTreeMap;

use countersign_core::Digest;
use url::{Host, Url};

use crate::diagnostic::Problems;
use crate::text::{Field, Kind, Read, Table, optional};

const KIND: &str = crate::actions::TOOLS;

/// The longest address of a server, in bytes.
const URL_BYTES_MAX: usize = 2_048;

pub(super) const ADDRESS: Field = optional(
    "url",
    Kind::Text,
    "for kind mcp: where the server is (\"https://tools.example/mcp\"), unless it is a program",
);
pub(super) const PROGRAM: Field = optional(
    "program",
    Kind::Name,
    "for kind mcp: the server is this program, which the gateway's own configuration describes under [mcp.program.NAME]",
);

pub(super) const TOOLS: Field = optional(
    "tools",
    Kind::Map(false, &Kind::Text),
    "for kind mcp: the digests of its tools as somebody has reviewed them (\"sha256:...\"), by name; policies see as \
     `context.pin` whether a tool is still so",
);

/// What the door's setting of a tool's digest begins with.
const PIN: &str = "tool:";
/// How a digest begins.
const DIGEST: &str = "sha256:";

/// What a server of tools does not have.
const DATABASES: &[&str] = &[
    "host",
    "port",
    "database",
    "target_session_attrs",
    "connect_timeout",
    "tls",
    "look_account",
    "client_certificates",
    "relation",
    "recording",
];
/// What only a server of tools has.
const OWN: &[&str] = &["url", "program", "tools"];
/// What every other resource must have.
const WANTED: &[&str] = &["host", "database"];

/// Whether this is one.
pub(super) fn is(table: &Table) -> bool {
    table.maybe_text("kind") == Some(KIND)
}

/// The door's settings.
pub(super) fn settings(table: &Table) -> BTreeMap<String, String> {
    let kept = ["url", "program", "tls_ca"].into_iter();
    let kept = kept.filter_map(|key| Some((key.to_owned(), table.maybe_text(key)?.to_owned())));
    let pins = table.pairs("tools").map(|(name, digest)| (format!("{PIN}{name}"), digest.to_owned()));
    kept.chain(pins).collect()
}

/// What a resource of another kind says or leaves out that only this one may.
pub(super) fn check_others(file: &Read<'_>, name: &str, table: &Table, problems: &mut Problems) {
    let at = |key: &str| file.place(&format!("resource.{name}.{key}"));
    for key in OWN.iter().filter(|key| at(key).is_some()) {
        let message = format!("`{key}` is for resources of kind `{KIND}`");
        problems.error(file.within, at(key), message, Some("remove it".into()));
    }
    for key in WANTED.iter().filter(|key| at(key).is_none() && table.maybe_text("kind").is_some()) {
        let message = format!("`{key}` is missing in `resource.{name}`");
        let hint = "where the database is: its server's name or address, and its own name".to_owned();
        problems.error(file.within, file.place(&format!("resource.{name}")), message, Some(hint));
    }
}

pub(super) fn check(file: &Read<'_>, name: &str, table: &Table, problems: &mut Problems) {
    let at = |key: &str| file.place(&format!("resource.{name}.{key}"));
    for key in DATABASES.iter().filter(|key| at(key).is_some()) {
        let message = format!("`{key}` is not for resources of kind `{KIND}`");
        problems.error(file.within, at(key), message, Some("remove it".into()));
    }
    match (at("url"), at("program")) {
        (None, None) => {
            let message = format!("neither `url` nor `program` says where `{name}` is");
            let hint =
                "write `url = \"https://...\"`, or `program = \"...\"` and describe it in countersign.toml";
            problems.error(file.within, file.place(&format!("resource.{name}")), message, Some(hint.into()));
        }
        (Some(_), Some(place)) => {
            let message = format!("`{name}` is at a `url`, or it is a `program`; it can't be both");
            problems.error(file.within, Some(place), message, Some("remove one of them".into()));
        }
        _ => {}
    }
    if let Some(text) = table.maybe_text("url") {
        address(file, name, text, problems);
    }
    for key in table.table("masking").into_iter().flat_map(Table::keys).filter(|key| *key != "detect") {
        let message = format!("`{key}` is not for resources of kind `{KIND}`");
        let hint = "what a server of tools says is covered where `detect` finds it".to_owned();
        problems.error(file.within, at(&format!("masking.{key}")), message, Some(hint));
    }
    for (tool, digest) in table.pairs("tools") {
        let is_digest = digest.strip_prefix(DIGEST).is_some_and(|digits| digits.parse::<Digest>().is_ok());
        if !is_digest {
            let message = format!("`{digest}` is not the digest of a tool");
            let hint = "it is `sha256:` and 64 digits; whoever is asked about a call of the tool is shown it";
            problems.error(file.within, at(&format!("tools.{tool}")), message, Some(hint.into()));
        }
    }
    if at("tls_ca").is_some() && !table.text("url").starts_with("https:") {
        let hint = Some("remove it, or reach the server by `https`".into());
        problems.error(file.within, at("tls_ca"), "`tls_ca` is for addresses with `https`".into(), hint);
    }
}

fn address(file: &Read<'_>, name: &str, text: &str, problems: &mut Problems) {
    let place = file.place(&format!("resource.{name}.url"));
    let hint = Some("write it like \"https://tools.example/mcp\"".to_owned());
    let url = match Url::parse(text) {
        Ok(url) if text.len() <= URL_BYTES_MAX => url,
        _ => return problems.error(file.within, place, format!("`{text}` is not an address"), hint),
    };
    if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
        let message = format!("`{text}` is not an address of a web server");
        return problems.error(file.within, place, message, hint);
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        let message = "an address holds no name, password or fragment".to_owned();
        let hint = "what the gateway shows of itself there is under `secrets`".to_owned();
        return problems.error(file.within, place, message, Some(hint));
    }
    if url.scheme() == "http" && !is_local(&url) {
        let message = format!("the connection to `{text}` is not encrypted");
        problems.warning(file.within, place, message, Some("reach the server by `https`".into()));
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
