//! `resources.toml`: what is protected, where it is, and where its secrets are.

use std::collections::BTreeMap;

use countersign_core::ResourceId;
use countersign_core::catalogue::{Impact, Recording, Resource};

use super::{relations, servers, tools};
use crate::actions;
use crate::diagnostic::Problems;
use crate::text::{Kind, Read, Shape, Table, optional, required};

/// The words for kinds of resources.
const KINDS: &[&str] = &[actions::DATABASE, actions::TOOLS];

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
            Kind::Word(relations::IMPACTS),
            "how bad it would be if something went wrong (FIPS 199)",
        ),
        optional("labels", Kind::Map(false, &Kind::Text), "free labels, which policies see as tags"),
        optional(
            "recording",
            Kind::Word(&["before-release", "alongside"]),
            "when the record of a provable read is durable: before its answer leaves (the default), or within 100 ms",
        ),
        servers::HOST,
        servers::PORT,
        optional("database", Kind::Text, "for kind postgres, which must have it: the database on the server"),
        servers::ATTRIBUTES,
        servers::TIMEOUT,
        servers::TLS,
        servers::AUTHORITY,
        tools::ADDRESS,
        tools::PROGRAM,
        tools::TOOLS,
        servers::CERTIFICATES,
        optional(
            "look_account",
            Kind::Text,
            "an upstream account that can write nothing, used for estimates of rows before an approval",
        ),
        optional(
            "secrets",
            Kind::Map(false, &Kind::Reference),
            "where the password, or for kind mcp the bearer token, of each upstream account is; never the secret itself",
        ),
        optional(
            "masking",
            Kind::Table(&MASKING),
            "what is done with masked columns beside showing masks, and what is searched for in all others",
        ),
        optional(
            "capture",
            Kind::Table(&CAPTURE),
            "how results are kept of what policies permit `sql.capture`; without it none is kept",
        ),
        optional(
            "relation",
            Kind::Map(false, &Kind::Table(&relations::RELATION)),
            "what is said of single relations, by `schema.name` as the database keeps it",
        ),
    ],
};

const CAPTURE: Shape = Shape {
    doc: "How results are kept, sealed and encrypted, beside the ledger.",
    fields: &[
        optional(
            "bytes",
            Kind::Whole(1_024, 262_144),
            "at most so much of what one statement gives back (default 65536); what is more is left out, which is told",
        ),
        optional(
            "days",
            Kind::Whole(1, 3_650),
            "for how many days they can be read (default 30); then their key is destroyed",
        ),
    ],
};

const MASKING: Shape = Shape {
    doc: "How a resource treats what is masked.",
    fields: &[
        optional(
            "derived",
            Kind::Word(&["mask", "refuse"]),
            "what is computed from a masked column: it is given back as NULL (mask, the default), or its statement is refused",
        ),
        optional(
            "guessing",
            Kind::Word(&["refuse", "record"]),
            "statements that compare, order, group or branch by a masked column: they are refused (the default), or run and \
             are recorded with the verb guess_masked",
        ),
        optional(
            "detect",
            Kind::List(&Kind::Word(DETECTORS)),
            "what is covered wherever it is found in text",
        ),
    ],
};

/// The words for what is searched for in text.
const DETECTORS: &[&str] = &["email", "card", "iban", "phone", "ip", "national-id", "secret"];

/// What the door reads of how masked columns are treated.
fn masking(table: &Table, settings: &mut BTreeMap<String, String>) {
    let Some(masking) = table.table("masking") else { return };
    for key in ["derived", "guessing"] {
        if let Some(word) = masking.maybe_text(key) {
            settings.insert(format!("masking_{key}"), word.to_owned());
        }
    }
    let detect: Vec<&str> = masking.texts("detect").collect();
    if !detect.is_empty() {
        settings.insert("masking_detect".to_owned(), detect.join(","));
    }
}

/// What the gateway reads of how results are kept.
fn capture(table: &Table, settings: &mut BTreeMap<String, String>) {
    let Some(capture) = table.table("capture") else { return };
    for (key, usual) in [("bytes", 65_536), ("days", 30)] {
        settings.insert(format!("capture_{key}"), capture.whole(key).unwrap_or(usual).to_string());
    }
}

pub(super) fn resources(file: &Read<'_>, problems: &mut Problems) -> BTreeMap<ResourceId, Resource> {
    let tables = file.root.tables("resource");
    let resources = tables.map(|(name, table)| {
        check(file, name, table, problems);
        let resource =
            Resource { relations: relations::relations(file, name, table, problems), ..resource(table) };
        (ResourceId::new(name), resource)
    });
    resources.collect()
}

fn resource(table: &Table) -> Resource {
    let mut settings = if tools::is(table) { tools::settings(table) } else { servers::settings(table) };
    masking(table, &mut settings);
    capture(table, &mut settings);
    Resource {
        kind: table.text("kind").to_owned(),
        title: table.text("title").to_owned(),
        owner: table.maybe_text("owner").and_then(|place| place.parse().ok()),
        impact: relations::impact(table).unwrap_or(Impact::High),
        labels: own(table.pairs("labels")),
        recording: match table.text("recording") {
            "alongside" => Recording::Alongside,
            _ => Recording::BeforeRelease,
        },
        settings,
        secrets: own(table.pairs("secrets")),
        certificates: servers::certificates(table),
        relations: BTreeMap::new(),
    }
}

fn check(file: &Read<'_>, name: &str, table: &Table, problems: &mut Problems) {
    if tools::is(table) {
        tools::check(file, name, table, problems);
    } else {
        tools::check_others(file, name, table, problems);
        servers::check(file, name, table, problems);
    }
    let at = |key: &str| file.place(&format!("resource.{name}.{key}"));
    for key in ["database", "look_account"] {
        if table.text(key).contains('\0') {
            problems.error(file.within, at(key), format!("`{key}` contains a zero byte"), None);
        }
    }
    if table.text("owner") == "owner" {
        let hint = "name a user or a group: `owner = \"group:dba\"`";
        problems.error(file.within, at("owner"), "a resource cannot own itself".into(), Some(hint.into()));
    }
}

fn own<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
