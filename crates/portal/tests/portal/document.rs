//! The committed OpenAPI document, from which clients are generated without building the gateway.

use countersign_portal::openapi;
use serde_json::Value;

/// `COUNTERSIGN_BLESS=1 cargo test -p countersign-portal` writes the file anew.
#[test]
fn the_committed_document_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/openapi.json");
    let generated = openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("COUNTERSIGN_BLESS").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == generated, "web/openapi.json is stale; run with COUNTERSIGN_BLESS=1");
}

#[test]
fn every_endpoint_may_answer_with_a_problem_and_names_itself() {
    let document: Value = serde_json::to_value(openapi()).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(operation["summary"].is_string(), "{method} {path} says nothing of itself");
            let problem = &operation["responses"]["default"]["content"]["application/problem+json"];
            assert!(problem.is_object() || path == "/health", "{method} {path}");
        }
    }
}
