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

/// The document has one shape for each name: of two types of one name, wherever they are, the later would stand for both.
#[test]
fn no_two_shapes_have_one_name() {
    let mut open = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut places: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    while let Some(next) = open.pop() {
        if next.is_dir() {
            open.extend(std::fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&next).unwrap();
        for name in shapes_of(&text) {
            places.entry(name).or_default().push(next.display().to_string());
        }
    }
    let document: Value = serde_json::to_value(openapi()).unwrap();
    let described = document["components"]["schemas"].as_object().unwrap();
    let generic = |name: &str| name.starts_with("List_");
    let unknown: Vec<_> =
        described.keys().filter(|name| !places.contains_key(*name) && !generic(name)).collect();
    assert!(unknown.is_empty(), "described, and not found in the source: {unknown:?}");
    let twice: Vec<_> = places.iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

/// The names of the types of a source that derive `ToSchema`, as they are described.
fn shapes_of(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("#[derive(") {
        rest = &rest[at..];
        let end = rest.find(")]").unwrap();
        let (derives, behind) = rest.split_at(end);
        let head: String =
            behind.lines().take_while(|line| !line.ends_with('{') && !line.ends_with(';')).collect();
        let declared = behind.lines().find(|line| {
            line.starts_with("pub ") || line.starts_with("struct ") || line.starts_with("enum ")
        });
        rest = behind;
        if !derives.contains("ToSchema") {
            continue;
        }
        let renamed =
            head.split("schema(as = ").nth(1).map(|name| name.split([')', ',']).next().unwrap().to_owned());
        let first = declared.and_then(|line| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .find(|word| word.chars().next().is_some_and(char::is_uppercase))
        });
        names.extend(renamed.or_else(|| first.map(str::to_owned)));
    }
    names
}
