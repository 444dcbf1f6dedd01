//! The catalogue of the corpus's database, from its file or from a live server.

use std::path::PathBuf;
use std::sync::OnceLock;

use countersign_wire::sql::{Catalogue, CatalogueLoader, Parser, Section};

/// A version that the fixture was taken from.
pub const SERVER: u32 = 150_018;

pub fn corpus_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sql_corpus")
}

/// A thread with enough stack, for all tests.
pub fn parser() -> &'static Parser {
    static PARSER: OnceLock<Parser> = OnceLock::new();
    PARSER.get_or_init(|| Parser::threads(2).unwrap())
}

/// The catalogue as it is kept in `catalogue.txt`.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| {
        let text = std::fs::read_to_string(corpus_folder().join("catalogue.txt")).unwrap();
        parser().run(move || load(&text)).unwrap()
    })
}

/// Reads the sections of a catalogue: `# section` and then rows as COPY writes them.
pub fn load(text: &str) -> Catalogue {
    let mut loader = CatalogueLoader::new("corpus");
    let mut section = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            section = Section::ALL.into_iter().find(|s| heading(*s) == name);
            assert!(section.is_some(), "unknown section `{name}`");
            continue;
        }
        let columns: Vec<Option<String>> = line.split('\t').map(unescape).collect();
        let columns: Vec<Option<&str>> = columns.iter().map(Option::as_deref).collect();
        loader.row(section.expect("a section comes first"), &columns).unwrap();
    }
    loader.finish().unwrap()
}

pub fn heading(section: Section) -> String {
    format!("{section:?}")
}

fn unescape(column: &str) -> Option<String> {
    if column == "\\N" {
        return None;
    }
    let mut out = String::new();
    let mut chars = column.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('v') => '\u{b}',
                Some(other) => other,
                None => '\\',
            }),
            c => out.push(c),
        }
    }
    Some(out)
}
