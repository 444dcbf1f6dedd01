//! The arrows between crates, as `ARCHITECTURE.md` draws them. A new one needs a decision in `docs/decisions/`.
#![expect(clippy::expect_used, reason = "a test that cannot ask cargo has failed")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Which of ours a crate may use, tests aside.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("core", &[]),
    ("ledger", &[]),
    ("policy", &["core"]),
    ("wire", &["core"]),
    ("engine", &["core", "ledger", "policy"]),
    ("doors", &["core", "engine", "policy", "wire"]),
    ("portal", &["core", "engine", "ledger", "policy", "wire"]),
    ("integrations", &["core", "engine"]),
    ("countersign", &["core", "doors", "engine", "integrations", "ledger", "policy", "portal", "wire"]),
    ("testkit", &["core", "doors", "engine", "integrations", "ledger", "policy", "portal", "wire"]),
    ("xtask", &[]),
];

/// What the pure crates may not reach, however indirectly they are named.
const NO_IO: [&str; 8] = ["tokio", "reqwest", "hyper", "axum", "rusqlite", "tokio-postgres", "rand", "uuid"];

#[test]
fn calls_go_downward_only() {
    let mut unknown = Vec::new();
    for (name, uses) in ours() {
        let Some((_, allowed)) = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name) else {
            unknown.push(name);
            continue;
        };
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let bad: Vec<&String> = uses.iter().filter(|one| !allowed.contains(one.as_str())).collect();
        assert!(bad.is_empty(), "`{name}` may not use {bad:?}; see ARCHITECTURE.md");
    }
    assert!(unknown.is_empty(), "no arrows are drawn for {unknown:?}");
}

#[test]
fn the_middle_is_pure() {
    for package in packages() {
        let name = short(&package.name).to_owned();
        if !["core", "policy", "wire", "ledger"].contains(&name.as_str()) {
            continue;
        }
        let uses = package.dependencies.iter().filter(|one| one.kind == DependencyKind::Normal);
        let bad: Vec<&String> =
            uses.map(|one| &one.name).filter(|one| NO_IO.contains(&one.as_str())).collect();
        assert!(bad.is_empty(), "`{name}` is pure and may not use {bad:?}");
    }
}

fn ours() -> BTreeMap<String, BTreeSet<String>> {
    let packages = packages();
    let names: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    let uses = |package: &cargo_metadata::Package| {
        let normal = package.dependencies.iter().filter(|one| one.kind == DependencyKind::Normal);
        normal.filter(|one| names.contains(&one.name)).map(|one| short(&one.name).to_owned()).collect()
    };
    packages.iter().map(|package| (short(&package.name).to_owned(), uses(package))).collect()
}

fn packages() -> Vec<cargo_metadata::Package> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    metadata.workspace_packages().into_iter().cloned().collect()
}

fn short(name: &str) -> &str {
    name.strip_prefix("countersign-").unwrap_or(name)
}
