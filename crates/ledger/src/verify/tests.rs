//! Every kind of tampering, tried on small exports.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::content::{self, Record};
use crate::export::{self, CHECKPOINT_PATH, CONTENT_PATH, VKEY_PATH};
use crate::hash::Hash;
use crate::jcs;
use crate::line::{self, Header, Ts};
use crate::note::tests::signer;
use crate::note::{Ed25519Signer, Sign as _};
use crate::tile::{self, Kind, Tile};
use crate::tree::Frontier;

const ORIGIN: &str = "log.example/1";
const SALT: [u8; 16] = [7; 16];

type Files = BTreeMap<String, Vec<u8>>;

fn ours() -> Ed25519Signer {
    signer(ORIGIN, 1)
}

fn ts(second: i64) -> Ts {
    Ts::from_micros((1_772_530_200 + second) * 1_000_000).unwrap()
}

fn reason(seq: u64) -> Vec<u8> {
    format!("because of {seq}").into_bytes()
}

/// The lines of a log, as the ledger writes them; every third commits to a reason.
fn lines(count: u64) -> Vec<Vec<u8>> {
    lines_at((0..count).map(|seq| seq as i64))
}

fn lines_at(seconds: impl Iterator<Item = i64>) -> Vec<Vec<u8>> {
    let (mut prev, mut lines) = (Hash::empty(), Vec::new());
    for (seq, second) in (0..).zip(seconds) {
        let mut body = Map::from_iter([("type".to_owned(), json!("request.created"))]);
        if seq % 3 == 0 {
            body.insert(
                "reason".to_owned(),
                json!(content::commit(&SALT, "reason", &reason(seq)).to_string()),
            );
        }
        let line = line::seal(body, &Header { seq, prev, ts: ts(second) }).unwrap();
        prev = Hash::leaf(&line);
        lines.push(line);
    }
    lines
}

fn head(lines: &[Vec<u8>]) -> Checkpoint {
    let root = Frontier::from_leaves(lines.iter().map(|line| Hash::leaf(line))).root();
    Checkpoint { origin: ORIGIN.to_owned(), size: lines.len() as u64, root }
}

fn signed(lines: &[Vec<u8>]) -> Vec<u8> {
    head(lines).sign(&[&ours()]).unwrap().into_bytes()
}

/// An export of these entries, whatever they are, in which everything agrees: what somebody with the key can
/// make.
fn export_of(lines: &[Vec<u8>]) -> Files {
    let checkpoint = String::from_utf8(signed(lines)).unwrap();
    let files = export::files(lines, &checkpoint, ours().key()).unwrap();
    files.into_iter().map(|file| (file.path, file.bytes)).collect()
}

fn export_with_content(count: u64) -> Files {
    let mut files = export_of(&lines(count));
    let mut text = Vec::new();
    for seq in (0..count).step_by(3) {
        let kind = "reason".to_owned();
        let record = Record { seq, field: "/reason".to_owned(), kind, salt: SALT, bytes: reason(seq) };
        text.extend(record.to_line().unwrap());
        text.push(b'\n');
    }
    let hash = export::content_hash_file(&Hash::of(&[&text]));
    files.insert(hash.path, hash.bytes);
    files.insert(CONTENT_PATH.to_owned(), text);
    files
}

fn look(files: &Files) -> Report {
    verify(files, &Options { keys: &[ours().key().clone()], ..Options::default() })
}

fn look_without_key(files: &Files) -> Report {
    verify(files, &Options::default())
}

fn look_with_retained(files: &Files, retained: &[u8]) -> Report {
    verify(files, &Options { keys: &[ours().key().clone()], retained: Some(retained), ..Options::default() })
}

/// What was found, as `kind path[, entry]`.
fn found(report: &Report) -> Vec<String> {
    report.findings.iter().map(|finding| format!("{:?} {}", finding.kind, finding.place)).collect()
}

