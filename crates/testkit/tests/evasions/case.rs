//! The corpus as data: one file for each trick, one case for each way to play it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A trick.
pub struct File {
    pub name: String,
    pub cases: Vec<Case>,
    head: String,
}

#[derive(Deserialize, Serialize)]
struct Content {
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

/// One way to play it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Sent before it, each in a message of its own, judged and followed like it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// The text.
    pub sql: String,
    /// What it really does, in words.
    pub does: String,
    /// Whether it runs by itself rather than inside a transaction that is rolled back; its database is then thrown
    /// away. So does a case whose preparations define something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// Sent by Parse and Bind: the values of its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// The types that Parse declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<u32>,
    /// The account, if it is not the superuser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The first server version that the case makes sense on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u32>,
    /// Seen: the tables whose rows changed.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Seen: everything else that changed, by name: `catalogue`, `session`, `locks`, `sequence`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Seen: the server's error, if it refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The strictest kind that it is judged to be.
    #[serde(default)]
    pub judged: String,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub writes: Vec<String>,
    pub changes: Vec<String>,
    pub refused: Option<String>,
}

impl Case {
    pub fn since(&self) -> u32 {
        self.since.unwrap_or(0)
    }

    /// What makes it another case than others.
    pub fn identity(&self) -> String {
        format!("{:?} {} {:?} {:?} {:?}", self.before, self.sql, self.values, self.types, self.account)
    }

    pub fn renew(&mut self, seen: Seen, judged: &str) {
        Seen { writes: self.writes, changes: self.changes, refused: self.refused } = seen;
        judged.clone_into(&mut self.judged);
    }

    pub fn differs(&self, seen: &Seen, judged: &str) -> Option<String> {
        let said = Seen {
            writes: self.writes.clone(),
            changes: self.changes.clone(),
            refused: self.refused.clone(),
        };
        (said != *seen || self.judged != judged)
            .then(|| format!("said {said:?} {}, seen {seen:?} {judged}", self.judged))
    }
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/sql_evasions")
}

impl File {
    pub fn all() -> Vec<File> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let content: Content =
                    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let head =
                    text.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n");
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                files.push(File { name, cases: content.cases, head });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        files
    }

    pub fn write(&self) {
        let content = toml::to_string(&Content { cases: self.cases.clone() }).unwrap();
        std::fs::write(folder().join(format!("{}.toml", self.name)), format!("{}\n\n{content}", self.head))
            .unwrap();
    }
}
