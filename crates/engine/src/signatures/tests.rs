//! Signed approvals as an auditor checks them, and everything that a forger might try.

use std::collections::BTreeMap;

use countersign_core::action::challenge;
use countersign_core::envelope::Terms;
use countersign_core::{RequestId, Span};
use countersign_ledger::VerifierKey;
use countersign_ledger::content::Record;
use countersign_ledger::export::{self, CONTENT_PATH};
use countersign_ledger::verify::{Layout, Options, Outcome, verify};
use serde_json::{Value, json};

use super::{AssertionContent, Checker, Tally, check};
use crate::line::read;
use crate::store::Store as _;
use crate::tests::passkeys::Device;
use crate::tests::signing::{house, signed};
use crate::tests::{Bench, until};
use crate::webauthn::tests::Keys;
use crate::{Means, PasskeyShown};

/// What an export has: lines, and what is disclosed of them.
#[derive(Clone)]
struct Told {
    lines: Vec<Value>,
    contents: BTreeMap<u64, Vec<Record>>,
}

impl Told {
    fn of(bench: &Bench) -> Self {
        let (mut lines, mut contents) = (Vec::new(), BTreeMap::new());
        for stored in bench.store.read(0, 10_000).unwrap() {
            let line = read(stored.bytes.clone()).unwrap();
            let kept = bench.engine.0.house.contents_of(&line).into_iter();
            let records = kept.map(|kept| Record {
                seq: line.index,
                field: kept.at,
                kind: kept.kind,
                salt: kept.salt,
                bytes: kept.bytes,
            });
            contents.insert(line.index, records.collect());
            lines.push(serde_json::from_slice(&stored.bytes).unwrap());
        }
        Self { lines, contents }
    }

    fn look(&self) -> (Tally, Vec<String>) {
        let (mut checker, mut found) = (Checker::default(), Vec::new());
        for line in &self.lines {
            let index = line["seq"].as_u64().unwrap();
            let bytes = serde_json::to_vec(line).unwrap();
            let contents = self.contents.get(&index).map(Vec::as_slice).unwrap_or_default();
            if let Err(fault) = checker.line(index, &bytes, contents) {
                found.push(fault.what);
            }
        }
        (checker.tally, found)
    }

    /// The line of this type that comes as the `nth`.
    fn line(&mut self, kind: &str, nth: usize) -> &mut Value {
        self.lines.iter_mut().filter(|line| line["type"] == kind).nth(nth).unwrap()
    }

    fn at(&mut self, kind: &str, nth: usize) -> u64 {
        self.line(kind, nth)["seq"].as_u64().unwrap()
    }

    /// The assertion of the `nth` yes.
    fn assertion(&mut self, nth: usize) -> &mut Vec<u8> {
        let at = self.at("decision.approved", nth);
        let records = self.contents.get_mut(&at).unwrap();
        &mut records.iter_mut().find(|record| record.field == "/data/signature/assertion").unwrap().bytes
    }

    fn without(mut self, kind: &str, nth: usize) -> Self {
        let at = self.at(kind, nth);
        self.lines.retain(|line| line["seq"] != at);
        self
    }
}

/// Two requests, each approved with a signature by bob.
async fn story() -> (Bench, Device, [RequestId; 2]) {
    let (bench, device, bob) = house().await;
    let ids = [bench.ask("alice", "shop-writer").await, bench.ask("alice", "shop-reader").await];
    for id in ids {
        let yes = signed(&bench, &device, &bob, (id, Terms::default())).await;
        bench.engine.approve_as(&bob, id, yes).await.unwrap();
    }
    (bench, device, ids)
}

fn content(shown: &PasskeyShown) -> Vec<u8> {
    AssertionContent::of(shown).canonical()
}

const SITE: (&str, &str) = ("localhost", "http://localhost:8443");

#[tokio::test]
async fn signed_approvals_hold() {
    let (bench, _, _) = story().await;
    assert_eq!(Told::of(&bench).look(), (Tally { held: 2, undisclosed: 0 }, vec![]));
}

