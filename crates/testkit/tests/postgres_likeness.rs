//! What a server says, message by message and byte by byte, is what comes through the gateway: every field of errors and
//! notices, copies that fail half-way, batches that are skipped, portals in portions, notifications, half-closed sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use countersign_testkit::ScratchPostgres;
use countersign_testkit::clients::permissive;
use countersign_testkit::peer::{self, Peer, Said};
use countersign_testkit::postgres::{PASSWORD, SUPERUSER};
use countersign_wire::postgres::encode::client::{self, Binding};
use countersign_wire::postgres::startup::ProtocolVersion;
use countersign_wire::postgres::{Format, Target};

/// What a client does.
enum Step {
    /// It says these messages.
    Say(BytesMut),
    /// It waits for a message with this tag.
    Until(u8),
    /// It says that it says no more.
    Close,
    /// Somebody else, straight at the server, says this.
    Elsewhere(&'static str),
}

/// A conversation, as it is written down.
#[derive(Default)]
struct Script(Vec<Step>);

impl Script {
    fn say(mut self, write: impl FnOnce(&mut BytesMut)) -> Self {
        let mut out = BytesMut::new();
        write(&mut out);
        self.0.push(Step::Say(out));
        self
    }

    fn until(mut self, tag: u8) -> Self {
        self.0.push(Step::Until(tag));
        self
    }

    fn query(self, text: &str) -> Self {
        self.say(|out| client::query(out, text.as_bytes()).unwrap()).until(b'Z')
    }

    fn elsewhere(mut self, text: &'static str) -> Self {
        self.0.push(Step::Elsewhere(text));
        self
    }

