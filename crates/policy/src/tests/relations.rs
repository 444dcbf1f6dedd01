//! What `resources.toml` says of relations and columns.

use countersign_core::ResourceId;
use countersign_core::catalogue::{Impact, MaskStyle, Place, Resource};

use super::{changed, compiled, demo_but, demo_source, lines};
use crate::{Source, compile, demands};

fn with_relations(said: &str) -> Source {
    let mut source = demo_source();
    let text = source.files.get_mut("resources.toml").unwrap();
    let start = text.find("[resource.shop.relation").unwrap_or(text.len());
    text.truncate(start);
    text.push_str(said);
    source
}

fn shop(source: &Source) -> Resource {
    compiled(source).catalogue.resources[&ResourceId::new("shop")].clone()
}

fn report(said: &str) -> String {
    match compile(&with_relations(said)) {
        Ok(compiled) => lines(&compiled.warnings),
        Err(found) => lines(&found),
    }
}

const CUSTOMERS: &str = r#"
[resource.shop.relation."public.customers"]
title = "Who bought"
owner = "group:security"
impact = "moderate"
labels = ["personal"]
columns.email = { labels = ["personal", "contact"], mask = "partial" }
columns."Birth Date" = { labels = ["personal"] }

[resource.shop.relation.'public."a.b"']
impact = "low"
"#;

#[test]
fn relations_say_what_their_resource_does_not() {
    let shop = shop(&with_relations(CUSTOMERS));
    let customers = shop.relation("public", "customers").unwrap();
    assert_eq!(customers.title.as_deref(), Some("Who bought"));
    assert_eq!(shop.owner_of(Some(customers)), Some(&Place::Group("security".parse().unwrap())));
    assert_eq!(shop.impact_of(Some(customers)), Impact::Moderate);
    let email = &customers.columns["email"];
    assert_eq!(email.labels.iter().collect::<Vec<_>>(), ["contact", "personal"]);
    assert_eq!(email.mask, Some(MaskStyle::Partial));
    assert_eq!(customers.columns["Birth Date"].mask, None);
    let dotted = shop.relation("public", "a.b").unwrap();
    assert_eq!(shop.impact_of(Some(dotted)), Impact::Low);
    assert_eq!(shop.owner_of(Some(dotted)), shop.owner.as_ref());
    assert_eq!(shop.impact_of(shop.relation("public", "orders")), shop.impact);
    assert_eq!(shop.highest_impact(), Impact::High);
}

#[test]
fn mistakes_about_relations_are_told_with_their_place() {
    let report = report(
        r#"
[resource.shop.relation.customers]
[resource.shop.relation."public.customers"]
owner = "group:privcy"
impact = "hihg"
label = "personal"
columns.email = { mask = "half", lables = ["x"] }
columns.phone = "personal"
[resource.shop.relation."public.\"customers\""]
owner = "owner"
[resource.shop.relation."public.Orders"]
labels = ["Personal data"]
"#,
    );
    for expected in [
        "`customers` names no relation: a relation is named with its schema: `public.customers`",
        "there is no group `privcy`",
        "`hihg` is none of the words for this",
        "there is no key `label` here",
        "did you mean `labels`",
        "`half` is none of the words for this",
        "there is no key `lables` here",
        "`resource.shop.relation.public.customers.columns.phone` must be a table",
        "a relation cannot own itself",
        "`public.customers` is there twice",
        "`public.Orders` is a relation only if it was made with its name in quotes",
        "write `public.orders`",
        "`Personal data` is not a name",
    ] {
        assert!(report.contains(expected), "`{expected}` is not in\n{report}");
    }
}

/// Whoever may apply a bundle could otherwise say that a table is of no importance, and then write to it.
#[test]
fn what_a_gate_may_look_at_in_a_relation_is_changed_with_a_countersignature() {
    let old = compiled(&with_relations(CUSTOMERS));
    let demanded = |passage: &str, by: &str| {
        let new = compiled(&changed(with_relations(CUSTOMERS), "resources.toml", passage, by));
        !demands(&old, &new).is_empty()
    };
    assert!(demanded("impact = \"moderate\"", "impact = \"low\""));
    assert!(demanded("owner = \"group:security\"", "owner = \"group:dba\""));
    assert!(demanded(", mask = \"partial\"", ""));
    assert!(demanded("[resource.shop.relation.'public.\"a.b\"']\nimpact = \"low\"\n", ""));
    assert!(!demanded("Who bought", "People who bought"));
}

#[test]
fn a_resource_without_relations_is_written_as_before() {
    let source = with_relations("");
    let json = serde_json::to_value(shop(&source)).unwrap();
    assert_eq!(json.get("relations"), None);
    let told = serde_json::to_value(shop(&with_relations(CUSTOMERS))).unwrap();
    assert!(told["relations"].get("public.\"a.b\"").is_some(), "{told}");
    assert_eq!(serde_json::from_value::<Resource>(told).unwrap(), shop(&with_relations(CUSTOMERS)));
}

#[test]
fn the_sample_bundle_says_whose_its_tables_are() {
    let shop = shop(&demo_but("bundle.toml", "format = 1", "format = 1"));
    assert_eq!(shop.impact_of(shop.relation("public", "products")), Impact::Low);
}