#[tokio::test]
async fn an_assertion_that_was_tampered_with_is_found_and_named() {
    let (bench, device, ids) = story().await;
    let told = Told::of(&bench);
    let request = |id| bench.engine.snapshot().book.request(id).unwrap().clone();
    let first = request(ids[0]);
    let due = first.challenge(&Terms::default()).0;
    let rules: Vec<_> = first.gates.iter().map(|gate| gate.rule_hash).collect();
    let deny = challenge(&first.digest, "deny", b"{}", &rules).0;
    let forged = Device::new(Keys::p256(), b"credential of bob");
    let other = request(ids[1]).challenge(&Terms::default()).0;
    let of_second = format!("it is of another request: `{}`", ids[1]);
    let cases: [(PasskeyShown, &str); 8] = [
        (forged.show_at(&due, 0x05, SITE), "the signature is not right"),
        (device.show_at(&other, 0x05, SITE), &of_second),
        (device.show_at(&deny, 0x05, SITE), "it is of another verdict: a no"),
        (device.show_at(&[7; 32], 0x05, SITE), "it is of another request, another verdict, or other bounds"),
        (device.show_at(&due, 0x01, SITE), "the authenticator did not make sure who is there"),
        (device.show_at(&due, 0x04, SITE), "the authenticator did not make sure who is there"),
        (
            device.show_at(&due, 0x05, ("localhost", "https://evil.example")),
            "it was made at `https://evil.example`",
        ),
        (device.show_at(&due, 0x05, ("evil.example", SITE.1)), "it was made for another site"),
    ];
    for (shown, why) in cases {
        let mut changed = told.clone();
        *changed.assertion(0) = content(&shown);
        let (tally, found) = changed.look();
        assert_eq!((tally.held, found.len()), (1, 1), "{found:?}");
        let named = format!("the signature of `bob` under `{}`: {why}", ids[0]);
        assert!(found[0].starts_with(&named), "{found:?} is not {named}");
    }
    for at in [0, 40, 200] {
        let mut changed = told.clone();
        let bytes = changed.assertion(0);
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert_eq!(changed.look().1.len(), 1, "byte {at}");
    }
}

#[tokio::test]
async fn a_line_that_was_tampered_with_is_found_and_named() {
    let (bench, _, ids) = story().await;
    let told = Told::of(&bench);
    let look = |told: Told| told.look().1;
    let mut changed = told.clone();
    changed.line("decision.approved", 0)["actor"] = json!("bea");
    assert_eq!(look(changed)[0], "the yes of `bea` is signed with a passkey of `bob`");
    let mut changed = told.clone();
    changed.line("decision.approved", 0)["data"].as_object_mut().unwrap().remove("signature");
    let found = look(changed);
    assert_eq!(found[0], format!("the yes of `bob` to `{}` is not signed, and its rules want that", ids[0]));
    assert!(found[1].contains("with 0 signed yes of the 1"), "{found:?}");
    let found = look(told.clone().without("decision.approved", 0));
    assert_eq!(
        found,
        [format!("`{}` counts as approved with 0 signed yes of the 1 that its rules want", ids[0])]
    );
    let found = look(told.clone().without("authenticator.bound", 0));
    assert!(found.len() == 2 && found.iter().all(|what| what.contains("which no line binds")), "{found:?}");
    let mut changed = told.clone();
    changed.line("request.created", 0)["digest"] = json!("ab".repeat(32));
    let found = look(changed);
    assert!(found[0].contains("does not have the digest that is signed"), "{found:?}");
    assert!(found[1].contains("another request, another verdict"), "{found:?}");
    let mut changed = told.clone();
    let at = changed.at("request.created", 0);
    let record = &mut changed.contents.get_mut(&at).unwrap()[0];
    let text = String::from_utf8(record.bytes.clone()).unwrap();
    assert!(text.contains("shop-writer"));
    record.bytes = text.replace("shop-writer", "shop-reader").into_bytes();
    assert!(look(changed)[0].contains("does not have the digest that is signed"));
    // Another key in the place of the one that was bound, or as another of the same name.
    let mut changed = told.clone();
    let key = changed.line("authenticator.bound", 0)["data"]["key"].as_str().unwrap().to_owned();
    changed.line("authenticator.bound", 0)["data"]["key"] = json!(key.replace(&key[60..64], "AAAA"));
    assert_eq!(look(changed).len(), 2);
    let mut changed = told.clone();
    let twice = changed.line("authenticator.bound", 0).clone();
    changed.lines.insert(3, twice);
    assert!(look(changed)[0].contains("is bound twice"));
}

