//! Masked columns against a real server: whatever is asked, and in whatever form, no protected value reaches the client.
//!
//! The cases are data (`cases.toml`); each is asked in the simple protocol and in the extended one, with results in binary,
//! described and not described. What is compared is every byte that the gateway sends.

mod lifted;
#[path = "../postgres_hostile/raw.rs"]
#[allow(dead_code, reason = "the client says more than is said here")]
mod raw;
mod story;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use countersign_core::Span;
use countersign_testkit::House;
use countersign_wire::postgres::Format;
use countersign_wire::postgres::encode::client::{self, Binding};
use serde::Deserialize;

use raw::{Message, Raw};

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    sql: Texts,
    does: Does,
    #[serde(default)]
    shows: Option<String>,
    #[serde(default)]
    simple: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Does {
    Masked,
    Refused,
    Hidden,
    Clean,
    Done,
    Fails,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Simple,
    Binary,
    BinaryDescribed,
}

/// A house in which everything is permitted but to see what is masked.
pub(crate) async fn masking(change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<House> {
    let house = House::with(|files| {
        files.remove("statements.cedar");
        for (name, text) in &mut *files {
            if name == "roles.toml" {
                *text =
                    text.replace("\"sql.read\", \"sql.write\"", "\"sql.admin\", \"sql.read\", \"sql.write\"");
            }
            if name == "resources.toml" {
                text.push_str(include_str!("masks.toml"));
            }
        }
        change(files);
    })
    .await?;
    house.database.direct().await?.batch_execute(include_str!("schema.sql")).await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok(house)
}

/// Every form of a protected value that is looked for.
pub(crate) fn needles() -> Vec<(String, Vec<u8>)> {
    let texts = [
        "planted",
        "detnalp",
        "cGxhbnRlZ",
        "BsYW50ZW",
        "wbGFudGVk",
        "706c616e746564",
        "555123",
        "4929",
        "7318264519",
        "918273",
        "64738.25",
        "1928374",
        "2837465",
        "1973-11-29",
        "11-29",
        "06:05:04",
        "08-07",
        "9f1c2b3a-4d5e",
        "9f1c2b3a4d5e",
        "10.77.88.99",
    ];
    let mut needles: Vec<(String, Vec<u8>)> =
        texts.iter().map(|text| ((*text).to_owned(), text.to_ascii_lowercase().into_bytes())).collect();
    let mut binary = |name: &str, bytes: Vec<u8>| needles.push((format!("{name} in binary"), bytes));
    binary("salary", 7_318_264_519_i64.to_be_bytes().to_vec());
    binary("score", vec![0, 91, 32, 81, 17, 103]);
    binary("rate", 64_738.25_f64.to_be_bytes().to_vec());
    binary("grade", 1_928_374_655_i32.to_be_bytes().to_vec());
    binary("born", (-9_530_i32).to_be_bytes().to_vec());
    binary("token", vec![0x9f, 0x1c, 0x2b, 0x3a, 0x4d, 0x5e, 0x4f, 0x60]);
    binary("home", vec![10, 77, 88, 99]);
    binary("span", 2_837_465_i32.to_be_bytes().to_vec());
    needles
}

/// What of a protected value is in what a client was told.
pub(crate) fn found(said: &[Message], needles: &[(String, Vec<u8>)]) -> Option<String> {
    let holds = |body: &[u8], needle: &[u8]| {
        body.windows(needle.len()).any(|window| window == needle || window.eq_ignore_ascii_case(needle))
    };
    said.iter().find_map(|(tag, body)| {
        let needle = needles.iter().find(|(_, needle)| holds(body, needle))?;
        Some(format!("`{}` in {}: {}", needle.0, char::from(*tag), String::from_utf8_lossy(body)))
    })
}

async fn ask(client: &mut Raw, text: &str, mode: Mode) -> Result<Vec<Message>> {
    if mode == Mode::Simple {
        return client.query(text).ready().await;
    }
    let mut bind = bytes::BytesMut::new();
    client::bind(&mut bind, &Binding { result_formats: &[Format::Binary], ..Binding::default() })?;
    client.parse("", text).bytes(&bind);
    if mode == Mode::BinaryDescribed {
        client.describe_portal("");
    }
    client.execute("").sync().ready().await
}

async fn play(client: &mut Raw, case: &Case, mode: Mode) -> Result<Vec<Message>> {
    let mut said = Vec::new();
    match &case.sql {
        Texts::One(text) => {
            client.query("BEGIN").ready().await?;
            said.extend(ask(client, text, mode).await?);
        }
        Texts::Several(texts) => {
            for text in texts {
                said.extend(ask(client, text, mode).await?);
            }
        }
    }
    said.extend(client.query("ROLLBACK").ready().await?);
    Ok(said)
}

/// What is wrong with what came of a case, if anything.
fn fault(case: &Case, said: &[Message], needles: &[(String, Vec<u8>)]) -> Option<String> {
    if let Some(found) = found(said, needles) {
        return Some(format!("it shows {found}"));
    }
    let errors = raw::errors(said);
    let refused = errors.iter().any(|error| error.contains("masked"));
    let rows = said.iter().any(|(tag, _)| matches!(tag, b'D' | b'd'));
    let shown = case.shows.as_ref().is_none_or(|shows| {
        said.iter().any(|(_, body)| body.windows(shows.len()).any(|window| window == shows.as_bytes()))
    });
    let as_expected = match case.does {
        Does::Masked | Does::Clean => rows && errors.is_empty(),
        Does::Refused => refused,
        Does::Hidden => refused || errors.is_empty(),
        Does::Done => errors.is_empty(),
        Does::Fails => !errors.is_empty() && !refused,
    };
    if !as_expected {
        return Some(format!("it is not {:?}: rows {rows}, errors {errors:?}", case.does));
    }
    (!shown).then(|| format!("it does not show {:?}", case.shows))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_protected_value_reaches_the_client() -> Result<()> {
    let house = masking(|_| {}).await?;
    let Cases { case: cases } = toml::from_str(include_str!("cases.toml"))?;
    ensure!(cases.len() >= 200, "{} cases", cases.len());
    let needles = needles();
    let mut client = Raw::start(&house, "alice", &[]).await?;
    let (mut report, mut played) = (String::new(), 0);
    for case in &cases {
        let text = match &case.sql {
            Texts::One(text) => text.clone(),
            Texts::Several(texts) => texts.join("; "),
        };
        for mode in [Mode::Simple, Mode::Binary, Mode::BinaryDescribed] {
            if case.simple && mode != Mode::Simple {
                continue;
            }
            let wrong = match play(&mut client, case, mode).await {
                Ok(said) => fault(case, &said, &needles),
                Err(error) => {
                    client = Raw::start(&house, "alice", &[]).await?;
                    Some(format!("{error:#}"))
                }
            };
            played += 1;
            if let Some(wrong) = wrong {
                let wrong: String = wrong.chars().take(400).collect();
                let _ = writeln!(report, "{mode:?} {text}\n    {wrong}");
            }
        }
    }
    // The needles are found where nothing is masked, so that their absence says something.
    let direct = house.database.direct().await?;
    let copied: i64 =
        direct.query_one("SELECT count(*) FROM crm.log WHERE what LIKE '%planted%'", &[]).await?.get(0);
    let leaks: i64 =
        direct.query_one("SELECT count(*) FROM pg_class WHERE relname LIKE 'leak%'", &[]).await?.get(0);
    house.close().await;
    assert!(report.is_empty(), "of {played} plays:\n{report}");
    assert_eq!((copied, leaks), (0, 0), "nothing was copied elsewhere");
    Ok(())
}