    fn close(mut self) -> Self {
        self.0.push(Step::Close);
        self
    }
}

/// Both ways through one conversation; what is said must be the same.
async fn alike(script: Script) -> Result<Vec<Said>> {
    let server = ScratchPostgres::shared().await?;
    let database = server.database().await?;
    let mut straight = Peer::clear(SocketAddr::from(([127, 0, 0, 1], database.port))).await?;
    straight.enter(ProtocolVersion::V3_0, (SUPERUSER, PASSWORD), &database.name).await?;
    let straight = play(straight, &script, &database).await.context("straight")?;
    let house = permissive().await?;
    let credential = house.credential("alice").await?;
    let mut through = Peer::clear(house.door).await?;
    through.enter(ProtocolVersion::V3_0, (&credential.user, credential.password.as_str()), "shop").await?;
    let through = play(through, &script, &house.database).await.context("through the gateway")?;
    house.deserted().await?;
    house.close().await;
    assert_eq!(shown(&straight), shown(&through));
    Ok(through)
}

async fn play(
    mut peer: Peer,
    script: &Script,
    database: &countersign_testkit::Database,
) -> Result<Vec<Said>> {
    let mut said = Vec::new();
    for step in &script.0 {
        match step {
            Step::Say(bytes) => peer.say(bytes).await?,
            Step::Until(tag) => said.extend(peer.until(*tag).await?),
            Step::Close => peer.half_close().await?,
            Step::Elsewhere(text) => database.direct().await?.batch_execute(text).await?,
        }
    }
    if script.0.iter().all(|step| !matches!(step, Step::Close)) {
        let mut out = BytesMut::new();
        client::terminate(&mut out);
        peer.say(&out).await?;
    }
    said.extend(peer.until(0).await?);
    Ok(said)
}

/// Messages as people read them. Whose process sent a notification differs from run to run.
fn shown(said: &[Said]) -> Vec<String> {
    let one = |(tag, body): &Said| match tag {
        b'A' => format!("A {}", body[4..].escape_ascii()),
        tag => format!("{} {}", char::from(*tag), body.escape_ascii()),
    };
    said.iter().map(one).collect()
}

fn errors(said: &[Said]) -> Vec<String> {
    said.iter().filter_map(peer::error).map(|(code, _)| code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_of_errors_and_notices_is_passed_on() -> Result<()> {
    let raise = |level: &str| {
        format!(
            "DO $$ BEGIN RAISE {level} USING ERRCODE = 'P0042', MESSAGE = 'was ist \u{e4}?', DETAIL = 'line one
             line two', HINT = 'h', COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 'd', TABLE = 't', SCHEMA = 's'; END $$"
        )
    };
    let script = Script::default()
        .query(&raise("NOTICE"))
        .query(&raise("WARNING"))
        .query(&raise("EXCEPTION"))
        .query("SELECT 1; SELEC 2")
        .query("SELECT *\n FROM nowhere")
        .query("SELECT 1; SELECT 1/0; SELECT 3")
        .query("CREATE TABLE k (id int PRIMARY KEY CHECK (id > 0), w text NOT NULL, d date)")
        .query("INSERT INTO k VALUES (1, 'a'), (1, 'b')")
        .query("INSERT INTO k VALUES (0, 'a')")
        .query("INSERT INTO k VALUES (2)")
        .query("INSERT INTO k VALUES (2, 'a', '2026-02-30')")
        .query("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT 1 FROM missing); END $$")
        .query("SELECT f()")
        .query("SET client_min_messages = debug1; DROP TABLE IF EXISTS nothing; RESET client_min_messages")
        .query("")
        .query(";;");
    let said = alike(script).await?;
    let codes = ["P0042", "42601", "42P01", "22012", "23505", "23514", "23502", "22008", "42P01"];
    assert_eq!(errors(&said), codes);
    Ok(())
}

fn copy_lines(out: &mut BytesMut, lines: impl Iterator<Item = String>) {
    for line in lines {
        client::copy_data(out, line.as_bytes()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_fails_half_way_fails_as_at_the_server() -> Result<()> {
    let copy = |script: Script, text: &str| {
        script.say(|out| client::query(out, text.as_bytes()).unwrap()).until(b'G')
    };
    let script = Script::default().query("CREATE TABLE k (id int PRIMARY KEY, w text)");
    // The server does not take a line in the middle; what follows it was on its way already.
    let script = copy(script, "COPY k FROM STDIN")
        .say(|out| {
            copy_lines(out, (0..500).map(|n| format!("{n}\tx\n")));
            copy_lines(out, ["what\tx\n".to_owned()].into_iter());
            copy_lines(out, (500..5_000).map(|n| format!("{n}\tx\n")));
            client::copy_done(out);
        })
        .until(b'Z')
        .query("SELECT count(*) FROM k");
    // The client gives up.
    let script = copy(script, "COPY k FROM STDIN")
        .say(|out| {
            copy_lines(out, (0..10).map(|n| format!("{n}\tx\n")));
            client::copy_fail(out, b"enough").unwrap();
        })
        .until(b'Z')
        .query("SELECT count(*) FROM k");
    // It says Flush and Sync in between, which a copy ignores.
    let script = copy(script, "COPY k FROM STDIN (FORMAT csv)")
        .say(|out| {
            copy_lines(out, ["1,x\n".to_owned()].into_iter());
            client::flush(out);
            client::sync(out);
            copy_lines(out, ["2,x\n".to_owned()].into_iter());
            client::copy_done(out);
        })
        .until(b'Z')
        .query("SELECT count(*) FROM k");
    // The server fails after it has sent rows.
    let script = script
        .query("COPY (SELECT 100 / (5000 - n) FROM generate_series(1, 9999) n) TO STDOUT")
        .query("COPY k TO STDOUT (FORMAT binary)")
        .query("COPY k FROM STDIN WHERE nonsense")
        .query("SELECT 1");
    let said = alike(script).await?;
    assert_eq!(errors(&said), ["22P02", "57014", "22012", "42703"]);
    ensure!(said.iter().filter(|(tag, _)| *tag == b'd').count() > 4_000);
    Ok(())
}

fn parse(out: &mut BytesMut, name: &str, text: &str) {
    client::parse(out, name.as_bytes(), text.as_bytes(), &[]).unwrap();
}

fn bind(out: &mut BytesMut, portal: &str, statement: &str, parameters: &[Option<&[u8]>], results: &[Format]) {
    let binding = Binding {
        portal: portal.as_bytes(),
        statement: statement.as_bytes(),
        parameters,
        result_formats: results,
        ..Binding::default()
    };
    client::bind(out, &binding).unwrap();
}

fn execute(out: &mut BytesMut, portal: &str, rows: u32) {
    client::execute(out, portal.as_bytes(), rows).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_portals_and_formats_are_the_servers() -> Result<()> {
    let script = Script::default()
        .say(|out| {
            parse(out, "s", "SELECT n, n::text, NULL::text FROM generate_series(1, $1::int) n");
            client::describe(out, Target::Statement(b"s")).unwrap();
            bind(out, "p", "s", &[Some(b"10")], &[Format::Binary]);
            client::describe(out, Target::Portal(b"p")).unwrap();
            execute(out, "p", 3);
            client::flush(out);
        })
        .until(b's')
        .say(|out| {
            execute(out, "p", 4);
            execute(out, "p", 0);
            execute(out, "p", 0);
            client::close(out, Target::Portal(b"p")).unwrap();
            client::sync(out);
        })
        .until(b'Z')
        // What fails takes the rest of its batch with it.
        .say(|out| {
            bind(out, "", "s", &[Some(b"many")], &[]);
            execute(out, "", 0);
            parse(out, "t", "SELECT 1");
            client::sync(out);
            parse(out, "", "SELEC");
            client::describe(out, Target::Statement(b"s")).unwrap();
            client::sync(out);
            client::sync(out);
        })
        .until(b'Z')
        .until(b'Z')
        .until(b'Z')
        .say(|out| {
            parse(out, "s", "SELECT 2");
            client::sync(out);
            client::describe(out, Target::Portal(b"nobody")).unwrap();
            client::sync(out);
            client::close(out, Target::Statement(b"nobody")).unwrap();
            client::sync(out);
            parse(out, "", "");
            bind(out, "", "", &[], &[]);
            client::describe(out, Target::Portal(b"")).unwrap();
            execute(out, "", 0);
            client::sync(out);
        })
        .until(b'Z')
        .until(b'Z')
        .until(b'Z')
        .until(b'Z')
        .query("BEGIN")
        .query("SELECT 1/0")
        .query("SELECT 1")
        .query("COMMIT");
    let said = alike(script).await?;
    assert_eq!(errors(&said), ["22P02", "42601", "42P05", "34000", "22012", "25P02"]);
    Ok(())
}

/// What is not judged is not forwarded, so the gateway says by itself what is not there: as the server would, but without the
/// places in its source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_is_not_there_is_missed_in_the_servers_words() -> Result<()> {
    let house = permissive().await?;
    let credential = house.credential("alice").await?;
    let mut peer = Peer::clear(house.door).await?;
    peer.enter(ProtocolVersion::V3_0, (&credential.user, credential.password.as_str()), "shop").await?;
    let mut out = BytesMut::new();
    bind(&mut out, "", "t", &[], &[]);
    execute(&mut out, "", 0);
    client::sync(&mut out);
    peer.say(&out).await?;
    let said = peer.until(b'Z').await?;
    let missed = said.iter().filter_map(peer::error).collect::<Vec<_>>();
    assert_eq!(missed, [("26000".to_owned(), "prepared statement \"t\" does not exist".to_owned())]);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_come_while_nothing_is_asked() -> Result<()> {
    let script = Script::default()
        .query("LISTEN here")
        .elsewhere("NOTIFY here, 'first'")
        .until(b'A')
        .elsewhere("NOTIFY here, 'second'; NOTIFY there, 'none'")
        .until(b'A')
        .query("NOTIFY here, 'mine'")
        .query("UNLISTEN *");
    let said = alike(script).await?;
    assert_eq!(said.iter().filter(|(tag, _)| *tag == b'A').count(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_socket_gets_all_of_its_answers() -> Result<()> {
    let script = Script::default()
        .say(|out| {
            client::query(out, b"SELECT n, repeat('x', 1000) FROM generate_series(1, 3000) n").unwrap();
            client::query(out, b"CREATE TABLE late (id int)").unwrap();
            parse(out, "", "SELECT count(*) FROM late");
            bind(out, "", "", &[], &[]);
            execute(out, "", 0);
            client::sync(out);
        })
        .close();
    let said = alike(script).await?;
    assert_eq!(said.iter().filter(|(tag, _)| *tag == b'Z').count(), 3);
    Ok(())
}