#[test]
fn whole_exports_are_proved() {
    for count in [0, 1, 2, 3, 10, 255, 256, 257, 600] {
        let files = export_with_content(count);
        let report = look(&files);
        assert_eq!((report.outcome(), found(&report)), (Outcome::Proved, vec![]), "{count}");
        assert_eq!((report.size, report.entries_read), (count, count));
        assert_eq!(report.contents_held, count.div_ceil(3));
        assert_eq!(
            report.tiles_compared as usize,
            tile::written_by_growth(0, count).filter(|tile| tile.kind != Kind::Entries).count()
        );
        assert_eq!(report.root, Some(head(&lines(count)).root));
        assert_eq!(report.origin.as_deref(), Some(ORIGIN));
        assert_eq!((report.key, report.files_listed), (KeyStatus::Authenticated, true));
        let report = look_without_key(&files);
        assert_eq!((report.outcome(), report.key), (Outcome::Proved, KeyStatus::Copy));
        assert_eq!(report.outcome().exit_code(), 0);
    }
}

#[test]
fn three_levels_of_tiles() {
    let lines = lines(66_000);
    let files = export_of(&lines);
    let report = look_with_retained(&files, &signed(&lines[..65_537]));
    assert_eq!(
        (report.outcome(), report.grown_from, report.entries_read),
        (Outcome::Proved, Some(65_537), 66_000)
    );
    for (path, at, entry) in
        [("tile/1/000", 32 * 5, 256 * 5), ("tile/1/001.p/1", 0, 65_536), ("tile/2/000.p/1", 0, 0)]
    {
        let mut files = files.clone();
        files.get_mut(path).unwrap()[at] ^= 1;
        assert_eq!(found(&look(&files)), [format!("Mismatch {path}, entry {entry}")]);
    }
}

/// Every byte of every file, changed in one bit, and every file cut at every length.
#[test]
fn every_changed_byte_is_found() {
    let files = export_with_content(7);
    for (path, bytes) in &files {
        for at in 0..bytes.len() {
            let mut changed = files.clone();
            changed.get_mut(path).unwrap()[at] ^= 1 << (at % 8);
            for report in [look(&changed), look_without_key(&changed)] {
                assert_eq!(report.outcome(), Outcome::Broken, "{path}, byte {at}");
                assert!(!report.findings.is_empty());
            }
        }
        for length in 0..bytes.len() {
            let mut cut = files.clone();
            cut.get_mut(path).unwrap().truncate(length);
            assert_eq!(look(&cut).outcome(), Outcome::Broken, "{path}, cut at {length}");
        }
        let mut longer = files.clone();
        longer.get_mut(path).unwrap().push(b'\n');
        assert_eq!(look(&longer).outcome(), Outcome::Broken, "{path}, longer");
    }
}

#[test]
fn every_deleted_or_added_file_is_found() {
    let files = export_of(&lines(600));
    for path in files.keys() {
        let mut fewer = files.clone();
        fewer.remove(path);
        let report = look(&fewer);
        assert_eq!(report.outcome(), Outcome::Broken, "{path}");
        assert!(found(&report).contains(&format!("Missing {path}")), "{path}: {:?}", found(&report));
    }
    for added in [
        "tile/0/003",
        "tile/0/000.p/7",
        "tile/entries/002.p/90",
        "tile/entries/002",
        "tile/2/000.p/1",
        "notes.txt",
        "tile",
    ] {
        let mut more = files.clone();
        more.insert(added.to_owned(), b"x".to_vec());
        assert_eq!(found(&look(&more)), [format!("Unexpected {added}")]);
    }
}

#[test]
fn a_changed_entry_is_named() {
    let mut files = export_of(&lines(300));
    let bundle = files.get_mut("tile/entries/000").unwrap();
    let at = bundle.windows(9).position(|window| window == b"\"seq\":40,").unwrap();
    bundle[at + 6] = b'5';
    let report = look(&files);
    assert_eq!(
        found(&report),
        [
            "Mismatch tile/entries/000, entry 40",
            "Order tile/entries/000, entry 40",
            "Chain tile/entries/000, entry 41",
            "Mismatch tile/1/000.p/1, entry 0",
            "Mismatch checkpoint",
        ]
    );
    assert_eq!(
        report.findings[1].to_string(),
        "tile/entries/000, entry 40: the line says that it is entry 50 (entries were removed, added or reordered)"
    );
    assert_eq!(report.outcome().exit_code(), 1);
}

