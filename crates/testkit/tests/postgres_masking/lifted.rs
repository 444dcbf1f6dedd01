//! A mask that somebody lifts: for one column of one statement, once, and for nothing beside it.

use std::collections::BTreeMap;
use std::future::Future;

use anyhow::{Context as _, Result, ensure};
use countersign_engine::views::RequestView;
use countersign_testkit::House;

use super::raw::{self, Message, Raw};
use super::{found, masking, needles};

/// The address of person 1, in full.
const EMAIL: &str = "planted-1-kestrel@mail.example";
const WISH: &str = "SET countersign.unmask = 'crm.people.email'";

/// A house in which policy lets bob lift the mask of what is personal.
async fn lifting() -> Result<House> {
    masking(permitted).await
}

fn permitted(files: &mut BTreeMap<String, String>) {
    files.insert(
        "unmask.cedar".to_owned(),
        "@id(\"personal-data-may-be-shown\")\n\
         permit (principal, action == Action::\"sql.unmask\", resource)\n\
         when { context.labels.contains(\"personal\") };\n\
         @id(\"if-somebody-says-yes\")\n@gate(\"prod-write\")\n@reason(\"personal data\")\n\
         forbid (principal, action == Action::\"sql.unmask\", resource);\n"
            .to_owned(),
    );
}

fn shows(said: &[Message], text: &str) -> bool {
    said.iter().any(|(_, body)| body.windows(text.len()).any(|window| window == text.as_bytes()))
}

/// What is said while bob says yes to what is held.
async fn approved(
    house: &House,
    asking: impl Future<Output = Result<Vec<Message>>>,
) -> Result<(Vec<Message>, RequestView)> {
    let answered = async {
        let held = house.held().await?;
        house.approve(held.id).await?;
        Ok::<_, anyhow::Error>(held)
    };
    let mut asking = std::pin::pin!(asking);
    let held = tokio::select! {
        said = &mut asking => anyhow::bail!("it is not held: {:?}", texts(&said?)),
        held = answered => held?,
    };
    Ok((asking.await?, held))
}

fn texts(said: &[Message]) -> Vec<String> {
    said.iter().map(|(_, body)| String::from_utf8_lossy(body).into_owned()).collect()
}

async fn wish(client: &mut Raw) -> Result<()> {
    let said = client.query(WISH).ready().await?;
    ensure!(raw::errors(&said).is_empty(), "{said:?}");
    Ok(())
}

