//! Given a bundle, when somebody asks, then policy says.

mod agents;
mod broken;
mod demands;
mod demo;
mod directories;
mod floor;
mod properties;
mod reference;
mod relations;
mod tools;
mod verdicts;
mod workloads;

use std::collections::BTreeSet;

use countersign_core::bundle;
use countersign_core::question::{Context, Question, Target};
use countersign_core::ruling::{Denial, Ruling, Verdict};
use countersign_core::{
    ActionName, At, Book, Event, GrantId, PersonId, PrincipalId, RequestId, ResourceId, RoleId, SessionId,
    Span,
};

use crate::context::{Access, Mcp, Plain, Sql, Unmask, Via};
use crate::{Compiled, Diagnostic, Source, compile};

/// A Tuesday at 14:00 UTC.
const NOW: At = At(1_772_546_400_000_000);

/// The sample bundle of the repository.
fn demo_source() -> Source {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/bundle");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// The sample bundle with a file of policies added.
fn demo_with(policies: &str) -> Source {
    let mut source = demo_source();
    source.files.insert("more.cedar".into(), policies.into());
    source
}

/// The sample bundle with a passage of a file replaced; it must be there exactly once.
fn demo_but(file: &str, passage: &str, by: &str) -> Source {
    changed(demo_source(), file, passage, by)
}

fn changed(mut source: Source, file: &str, passage: &str, by: &str) -> Source {
    let text = source.files.get_mut(file).unwrap();
    assert_eq!(text.matches(passage).count(), 1, "`{passage}` in {file}");
    *text = text.replace(passage, by);
    source
}

/// The sample bundle without one policy.
fn demo_without(file: &str, id: &str) -> Source {
    let mut source = demo_source();
    let text = source.files.get_mut(file).unwrap();
    let start = text.find(&format!("@id(\"{id}\")")).unwrap();
    let end = start + text[start..].find(";\n").unwrap() + 2;
    text.replace_range(start..end, "");
    source
}

fn compiled(source: &Source) -> Compiled {
    compile(source).unwrap_or_else(|found| panic!("{}", lines(&found)))
}

fn lines(found: &[Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A book in which the bundle is in force and nothing else has happened.
fn book(compiled: &Compiled) -> Book {
    let mut book = Book::default();
    let event = bundle::Event::Activated {
        bundle: compiled.hash,
        previous: None,
        version: 1,
        catalogue: compiled.catalogue.clone(),
        by: PrincipalId::new("dave"),
        request: None,
    };
    book.apply(&Event::Bundle(event), NOW);
    book
}

fn plain() -> Plain {
    Plain { now: NOW, source: Some([10, 0, 0, 7].into()), via: Via::Postgres }
}

fn sql() -> Sql {
    Sql {
        plain: plain(),
        purpose: "repair an order".into(),
        ticket: None,
        verbs: BTreeSet::new(),
        reads: BTreeSet::new(),
        writes: BTreeSet::new(),
        functions: BTreeSet::new(),
        has_where: true,
        has_limit: false,
        reach: crate::context::Reach::default(),
        statements: 1,
        in_transaction: false,
        provable_read: false,
        rows: None,
    }
}

/// A call of `read_file` with some arguments.
fn mcp() -> Context {
    let call = Mcp {
        purpose: "find a report".into(),
        verbs: ["tools/call".to_owned()].into(),
        tool: "read_file".into(),
        claims: ["read-only".to_owned()].into(),
        args: [("path".to_owned(), "/srv/reports/march".to_owned())].into(),
        numbers: [("lines".to_owned(), 20)].into(),
        ..Mcp::default()
    };
    let mut context = plain().into();
    call.tell(&mut context);
    context
}

fn unmask() -> Unmask {
    Unmask {
        plain: plain(),
        purpose: "repair an order".into(),
        ticket: None,
        column: "public.customers.email".into(),
        labels: ["personal".to_owned()].into(),
    }
}

fn access(duration: Span) -> Access {
    Access { plain: plain(), duration, purpose: "repair an order".into(), ticket: None }
}

/// A question about a thing of alice's, or about the shop, with circumstances that fit the action.
fn asks(principal: &str, roles: &[&str], action: &str) -> Question {
    let (principal_of_it, person) = (PrincipalId::new("alice"), PersonId::new("alice"));
    let target = match action.split('.').next().unwrap() {
        "sql" | "mcp" | "credential" => Target::Resource(ResourceId::new("shop")),
        "access" => Target::Role(RoleId::new("shop-writer")),
        "request" => Target::Request {
            id: RequestId(1),
            principal: principal_of_it,
            person,
            action: ActionName::new("access.request"),
        },
        "grant" => {
            let role = RoleId::new("shop-writer");
            Target::Grant { id: GrantId(1), principal: principal_of_it, person, role }
        }
        "session" if action == "session.open" => Target::Resource(ResourceId::new("shop")),
        "session" => Target::Session { id: SessionId(1), principal: principal_of_it, person },
        "principal" | "sign_in" | "authenticator" => Target::Principal(PrincipalId::new("alice")),
        _ => Target::Gateway,
    };
    let context: Context = match action.split('.').next().unwrap() {
        "sql" if action == "sql.unmask" => unmask().into(),
        "sql" if action == "sql.export" => plain().into(),
        "sql" => sql().into(),
        "mcp" => mcp(),
        "access" => access(Span::minutes(30)).into(),
        _ => plain().into(),
    };
    Question {
        principal: PrincipalId::new(principal),
        roles: roles.iter().map(|role| RoleId::new(role)).collect(),
        action: ActionName::new(action),
        target,
        context,
    }
}

fn rule(source: &Source, question: &Question) -> Ruling {
    let compiled = compiled(source);
    compiled.rule(&book(&compiled), question)
}

/// The verdict in a few words: `allow`, `hold RULE`, `deny POLICY`, `-` for no permit, `error`.
fn said(ruling: &Ruling) -> String {
    match ruling.verdict() {
        Verdict::Allow => "allow".into(),
        Verdict::Deny(Denial::NoPermit) => "-".into(),
        Verdict::Deny(Denial::Undecidable(errors)) => format!("error {}", errors.join("; ")),
        Verdict::Deny(Denial::Forbidden(policies)) => {
            let ids: Vec<&str> = policies.iter().map(|policy| policy.id.as_str()).collect();
            format!("deny {}", ids.join(", "))
        }
        Verdict::Hold(gates) => {
            let rules: Vec<&str> = gates.iter().map(|gate| gate.rule.as_str()).collect();
            format!("hold {}", rules.join(", "))
        }
    }
}