/// Entries deleted, swapped or cut by somebody without the key, who makes everything else agree with it.
#[test]
fn deletion_truncation_and_reordering_are_found() {
    let whole = lines(20);
    let true_checkpoint = signed(&whole);
    let mut cases: Vec<(&str, Vec<Vec<u8>>)> = Vec::new();
    for (name, at) in [("first", 0), ("middle", 9), ("newest", 19)] {
        let mut fewer = whole.clone();
        fewer.remove(at);
        cases.push((name, fewer));
    }
    cases.push(("truncated", whole[..5].to_vec()));
    cases.push(("emptied", Vec::new()));
    let mut swapped = whole.clone();
    swapped.swap(7, 8);
    cases.push(("swapped", swapped));
    cases.push(("reversed", whole.iter().rev().cloned().collect()));
    cases.push(("repeated", [&whole[..10], &whole[9..]].concat()));
    for (name, tampered) in cases {
        // With the true checkpoint, the tiles do not fit it.
        let mut files = export_of(&tampered);
        files.insert(CHECKPOINT_PATH.to_owned(), true_checkpoint.clone());
        assert_eq!(look(&files).outcome(), Outcome::Broken, "{name}");
        // Only the bundle is exchanged: the hashes say which entries.
        let mut files = export_of(&whole);
        files.insert("tile/entries/000.p/20".to_owned(), tile::encode_entries(&tampered).unwrap());
        let report = look(&files);
        assert_eq!(report.outcome(), Outcome::Broken, "{name}");
        assert!(found(&report).iter().any(|finding| finding.contains("tile/entries/000.p/20")), "{name}");
        // With a stolen key everything is signed anew; the retained checkpoint tells.
        let files = export_of(&tampered);
        let report = look_with_retained(&files, &true_checkpoint);
        let kinds: BTreeSet<FindingKind> = report.findings.iter().map(|finding| finding.kind).collect();
        let due = if tampered.len() < whole.len() { FindingKind::Rollback } else { FindingKind::Fork };
        assert_eq!(report.outcome(), Outcome::Broken, "{name}");
        assert!(kinds.contains(&due), "{name}: {kinds:?}");
    }
}

#[test]
fn a_deleted_middle_entry_is_named() {
    let whole = lines(6);
    let mut files = export_of(&whole);
    let fewer = [&whole[..2], &whole[3..]].concat();
    files.insert("tile/entries/000.p/6".to_owned(), tile::encode_entries(&fewer).unwrap());
    let report = look(&files);
    assert_eq!(
        found(&report)[..4],
        [
            "Malformed tile/entries/000.p/6",
            "Mismatch tile/entries/000.p/6, entry 2",
            "Order tile/entries/000.p/6, entry 2",
            "Chain tile/entries/000.p/6, entry 2",
        ]
    );
    assert_eq!(report.findings[0].what, "5 entries where 6 are due");
}

#[test]
fn a_gap_does_not_stop_the_looking() {
    let whole = lines(700);
    let mut files = export_of(&whole);
    files.remove("tile/entries/000");
    // The hash tile stands in, so the root is still proved and only the deletion is reported.
    assert_eq!(found(&look(&files)), ["Missing tile/entries/000"]);
    files.remove("tile/0/000");
    let bundle = files.get_mut("tile/entries/001").unwrap();
    let last = bundle.len() - 1;
    bundle[last] ^= 1;
    assert_eq!(
        found(&look(&files)),
        [
            "Missing tile/0/000",
            "Missing tile/entries/000",
            "Mismatch tile/entries/001, entry 511",
            "Malformed tile/entries/001, entry 511",
            "Chain tile/entries/002.p/188, entry 512"
        ]
    );
    files.get_mut("tile/1/000.p/2").unwrap().pop();
    assert!(found(&look(&files)).contains(&"Malformed tile/1/000.p/2".to_owned()));
}