#[tokio::test]
async fn a_passkey_that_was_taken_away_signs_nothing_more() {
    let (bench, mut device, _) = story().await;
    let strong = bench.caller_with("bob", &[Means::Passkey]);
    let bound = bench.engine.authenticators(&strong).await.unwrap();
    bench.engine.unbind(&strong, bound[0].id.unwrap()).await.unwrap();
    assert_eq!(Told::of(&bench).look().1, Vec::<String>::new(), "what it signed before holds");
    let mut changed = Told::of(&bench);
    let mut gone = changed.line("authenticator.revoked", 0).clone();
    gone["seq"] = json!(5);
    let at = changed.lines.iter().position(|line| line["type"] == "decision.approved").unwrap();
    changed.lines.insert(at, gone.clone());
    let found = changed.look().1;
    assert!(found[0].ends_with("a passkey that entry 5 took away"), "{found:?}");
    // Reset by somebody else: everything of that account, and of no other.
    device.bind(&bench, &bench.caller("bea")).await;
    let mut changed = Told::of(&bench);
    for (subject, faults) in [("bob", 2), ("bea", 0)] {
        gone["subject"] = json!(subject);
        gone["data"].as_object_mut().unwrap().remove("authenticator");
        changed.lines[at] = gone.clone();
        let found = changed.look().1;
        let taken = found.iter().filter(|what| what.contains("took away")).count();
        assert!(taken + 1 >= faults && (faults > 0 || taken == 0), "{subject}: {found:?}");
    }
}

#[tokio::test]
async fn an_export_is_checked_with_its_signatures() {
    let (bench, device, _) = story().await;
    let size = bench.store.next_index().unwrap();
    until(|| {
        bench.clock.advance(Span::seconds(1));
        bench.engine.ledger_state().published >= size
    })
    .await;
    let key: VerifierKey = bench.engine.vkey().parse().unwrap();
    let note = bench.engine.checkpoint().unwrap();
    let published = bench.engine.ledger_state().published;
    let entries = bench.store.read(0, usize::try_from(published).unwrap()).unwrap();
    let entries = entries.into_iter().map(|line| line.bytes);
    let mut files: BTreeMap<String, Vec<u8>> = export::files(entries, &note, &key)
        .unwrap()
        .into_iter()
        .map(|file| (file.path, file.bytes))
        .collect();
    let look = |files: &BTreeMap<String, Vec<u8>>| {
        let keys = [key.clone()];
        let mut report = verify(files, &Options { keys: &keys, retained: None, layout: Layout::Export });
        let tally = check(files, &mut report);
        (tally, report.outcome(), report.findings)
    };
    let (tally, outcome, found) = look(&files);
    assert_eq!((tally, outcome), (Tally { held: 0, undisclosed: 2 }, Outcome::Proved), "{found:?}");
    let content = bench.engine.export_content(&bench.caller("bob"), 0..published).await.unwrap();
    disclose(&mut files, &content);
    let (tally, outcome, found) = look(&files);
    assert_eq!((tally, outcome), (Tally { held: 2, undisclosed: 0 }, Outcome::Proved), "{found:?}");
    // Another assertion in the place of the one that was committed to is found twice over.
    let mut records: Vec<Record> = content
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| Record::parse(line).unwrap())
        .collect();
    let signature = records.iter_mut().find(|record| record.kind == "approval.assertion").unwrap();
    signature.bytes = AssertionContent::of(&device.show_at(&[1; 32], 0x05, SITE)).canonical();
    let changed: Vec<u8> =
        records.iter().flat_map(|record| [record.to_line().unwrap(), b"\n".to_vec()].concat()).collect();
    disclose(&mut files, &changed);
    let (tally, outcome, found) = look(&files);
    assert_eq!((tally.held, outcome, found.len()), (1, Outcome::Broken, 2), "{found:?}");
}

fn disclose(files: &mut BTreeMap<String, Vec<u8>>, content: &[u8]) {
    let hash = countersign_ledger::Hash(countersign_core::action::hash(&[content]).0);
    let stated = export::content_hash_file(&hash);
    files.insert(stated.path, stated.bytes);
    files.insert(CONTENT_PATH.to_owned(), content.to_vec());
}
