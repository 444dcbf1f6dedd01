//! `resources.toml`: what is protected, where it is, and where its secrets are.

use std::collections::BTreeMap;

use countersign_core::ResourceId;
use countersign_core::catalogue::{Impact, Recording, Resource};

use crate::diagnostic::Problems;
use crate::text::{Kind, Node, Read, Shape, Table, optional, required};

/// The words for kinds of resources.
const KINDS: &[&str] = &["postgres"];

/// How the connection to a server is protected, weakest first.
const TLS: &[&str] = &["disable", "require", "verify-ca", "verify-full"];

/// The settings of a resource that the door reads. The others are for people and policy.
const SETTINGS: &[&str] = &["host", "port", "database", "tls", "tls_ca", "look_account"];

const POSTGRES_PORT: i64 = 5432;

pub(super) const SHAPE: Shape = Shape {
    doc: "What is protected.",
    fields: &[optional("resource", Kind::Map(true, &Kind::Table(&RESOURCE)), "protected resources, by name")],
};

const RESOURCE: Shape = Shape {
    doc: "A protected resource.",
    fields: &[
        required("kind", Kind::Word(KINDS), "which protocol it speaks"),
        required("title", Kind::Text, "one line for people who choose"),
        optional("owner", Kind::Place, "who answers for it: a user or a group"),
        required(
            "impact",
            Kind::Word(&["low", "moderate", "high"]),
            "how bad it would be if something went wrong (FIPS 199)",
        ),
        optional("labels", Kind::Map(false, &Kind::Text), "free labels, which policies see as tags"),
        optional(
            "recording",
            Kind::Word(&["before-release", "alongside"]),
            "when the record of a provable read is durable: before its answer leaves (the default), or within 100 ms",
        ),
        required("host", Kind::Text, "the server's name or address"),
        optional("port", Kind::Whole(1, 65_535), "the server's port; 5432 if absent"),
        required("database", Kind::Text, "the database on the server"),
        optional(
            "tls",
            Kind::Word(TLS),
            "how the connection to the server is protected; verify-full if absent",
        ),
        optional("tls_ca", Kind::Text, "a file with the certificates that vouch for the server"),
        optional(
            "look_account",
            Kind::Text,
            "an upstream account that can write nothing, used for estimates of rows before an approval",
        ),
        optional(
            "secrets",
            Kind::Map(false, &Kind::Reference),
            "where the password of each upstream account is; never the password",
        ),
    ],
};

pub(super) fn resources(file: &Read<'_>, problems: &mut Problems) -> BTreeMap<ResourceId, Resource> {
    let tables = file.root.tables("resource");
    let resources = tables.map(|(name, table)| {
        check(file, name, table, problems);
        (ResourceId::new(name), resource(table))
    });
    resources.collect()
}

fn resource(table: &Table) -> Resource {
    Resource {
        kind: table.text("kind").to_owned(),
        title: table.text("title").to_owned(),
        owner: table.maybe_text("owner").and_then(|place| place.parse().ok()),
        impact: match table.text("impact") {
            "low" => Impact::Low,
            "moderate" => Impact::Moderate,
            _ => Impact::High,
        },
        labels: own(table.pairs("labels")),
        recording: match table.text("recording") {
            "alongside" => Recording::Alongside,
            _ => Recording::BeforeRelease,
        },
        settings: settings(table),
        secrets: own(table.pairs("secrets")),
    }
}

fn settings(table: &Table) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([
        ("port".to_owned(), POSTGRES_PORT.to_string()),
        ("tls".to_owned(), "verify-full".to_owned()),
    ]);
    for key in SETTINGS {
        match table.get(key) {
            Some(Node::Text(text)) => settings.insert((*key).to_owned(), text.clone()),
            Some(Node::Whole(number)) => settings.insert((*key).to_owned(), number.to_string()),
            _ => None,
        };
    }
    settings
}

fn check(file: &Read<'_>, name: &str, table: &Table, problems: &mut Problems) {
    let at = |key: &str| file.place(&format!("resource.{name}.{key}"));
    let host = table.text("host");
    if host.chars().any(|c| c.is_whitespace() || c.is_control() || "/@?".contains(c)) {
        let hint = "write the name or the address alone; the port and the database have keys of their own";
        problems.error(file.within, at("host"), format!("`{host}` is not a host"), Some(hint.into()));
    }
    for key in ["database", "look_account"] {
        if table.text(key).contains('\0') {
            problems.error(file.within, at(key), format!("`{key}` contains a zero byte"), None);
        }
    }
    let tls = table.maybe_text("tls").unwrap_or("verify-full");
    if table.get("tls_ca").is_some() && !tls.starts_with("verify") {
        let message = format!("`tls_ca` is not used with `tls = \"{tls}\"`");
        let hint = "write `tls = \"verify-full\"`, or remove `tls_ca`";
        problems.error(file.within, at("tls_ca"), message, Some(hint.into()));
    }
    if tls == "disable" && !["127.0.0.1", "::1", "localhost", ""].contains(&host) {
        let message = format!("the connection to `{host}` is not encrypted");
        problems.warning(file.within, at("tls"), message, Some("write `tls = \"verify-full\"`".into()));
    }
    if table.text("owner") == "owner" {
        let hint = "name a user or a group: `owner = \"group:dba\"`";
        problems.error(file.within, at("owner"), "a resource cannot own itself".into(), Some(hint.into()));
    }
}

fn own<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