#[test]
fn forks_and_rollbacks_are_told_apart_by_a_retained_checkpoint() {
    let (whole, mut forked) = (lines(30), lines(12));
    forked.extend(lines_at((0..30).map(|second| second * 2)).split_off(12));
    let files = export_of(&whole);
    let grown = look_with_retained(&files, &signed(&whole[..12]));
    assert_eq!((grown.outcome(), grown.grown_from), (Outcome::Proved, Some(12)));
    for size in [0, 1, 29, 30] {
        assert_eq!(look_with_retained(&files, &signed(&whole[..size])).grown_from, Some(size as u64));
    }
    for (retained, kind, what) in [
        (signed(&forked), FindingKind::Fork, "two roots for 30 entries: the log forked"),
        (
            signed(&forked[..13]),
            FindingKind::Fork,
            "the first 13 entries are not those that were there before",
        ),
        (signed(&lines(31)), FindingKind::Rollback, "the log has 30 entries, it had 31 before"),
    ] {
        let report = look_with_retained(&files, &retained);
        let found: Vec<_> =
            report.findings.iter().map(|finding| (finding.kind, finding.what.as_str())).collect();
        assert_eq!((found, report.grown_from), (vec![(kind, what)], None));
        assert_eq!(report.outcome(), Outcome::Broken);
    }
}

#[test]
fn a_restored_backup_is_a_rollback() {
    let whole = lines(50);
    let report = look_with_retained(&export_of(&whole[..40]), &signed(&whole));
    assert_eq!(found(&report), ["Rollback checkpoint"]);
}

#[test]
fn an_unsigned_malformed_or_missing_checkpoint_is_broken() {
    let files = export_of(&lines(5));
    let note = String::from_utf8(files[CHECKPOINT_PATH].clone()).unwrap();
    let unsigned = head(&lines(5)).to_text();
    for text in [
        unsigned.clone(),
        format!("{unsigned}\n"),
        String::new(),
        note.replace("\n5\n", "\n05\n"),
        note.replace('\n', "\r\n"),
    ] {
        let mut files = files.clone();
        files.insert(CHECKPOINT_PATH.to_owned(), text.into_bytes());
        for report in [look(&files), look_without_key(&files)] {
            assert_eq!(
                (report.outcome(), found(&report)),
                (Outcome::Broken, vec!["Malformed checkpoint".to_owned()])
            );
        }
    }
    let mut files = files.clone();
    files.remove(CHECKPOINT_PATH);
    assert_eq!(found(&look(&files)), ["Missing checkpoint"]);
    assert_eq!(look(&Files::new()).outcome(), Outcome::Broken, "an empty folder proves nothing");
}

#[test]
fn another_key_is_found() {
    let whole = lines(5);
    let thief = signer(ORIGIN, 66);
    let checkpoint = head(&whole).sign(&[&thief]).unwrap();
    let files: Files = export::files(&whole, &checkpoint, thief.key())
        .unwrap()
        .into_iter()
        .map(|file| (file.path, file.bytes))
        .collect();
    let report = look(&files);
    assert_eq!(
        (report.outcome(), found(&report), report.key),
        (Outcome::Broken, vec!["Signature checkpoint".to_owned()], KeyStatus::Unknown)
    );
    // Without the key nothing is wrong in itself, and the report says what was not known.
    let report = look_without_key(&files);
    assert_eq!((report.outcome(), report.key), (Outcome::Proved, KeyStatus::Copy));
    // A checkpoint kept from before shows the other key even then.
    let retained = signed(&whole);
    let report = verify(&files, &Options { retained: Some(&retained), ..Options::default() });
    assert_eq!(
        (report.outcome(), found(&report)),
        (Outcome::Broken, vec!["Signature retained checkpoint".to_owned()])
    );
    // The true checkpoint beside a false copy of the key.
    let mut files = export_of(&whole);
    files.insert(VKEY_PATH.to_owned(), format!("{}\n", thief.key()).into_bytes());
    assert_eq!(found(&look(&files)), ["Mismatch vkey", "Mismatch README.txt"]);
    assert_eq!(found(&look_without_key(&files)), ["Signature checkpoint", "Mismatch README.txt"]);
}

