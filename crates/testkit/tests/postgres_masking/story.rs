//! Who sees what: policy decides, for each execution, by principal, column and label.

use anyhow::{Result, ensure};

use super::raw::{self, Message, Raw};
use super::{found, masking, needles};

fn shows(said: &[Message], text: &str) -> bool {
    said.iter().any(|(_, body)| body.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_says_who_sees_which_labels() -> Result<()> {
    let house = masking(|files| {
        files.insert(
            "unmask.cedar".to_owned(),
            "@id(\"alice-sees-personal-data\")\n\
             permit (principal == User::\"alice\", action == Action::\"sql.unmask\", resource)\n\
             when { context.labels.contains(\"personal\") && context.purpose == \"test\" };\n"
                .to_owned(),
        );
    })
    .await?;
    house.grant("carol", "shop-writer", countersign_core::Span::minutes(30)).await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    let mut carol = Raw::start(&house, "carol", &[]).await?;
    let question = "SELECT email, card FROM crm.people WHERE id = 1";
    let said = alice.query(question).ready().await?;
    assert!(shows(&said, "planted-1-kestrel@mail.example"), "{said:?}");
    assert!(!shows(&said, "4929") && shows(&said, "***"), "what has another label is masked: {said:?}");
    let said = alice.query("SELECT id FROM crm.people WHERE email LIKE 'planted-1-%'").ready().await?;
    assert!(raw::errors(&said).is_empty(), "{said:?}");
    let said = carol.query(question).ready().await?;
    assert_eq!(found(&said, &needles()), None);
    let said = carol.query("SELECT id FROM crm.people WHERE email LIKE 'planted-1-%'").ready().await?;
    assert!(raw::errors(&said).iter().any(|error| error.contains("`crm.people.email`")), "{said:?}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_of_equal_values_are_equal_in_every_form() -> Result<()> {
    let house = masking(|_| {}).await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    let values = |said: &[Message]| -> Vec<Vec<u8>> {
        said.iter().filter(|(tag, _)| *tag == b'D').map(|(_, body)| body.clone()).collect()
    };
    let said = alice.query("SELECT token FROM crm.people WHERE id <= 3").ready().await?;
    let rows = values(&said);
    ensure!(rows.len() == 3 && rows.iter().all(|row| *row == rows[0]), "equal values: {rows:?}");
    assert_eq!(rows[0].len(), 2 + 4 + 36, "shaped like a uuid");
    let said = alice.query("SELECT note FROM crm.people WHERE id <= 3").ready().await?;
    let notes = values(&said);
    ensure!(notes.iter().all(|row| *row == notes[0]), "{notes:?}");
    assert!(notes[0].ends_with(b"\"") && notes[0].len() == 2 + 4 + 34, "still JSON: {notes:?}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_may_be_recorded_and_what_is_computed_refused() -> Result<()> {
    let house = masking(|files| {
        if let Some(text) = files.get_mut("resources.toml") {
            *text = text.replacen(
                "[resource.shop.secrets]",
                "[resource.shop.masking]\nderived = \"refuse\"\nguessing = \"record\"\n\n[resource.shop.secrets]",
                1,
            );
        }
        files.insert(
            "guesses.cedar".to_owned(),
            "@id(\"no-guesses-at-mail\")\nforbid (principal, action in Action::\"sql\", resource)\n\
             when { context.verbs.contains(\"guess_masked\") && context.has_limit };\n"
                .to_owned(),
        );
    })
    .await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    let said =
        alice.query("SELECT id, email FROM crm.people WHERE card LIKE '4929%' AND id = 1").ready().await?;
    assert!(raw::errors(&said).is_empty() && found(&said, &needles()).is_none(), "{said:?}");
    let said = alice.query("SELECT id FROM crm.people WHERE card LIKE '4929%' LIMIT 1").ready().await?;
    assert!(!raw::errors(&said).is_empty(), "policies see that it guesses: {said:?}");
    let said = alice.query("SELECT upper(email) FROM crm.people WHERE id = 1").ready().await?;
    assert!(raw::errors(&said).iter().any(|error| error.contains("computed from")), "{said:?}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gives_itself_away_is_covered_everywhere() -> Result<()> {
    let house = masking(|files| {
        if let Some(text) = files.get_mut("resources.toml") {
            let start = text.find("[resource.shop.relation.\"crm.people\"]").unwrap_or(text.len());
            text.truncate(start);
            *text = text.replacen(
                "[resource.shop.secrets]",
                "[resource.shop.masking]\ndetect = [\"email\", \"card\", \"secret\"]\n\n[resource.shop.secrets]",
                1,
            );
        }
    })
    .await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    let said = alice.query("SELECT email, 'card 4111 1111 1111 1111', 4111111111111111, '{\"m\": \"a@b.com\"}'::json FROM crm.people WHERE id = 1").ready().await?;
    assert!(!shows(&said, "kestrel") && !shows(&said, "4111 1111") && !shows(&said, "a@b.com"), "{said:?}");
    assert!(
        shows(&said, "{\"m\": \"x@x.xxx\"}") && shows(&said, "4111111111111111"),
        "numbers stay: {said:?}"
    );
    let said = alice.query("COPY crm.people (id, email) TO STDOUT").ready().await?;
    assert!(!shows(&said, "kestrel") && said.iter().filter(|(tag, _)| *tag == b'd').count() == 200);
    let said = alice.query("SELECT crm.fail(1)").ready().await?;
    assert!(raw::errors(&said).iter().any(|error| error.starts_with("mail is ***")), "{said:?}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_values_are_covered_as_they_stream() -> Result<()> {
    let house = masking(|_| {}).await?;
    let direct = house.database.direct().await?;
    let long = "UPDATE crm.people SET secret = 'planted', name = repeat('n', 300000), doc = to_json(repeat('planted', 1000000)), \
                card = repeat('4929', 500000) WHERE id = 7";
    direct.batch_execute(long).await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    for question in [
        "SELECT card, name, doc, city FROM crm.people WHERE id IN (7, 8)",
        "SELECT name, doc, city, card FROM crm.people WHERE id IN (7, 8)",
        "COPY (SELECT card, name, doc, city FROM crm.people WHERE id IN (7, 8)) TO STDOUT",
    ] {
        let said = alice.query(question).ready().await?;
        assert_eq!(found(&said, &needles()), None, "{question}");
        assert!(raw::errors(&said).is_empty() && shows(&said, &"n".repeat(300_000)), "{question}");
        let rows = said.iter().filter(|(tag, _)| matches!(tag, b'D' | b'd')).count();
        assert_eq!(rows, 2, "{question}");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn portals_are_covered_in_portions() -> Result<()> {
    let house = masking(|_| {}).await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    alice.query("BEGIN").ready().await?;
    alice.parse("s", "SELECT email, id FROM crm.people ORDER BY id").bind("p", "s");
    alice.execute_some("p", 2).execute_some("p", 2).describe_portal("p").execute("p");
    let said = alice.sync().ready().await?;
    assert_eq!(found(&said, &needles()), None);
    assert!(raw::errors(&said).is_empty(), "{:?}", raw::errors(&said));
    assert_eq!(said.iter().filter(|(tag, _)| *tag == b'D').count(), 200);
    alice.query("ROLLBACK").ready().await?;
    house.close().await;
    Ok(())
}