/// Whether a statement shows nothing that is masked, and is not held.
async fn masked(client: &mut Raw, text: &str) -> Result<()> {
    let said = client.query(text).ready().await?;
    let found = found(&said, &needles());
    ensure!(found.is_none(), "`{text}` shows {found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_column_of_one_statement_is_shown_once() -> Result<()> {
    let house = lifting().await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    let question = "SELECT id, email AS address, card FROM crm.people WHERE id IN (1, 2)";
    masked(&mut alice, question).await?;
    wish(&mut alice).await?;
    // What does not use the column is none of it, and leaves the wish as it is.
    masked(&mut alice, "SELECT id, card FROM crm.people WHERE id = 1").await?;
    assert!(shows(&alice.query("SHOW countersign.unmask").ready().await?, "crm.people.email"));
    let (said, held) = approved(&house, alice.query(question).ready()).await?;
    assert!(raw::errors(&said).is_empty(), "{said:?}");
    assert!(shows(&said, EMAIL) && shows(&said, "planted-2-kestrel"), "{said:?}");
    assert!(!shows(&said, "4929"), "another column of the same relation stays masked: {said:?}");

    assert_eq!(held.action.as_str(), "sql.unmask");
    let [column] = held.foreseen.unmasks.as_slice() else { panic!("{:?}", held.foreseen) };
    assert_eq!(
        (column.column.as_str(), column.labels.as_slice()),
        ("crm.people.email", ["personal".to_owned()].as_slice())
    );
    let rows = held.rows.as_ref().context("rows")?;
    assert_eq!(rows.count, Some(2), "what it gives is counted: {rows:?}");
    let setting = ("countersign.unmask".to_owned(), "crm.people.email".to_owned());
    assert!(held.settings.contains(&setting), "it is part of what is approved: {:?}", held.settings);

    // Once.
    masked(&mut alice, question).await?;
    assert!(!shows(&alice.query("SHOW countersign.unmask").ready().await?, "crm.people.email"));
    let caller = house.person("bob").await?;
    let became = house.engine.request_view(&caller, held.id)?;
    assert_eq!(became.state, "approved");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_computed_from_it_is_shown_and_what_copies_it_is_not() -> Result<()> {
    let house = lifting().await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    for (question, shown) in [
        ("SELECT upper(email) || card FROM crm.people WHERE id = 1", None),
        ("SELECT upper(email) FROM crm.people WHERE id = 1", Some("PLANTED-1-KESTREL@MAIL.EXAMPLE")),
        ("SELECT id FROM crm.people WHERE email = 'planted-1-kestrel@mail.example'", Some("1")),
        ("SELECT mail FROM crm.contacts WHERE id = 1", Some(EMAIL)),
        ("COPY (SELECT email, card FROM crm.people WHERE id = 1) TO STDOUT", Some(EMAIL)),
        ("UPDATE crm.people SET name = name WHERE id = 1 RETURNING email", Some(EMAIL)),
    ] {
        wish(&mut alice).await?;
        let (said, held) = approved(&house, alice.query(question).ready()).await?;
        assert!(raw::errors(&said).is_empty(), "{question}: {said:?}");
        assert!(!shows(&said, "4929"), "{question}: {said:?}");
        if let Some(shown) = shown {
            assert!(shows(&said, shown), "{question}: {said:?}");
        }
        assert_eq!(held.text.as_deref(), Some(question));
    }
    for copies in [
        "INSERT INTO crm.log SELECT id, email FROM crm.people WHERE id = 1",
        "CREATE TABLE crm.leak AS SELECT email FROM crm.people",
        "UPDATE crm.people SET city = email WHERE id = 1 RETURNING city",
    ] {
        wish(&mut alice).await?;
        let said = alice.query(copies).ready().await?;
        assert!(raw::errors(&said).iter().any(|error| error.contains("masked")), "{copies}: {said:?}");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_comes_later_is_shown() -> Result<()> {
    let house = lifting().await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    let question = "SELECT email FROM crm.people WHERE id = 1";
    // A prepared statement is shown its answer once, and masked when it is run again.
    alice.parse("s", question).sync().ready().await?;
    wish(&mut alice).await?;
    let (said, _) = approved(&house, alice.bind("", "s").execute("").sync().ready()).await?;
    assert!(raw::errors(&said).is_empty() && shows(&said, EMAIL), "{said:?}");
    let said = alice.bind("", "s").execute("").sync().ready().await?;
    assert!(raw::errors(&said).is_empty() && found(&said, &needles()).is_none(), "{said:?}");

    // A portal in portions: what was approved is the first, and the rest is masked.
    wish(&mut alice).await?;
    alice.query("BEGIN").ready().await?;
    alice.parse("many", "SELECT email FROM crm.people ORDER BY id").bind("p", "many");
    let first = alice.execute_some("p", 1).sync().ready();
    let (said, _) = approved(&house, first).await?;
    assert!(shows(&said, EMAIL), "{said:?}");
    let said = alice.execute_some("p", 5).sync().ready().await?;
    assert!(found(&said, &needles()).is_none(), "{said:?}");
    alice.query("ROLLBACK").ready().await?;

    // Neither a cursor nor what is fetched from it, nor a name that SQL has given, nor one text of two statements.
    wish(&mut alice).await?;
    alice.query("BEGIN").ready().await?;
    for text in [
        "DECLARE c CURSOR FOR SELECT email FROM crm.people ORDER BY id",
        "FETCH 2 FROM c",
        "PREPARE e AS SELECT email FROM crm.people WHERE id = 1",
        "EXECUTE e",
        "SELECT email FROM crm.people WHERE id = 1; SELECT email FROM crm.people WHERE id = 2",
    ] {
        let said = alice.query(text).ready().await?;
        assert!(raw::errors(&said).is_empty() && found(&said, &needles()).is_none(), "{text}: {said:?}");
        assert!(shows(&said, "the mask of `crm.people.email` is not lifted for this"), "{text}: {said:?}");
    }
    alice.query("ROLLBACK").ready().await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_shows_nothing_and_more_rows_than_were_counted_are_not_passed_on() -> Result<()> {
    let house = lifting().await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    wish(&mut alice).await?;
    let question = "SELECT email FROM crm.people WHERE city = 'Oslo' AND id < 5";
    let denied = async {
        let held = house.held().await?;
        house.deny(held.id, "ask support").await
    };
    let (said, denied) = tokio::join!(alice.query(question).ready(), denied);
    let said = said?;
    denied?;
    assert!(raw::errors(&said).iter().any(|error| error.contains("ask support")), "{said:?}");
    assert_eq!(found(&said, &needles()), None);
    masked(&mut alice, question).await?;

    wish(&mut alice).await?;
    let direct = house.database.direct().await?;
    let answered = async {
        let held = house.held().await?;
        direct.execute("UPDATE crm.people SET city = 'Oslo'", &[]).await?;
        house.approve(held.id).await?;
        house.becomes(held.id, "approved").await?;
        Ok::<_, anyhow::Error>(held)
    };
    let (said, held) = tokio::join!(alice.query(question).ready(), answered);
    let (said, held) = (said?, held?);
    let approved = held.rows.as_ref().and_then(|rows| rows.count).context("a count")?;
    let rows = said.iter().filter(|(tag, _)| *tag == b'D').count() as u64;
    assert!(rows <= approved, "{rows} of {approved} rows: {said:?}");
    assert!(
        raw::errors(&said).iter().any(|error| error.contains("a mask was lifted for 2 rows")),
        "{said:?}"
    );
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_policy_never_shows_cannot_be_wished_for() -> Result<()> {
    let house = lifting().await?;
    let mut alice = Raw::start(&house, "alice", &[]).await?;
    for (wish, refused) in [
        (
            "SET countersign.unmask = 'crm.people.card'",
            "policy lets nobody lift the mask of `crm.people.card`",
        ),
        ("SET countersign.unmask = 'crm.people.name'", "`crm.people.name` is no masked column"),
        ("SET countersign.unmask = 'pg_catalog.pg_stats.most_common_vals'", "is no masked column"),
        ("SET countersign.unmask = 'crm.people.email, crm.people.phone'", "is no masked column"),
        ("SET LOCAL countersign.unmask = 'crm.people.email'", "leave out LOCAL"),
    ] {
        let said = alice.query(wish).ready().await?;
        assert!(raw::errors(&said).iter().any(|error| error.contains(refused)), "{wish}: {said:?}");
    }
    wish(&mut alice).await?;
    alice.query("RESET countersign.unmask").ready().await?;
    masked(&mut alice, "SELECT email FROM crm.people WHERE id = 1").await?;
    house.close().await;
    Ok(())
}