#[test]
fn a_key_rotation_is_no_finding() {
    let (whole, next) = (lines(5), signer(ORIGIN, 2));
    let checkpoint = head(&whole).sign(&[&ours(), &next]).unwrap();
    let files: Files = export::files(&whole, &checkpoint, next.key())
        .unwrap()
        .into_iter()
        .map(|file| (file.path, file.bytes))
        .collect();
    for keys in
        [&[ours().key().clone()][..], &[next.key().clone()], &[ours().key().clone(), next.key().clone()]]
    {
        assert_eq!(verify(&files, &Options { keys, ..Options::default() }).outcome(), Outcome::Proved);
    }
}

#[test]
fn another_log_is_found() {
    let whole = lines(5);
    let other = Checkpoint { origin: "log.example/2".to_owned(), ..head(&whole) };
    let retained = other.sign(&[&signer("log.example/2", 1), &ours()]).unwrap();
    let report = verify(
        &export_of(&whole),
        &Options {
            keys: &[signer("log.example/2", 1).key().clone()],
            retained: Some(retained.as_bytes()),
            ..Options::default()
        },
    );
    assert!(found(&report).contains(&"Fork checkpoint".to_owned()), "{:?}", found(&report));
    assert_eq!(report.outcome(), Outcome::Broken);
}

#[test]
fn a_useless_retained_checkpoint_is_a_wrong_argument() {
    let files = export_of(&lines(5));
    for useless in [
        b"".to_vec(),
        b"nonsense".to_vec(),
        head(&lines(5)).sign(&[&signer(ORIGIN, 9)]).unwrap().into_bytes(),
    ] {
        let report = look_with_retained(&files, &useless);
        assert_eq!((report.outcome(), report.outcome().exit_code()), (Outcome::Unchecked, 2));
        assert_eq!(found(&report), ["Retained retained checkpoint"]);
    }
}

/// The writer itself, or whoever has its key, sets the clock back: everything agrees but the instants.
#[test]
fn a_clock_set_back_is_found() {
    let files = export_of(&lines_at([0, 1, 2, 3, 3, 1, 2, 4, 5].into_iter()));
    let report = look(&files);
    assert_eq!(found(&report), ["Clock tile/entries/000.p/9, entry 5"]);
    assert_eq!(
        report.findings[0].what,
        "the line is of 2026-03-03T09:30:01.000000Z, the one before it of 2026-03-03T09:30:03.000000Z"
    );
}

/// Lines that a lenient reader takes for good ones, in a log that is otherwise whole and signed.
#[test]
fn ambiguous_encodings_are_found() {
    let good = lines(3);
    let text = String::from_utf8(good[2].clone()).unwrap();
    for ambiguous in [
        text.replace("\"seq\":2", "\"seq\": 2"),
        text.replace("\"seq\":2", "\"seq\":2.0"),
        text.replace("\"seq\":2", "\"seq\":2,\"seq\":2"),
        text.replace("\"seq\":2", "\"seq\":9,\"seq\":2"),
        text.replace("request", "re\\u0071uest"),
        text.replace("\"seq\":2,", "").replace('{', "{\"seq\":2,"),
        format!("{text}\n"),
        format!("\u{feff}{text}"),
        format!("{text}{text}"),
        "[]".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        let files = export_of(&[good[0].clone(), good[1].clone(), ambiguous.clone().into_bytes()]);
        let report = look(&files);
        assert_eq!(found(&report), ["Malformed tile/entries/000.p/3, entry 2"], "{ambiguous}");
    }
}

#[test]
fn lines_of_a_dishonest_writer_are_found() {
    let good = lines(4);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut line: Value = serde_json::from_slice(&good[2]).unwrap();
        change(&mut line);
        let mut lines = good.clone();
        lines[2] = jcs::encode(&line).unwrap();
        found(&look(&export_of(&lines)))
    };
    let chain_breaks_after = "Chain tile/entries/000.p/4, entry 3".to_owned();
    assert_eq!(
        with(&|line| line["seq"] = json!(7)),
        ["Order tile/entries/000.p/4, entry 2", &chain_breaks_after]
    );
    let zero = "0".repeat(64);
    assert_eq!(
        with(&|line| line["prev"] = json!(zero)),
        ["Chain tile/entries/000.p/4, entry 2", &chain_breaks_after]
    );
    for field in ["seq", "prev", "ts"] {
        let found = with(&|line| drop(line.as_object_mut().unwrap().remove(field)));
        assert_eq!(found, ["Malformed tile/entries/000.p/4, entry 2", &chain_breaks_after]);
    }
    let mut first = good.clone();
    let mut line: Value = serde_json::from_slice(&good[0]).unwrap();
    line["prev"] = json!(zero);
    first[0] = jcs::encode(&line).unwrap();
    assert_eq!(
        found(&look(&export_of(&first)))[0],
        "Chain tile/entries/000.p/4, entry 0",
        "the first follows nothing"
    );
}

