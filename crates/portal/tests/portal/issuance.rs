//! Everything that is handed out is in one table, and nothing else is handed out.

use std::collections::BTreeSet;

use countersign_portal::openapi;
use serde_json::Value;

const PAGE: &str = include_str!("../../../../docs/developers/issuance.md");

/// Members of answers that open something or help to.
const TELLING: [&str; 11] = [
    "token",
    "pending",
    "challenge",
    "code",
    "device_code",
    "redirect_to",
    "user_code",
    "password",
    "secret",
    "recovery_codes",
    "qr",
];

/// Answers that carry it in a cookie: the description does not say so.
const BY_COOKIE: [&str; 2] = ["GET /sign-in/oidc/{provider}", "GET /sign-in/oidc/{provider}/callback"];

/// The members of a shape, through what it refers to.
fn members<'a>(document: &'a Value, shape: &'a Value, found: &mut BTreeSet<&'a str>, depth: usize) {
    if depth > 8 {
        return;
    }
    if let Some(name) = shape["$ref"].as_str().and_then(|at| at.rsplit('/').next()) {
        members(document, &document["components"]["schemas"][name], found, depth + 1);
    }
    for (name, inner) in shape["properties"].as_object().into_iter().flatten() {
        found.insert(name);
        members(document, inner, found, depth + 1);
    }
    for list in ["allOf", "oneOf", "anyOf"] {
        for inner in shape[list].as_array().into_iter().flatten() {
            members(document, inner, found, depth + 1);
        }
    }
    if shape["items"].is_object() {
        members(document, &shape["items"], found, depth + 1);
    }
}

#[test]
fn whatever_is_handed_out_is_in_the_table() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut handed_out: BTreeSet<String> = BY_COOKIE.map(str::to_owned).into();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post"] {
            let answers = item[method]["responses"].as_object().into_iter().flatten();
            let right = answers.filter(|(status, _)| status.starts_with('2'));
            let mut found = BTreeSet::new();
            for (_, answer) in right {
                for content in answer["content"].as_object().into_iter().flat_map(serde_json::Map::values) {
                    members(&document, &content["schema"], &mut found, 0);
                }
            }
            if TELLING.iter().any(|name| found.contains(name)) {
                handed_out.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    // Results of statements have codes of their servers, and lines of the ledger have what was said of them.
    let of_the_record = |one: &String| {
        let record = [
            "GET /requests",
            "GET /sessions",
            "GET /ledger",
            "POST /requests",
            "POST /scripts",
            "GET /accesses",
        ];
        record.iter().any(|at| one.starts_with(at)) || one == "POST /workbenches/{id}/run"
    };
    handed_out.retain(|one| !of_the_record(one) || one.ends_with("/signature"));
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: BTreeSet<String> = rows.map(str::to_owned).collect();
    let unlisted: Vec<&String> = handed_out.difference(&listed).collect();
    let made_up: Vec<&String> = listed.difference(&handed_out).collect();
    assert!(
        unlisted.is_empty() && made_up.is_empty(),
        "not in the table: {unlisted:?}; not handed out: {made_up:?}"
    );
}