#[test]
fn content_is_checked_against_its_commitment() {
    let files = export_with_content(10);
    let text = String::from_utf8(files[CONTENT_PATH].clone()).unwrap();
    let with = |text: String| {
        let mut files = files.clone();
        let hash = export::content_hash_file(&Hash::of(&[text.as_bytes()]));
        files.insert(hash.path, hash.bytes);
        files.insert(CONTENT_PATH.to_owned(), text.into_bytes());
        let report = look(&files);
        (report.contents_held, found(&report))
    };
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(with(text.clone()), (4, vec![]));
    assert_eq!(
        with(text.replace("\"seq\":3", "\"seq\":4")),
        (3, vec!["Content content.jsonl, entry 4".to_owned()])
    );
    assert_eq!(
        with(text.replace("\"seq\":9", "\"seq\":10")),
        (3, vec!["Content content.jsonl, entry 10".to_owned()])
    );
    assert_eq!(with(text.replace("\"kind\":\"reason\"", "\"kind\":\"text\"")).0, 0);
    assert_eq!(
        with(format!("{}\n{}\n", lines[1], lines[0])),
        (2, vec!["Order content.jsonl, entry 0".to_owned()])
    );
    assert_eq!(
        with(format!("{}\n{}\n", lines[1], lines[1])),
        (2, vec!["Order content.jsonl, entry 3".to_owned()])
    );
    assert_eq!(with(format!("{}\n\n", lines[1])), (1, vec!["Malformed content.jsonl".to_owned()]));
    assert_eq!(with(lines[1].to_owned()), (0, vec!["Malformed content.jsonl".to_owned()]));
    assert_eq!(with(String::new()), (0, vec![]), "content may be erased");
    let endless = "x".repeat(content::RECORD_BYTES_MAX + 10);
    assert_eq!(with(endless), (0, vec!["Malformed content.jsonl".to_owned()]));
}

/// A server that has grown past the checkpoint: the partial tiles are gone, the full ones are there.
#[test]
fn a_log_that_grew_meanwhile_is_proved() {
    let whole = lines(600);
    let mut files = export_of(&whole);
    files.insert(CHECKPOINT_PATH.to_owned(), signed(&whole[..500]));
    files.remove(VKEY_PATH);
    let look = |files: &Files, layout| {
        verify(files, &Options { keys: &[ours().key().clone()], layout, ..Options::default() })
    };
    struct Unlisted<'a>(&'a Files);
    impl Source for Unlisted<'_> {
        fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
            self.0.read(path)
        }
    }
    let options = Options { keys: &[ours().key().clone()], layout: Layout::Log, ..Options::default() };
    files.insert("tile/1/000.p/1".to_owned(), files["tile/1/000.p/2"][..32].to_vec());
    let report = verify(&Unlisted(&files), &options);
    assert_eq!((report.outcome(), found(&report), report.files_listed), (Outcome::Proved, vec![], false));
    assert_eq!(look(&files, Layout::Export).outcome(), Outcome::Broken, "an export is complete in itself");
    files.get_mut("tile/entries/001").unwrap()[40] ^= 1;
    assert_eq!(found(&verify(&Unlisted(&files), &options))[0], "Mismatch tile/entries/001.p/244, entry 256");
}

/// An archive keeps the partial tiles of earlier checkpoints; they must be what the wider tile begins with.
#[test]
fn outgrown_partial_tiles_may_stay_if_they_agree() {
    let whole = lines(300);
    let mut files = export_of(&whole);
    for tile in tile::written_by_growth(0, 290) {
        files.entry(tile.to_string()).or_insert_with(|| export_of(&whole[..290])[&tile.to_string()].clone());
    }
    assert_eq!(found(&look(&files)), [] as [&str; 0]);
    for path in ["tile/0/001.p/34", "tile/entries/001.p/34"] {
        let mut files = files.clone();
        files.get_mut(path).unwrap()[20] ^= 1;
        assert_eq!(found(&look(&files)), [format!("Unexpected {path}")]);
    }
}

#[test]
fn what_cannot_be_read_is_not_called_broken() {
    struct Failing(Files, String);
    impl Source for Failing {
        fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
            if path == self.1 { Err(io::ErrorKind::TimedOut.into()) } else { self.0.read(path) }
        }
    }
    let files = export_with_content(300);
    for path in files.keys() {
        let mut source = Failing(files.clone(), path.clone());
        let report = verify(&source, &Options::default());
        assert_eq!((report.outcome(), report.outcome().exit_code()), (Outcome::Unchecked, 2), "{path}");
        assert!(found(&report).contains(&format!("Unreadable {path}")), "{path}");
        // Broken elsewhere stays broken.
        source.0.get_mut("tile/entries/000").unwrap()[50] ^= 1;
        let broken = path == CHECKPOINT_PATH || path == "tile/entries/000";
        assert_eq!(verify(&source, &Options::default()).outcome() == Outcome::Broken, !broken, "{path}");
    }
}

/// A hostile checkpoint states any size; neither time nor memory follows it.
#[test]
fn a_boundless_size_ends_soon() {
    let mut files = export_of(&lines(3));
    let boundless = Checkpoint { size: crate::tree::SIZE_MAX, ..head(&lines(3)) };
    files.insert(CHECKPOINT_PATH.to_owned(), boundless.sign(&[&ours()]).unwrap().into_bytes());
    let report = look(&files);
    assert_eq!(report.outcome(), Outcome::Broken);
    assert!(report.findings.len() < 200);
    assert!(report.findings.iter().any(|finding| finding.what.contains("64 bundles in a row are missing")));
}

#[test]
fn findings_are_counted_beyond_their_limit() {
    let bad = vec![b"x".to_vec(); 1_500];
    let report = look(&export_of(&bad));
    assert_eq!(report.findings.len(), FINDINGS_MAX);
    assert_eq!(report.findings_omitted, 500);
}

#[test]
fn a_report_is_data_too() {
    let mut files = export_of(&lines(3));
    files.remove("tile/0/000.p/3");
    let report = serde_json::to_value(look(&files)).unwrap();
    assert_eq!(report["outcome"], "broken");
    assert_eq!(report["key"], "authenticated");
    assert_eq!(report["findings"][0]["kind"], "missing");
    assert_eq!(report["findings"][0]["place"], json!({"path": "tile/0/000.p/3", "entry": null}));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any change to any one file of an export of any size is found.
    #[test]
    fn any_change_is_found(
        count in 1..700_u64,
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        change in 0..4_u8,
        byte: u8,
    ) {
        let mut files = export_of(&lines(count));
        let path = files.keys().nth(file.index(files.len())).unwrap().clone();
        let bytes = files.get_mut(&path).unwrap();
        let at = at.index(bytes.len());
        let before = bytes.clone();
        match change {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        prop_assume!(*bytes != before);
        let report = look(&files);
        prop_assert_eq!(report.outcome(), Outcome::Broken, "{} {}", path, at);
    }

    /// Whatever the files hold, the verifier answers.
    #[test]
    fn any_files_are_looked_at_without_panic(
        size in 0..2_000_u64,
        contents in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..600)), 0..8),
    ) {
        let mut files = export_of(&lines(3));
        let stated = Checkpoint { size: size + 1, ..head(&lines(3)) };
        files.insert(CHECKPOINT_PATH.to_owned(), stated.sign(&[&ours()]).unwrap().into_bytes());
        let tiles: Vec<Tile> = tile::written_by_growth(0, size + 1).collect();
        for (which, bytes) in contents {
            files.insert(tiles[which.index(tiles.len())].to_string(), bytes);
        }
        prop_assert!(look(&files).outcome() != Outcome::Unchecked);
    }
}
