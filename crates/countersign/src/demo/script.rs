//! `countersign demo --script`: the story, played against the running demo with a real psql, step by step.
//!
//! Each step says what it does and what happened. The first that does not go as told ends the story with an
//! error, so this is a test as well. It leaves the demo as it found it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::facts::DemoFacts;
use super::psql::Psql;
use crate::cli::Demo;
use crate::client::{Client, Refused};
use crate::commands::sessions::libpq_url;
use crate::output::{harmless, line, text_at};

/// What should happen at once happens within this.
const AT_ONCE: Duration = Duration::from_secs(5);
/// A cut reaches the client within this: a second, and a little for a busy machine.
const CUT: Duration = Duration::from_secs(4);
/// The statement of the story.
const DELETE: &str = "DELETE FROM orders WHERE status = 'duplicate';";

/// Plays the story.
///
/// # Errors
/// No demo runs, or a step does not go as told.
pub async fn script(options: &Demo) -> Result<ExitCode> {
    let data = std::path::absolute(&options.data)?;
    let facts = DemoFacts::read(&data)?;
    let story = Story::begin(facts, &data).await?;
    story.restore().await?;
    step("1. Alice connects without a grant and is told how to ask", story.without_a_grant()).await?;
    step("2. She asks, Bob sees it and approves, her clock starts", story.access()).await?;
    step("3. A SELECT runs at once; a DELETE waits for Bob, then deletes 12", story.held_and_approved())
        .await?;
    step("   the same inside BEGIN ... COMMIT", story.held_in_a_transaction()).await?;
    step("   the same through the extended protocol, with parameters", story.held_with_parameters()).await?;
    step("4. The same DELETE is held again; Bob denies with a comment", story.held_and_denied()).await?;
    step("5. Ctrl-C withdraws; so does closing the terminal", story.withdrawn()).await?;
    step("   nobody approves their own request", story.own_request()).await?;
    step("   unanswered, it lapses", story.lapses()).await?;
    step("6. DROP TABLE is forbidden; no approval can lift that", story.forbidden()).await?;
    step("7. Revoking ends an idle session", story.revoked_while_idle()).await?;
    step("   and one in mid-query", story.revoked_in_mid_query()).await?;
    step("   and one that waits", story.revoked_while_waiting()).await?;
    step("   expiry does the same by itself", story.expires()).await?;
    step("   and so does disabling Alice", story.disabled()).await?;
    step("8. The ledger is verified, exported, verified offline; a changed byte is found", story.proved())
        .await?;
    line(
        "\nThe story went as told. Step 9 is yours: `kill -9` the gateway at any moment, start it again, and verify.",
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn step(title: &str, play: impl Future<Output = Result<String>>) -> Result<()> {
    let happened = play.await.with_context(|| format!("the story broke at: {}", title.trim()))?;
    line(title)?;
    for text in happened.lines() {
        line(&format!("     {}", harmless(text)))?;
    }
    Ok(())
}

struct Story {
    facts: DemoFacts,
    data: PathBuf,
    alice: Client,
    bob: Client,
    carol: Client,
    dave: Client,
    bob_token: String,
}

impl Story {
    async fn begin(facts: DemoFacts, data: &Path) -> Result<Self> {
        let (alice, _) = sign_in(&facts, "alice").await?;
        let (bob, bob_token) = sign_in(&facts, "bob").await?;
        let (carol, _) = sign_in(&facts, "carol").await?;
        let (dave, _) = sign_in(&facts, "dave").await?;
        let story = Self { facts, data: data.to_owned(), alice, bob, carol, dave, bob_token };
        story.clear_grants().await?;
        Ok(story)
    }

    async fn without_a_grant(&self) -> Result<String> {
        let (code, said) = self.psql().await?.quit().await?;
        ensure!(code == Some(2), "psql was not refused: {said}");
        ensure!(said.contains("countersign request"), "the refusal names no command: {said}");
        ensure!(said.contains(&self.facts.console), "the refusal has no link: {said}");
        Ok(tidy(&said))
    }

    async fn access(&self) -> Result<String> {
        let request = self.ask("shop-writer", "30m").await?;
        let seen = self.inbox("access", None).await?;
        ensure!(text_at(&seen, "/id") == request, "Bob sees another request: {seen}");
        ensure!(text_at(&seen, "/by/name") == "alice", "it does not say who: {seen}");
        ensure!(text_at(&seen, "/reason").contains("duplicate"), "it does not say why: {seen}");
        self.approve(&seen).await?;
        let grant = self.grant().await?;
        let ends: jiff::Timestamp = text_at(&grant, "/not_after").parse()?;
        let starts: jiff::Timestamp = text_at(&grant, "/not_before").parse()?;
        ensure!(ends.as_second() - starts.as_second() == 1_800, "the grant is not for 30 minutes: {grant}");
        Ok(format!("{request} approved by bob; {} ends at {ends}", text_at(&grant, "/id")))
    }

    async fn held_and_approved(&self) -> Result<String> {
        let mut psql = self.psql().await?;
        psql.type_line("SELECT 'rows=' || count(*) FROM customers;").await?;
        psql.expect("rows=6000", AT_ONCE).await?;
        psql.type_line(DELETE).await?;
        let notice = psql.expect("withdraws it)", AT_ONCE).await?;
        ensure!(notice.contains("NOTICE"), "no NOTICE: {notice}");
        let seen = self.inbox("action", Some(DELETE.trim_end_matches(';'))).await?;
        ensure!(text_at(&seen, "/rows/count") == "12", "Bob does not see the 12 rows: {seen}");
        ensure!(seen.to_string().contains("public.orders"), "Bob does not see the table: {seen}");
        ensure!(text_at(&seen, "/reason").contains("duplicate"), "Bob does not see the purpose: {seen}");
        ensure!(!text_at(&seen, "/held_by/0/rule").is_empty(), "Bob does not see why: {seen}");
        self.approve(&seen).await?;
        psql.expect("DELETE 12", AT_ONCE).await?;
        psql.quit().await?;
        Ok(format!("{}\nbob approved; psql printed: DELETE 12", tidy(&notice)))
    }

    async fn held_in_a_transaction(&self) -> Result<String> {
        let mut psql = self.psql().await?;
        psql.type_line("BEGIN;").await?;
        psql.expect("BEGIN", AT_ONCE).await?;
        psql.type_line("UPDATE orders SET status = 'shipped' WHERE id = 8 AND status = 'paid';").await?;
        psql.expect("withdraws it)", AT_ONCE).await?;
        self.approve(&self.inbox("action", Some("id = 8")).await?).await?;
        psql.expect("UPDATE 1", AT_ONCE).await?;
        psql.type_line("COMMIT;").await?;
        psql.expect("COMMIT", AT_ONCE).await?;
        psql.quit().await?;
        let status = "select status from orders where id = 8";
        let status: String = self.upstream().await?.query_one(status, &[]).await?.get(0);
        ensure!(status == "shipped", "the order is {status}, and was shipped in psql");
        Ok("psql printed: BEGIN, UPDATE 1, COMMIT".into())
    }

    async fn held_with_parameters(&self) -> Result<String> {
        let url = self.url().await?;
        let mut config: tokio_postgres::Config = url.split('?').next().unwrap_or_default().parse()?;
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        let update = "UPDATE products SET stock = $1 WHERE id = $2";
        let statement = client.prepare(update).await?;
        let running = tokio::spawn(async move {
            let done = client.execute(&statement, &[&17_i32, &42_i64]).await;
            drop(client);
            done
        });
        let seen = self.inbox("action", Some(update)).await?;
        let parameters = seen.get("parameters").map(ToString::to_string).unwrap_or_default();
        self.approve(&seen).await?;
        let rows = running.await??;
        connection.await??;
        ensure!(rows == 1, "{rows} rows were updated");
        ensure!(parameters.matches(':').count() > 1, "Bob does not see the parameters: {seen}");
        Ok(format!("bob saw the parameters {parameters} and approved; 1 row"))
    }

    async fn held_and_denied(&self) -> Result<String> {
        let mut psql = self.psql().await?;
        psql.type_line(DELETE).await?;
        psql.expect("withdraws it)", AT_ONCE).await?;
        self.deny(&self.inbox("action", Some("duplicate")).await?, "once was enough").await?;
        let error = psql.expect("once was enough", AT_ONCE).await?;
        ensure!(error.contains("ERROR"), "no ERROR: {error}");
        psql.type_line("SELECT 'still ' || 'here';").await?;
        psql.expect("still here", AT_ONCE).await?;
        psql.type_line("BEGIN;").await?;
        psql.type_line(DELETE).await?;
        psql.expect("withdraws it)", AT_ONCE).await?;
        self.deny(&self.inbox("action", Some("duplicate")).await?, "not in a transaction either").await?;
        psql.expect("not in a transaction either", AT_ONCE).await?;
        psql.type_line("SELECT 1;").await?;
        psql.expect("25P02", AT_ONCE).await?;
        psql.type_line("ROLLBACK;").await?;
        psql.expect("ROLLBACK", AT_ONCE).await?;
        psql.type_line("SELECT 'and ' || 'again';").await?;
        psql.expect("and again", AT_ONCE).await?;
        psql.quit().await?;
        Ok(tidy(&error))
    }

    async fn withdrawn(&self) -> Result<String> {
        let mut psql = self.psql().await?;
        psql.type_line(DELETE).await?;
        psql.expect("withdraws it)", AT_ONCE).await?;
        let first = text_at(&self.inbox("action", Some("duplicate")).await?, "/id");
        psql.interrupt()?;
        psql.expect("57014", AT_ONCE).await?;
        self.becomes(&first, "withdrawn").await?;
        // A psql that is driven by a script ends itself after Ctrl-C; one at a terminal goes on.
        psql.quit().await?;
        let mut psql = self.psql().await?;
        psql.type_line(DELETE).await?;
        psql.expect("withdraws it)", AT_ONCE).await?;
        let second = text_at(&self.inbox("action", Some("duplicate")).await?, "/id");
        psql.hang_up()?;
        self.becomes(&second, "withdrawn").await?;
        Ok(format!("{first} and {second} are withdrawn"))
    }

    async fn own_request(&self) -> Result<String> {
        let request = self.ask("shop-reader", "5m").await?;
        let alice = refusal(self.approve_as(&self.alice, &request).await)?;
        self.alice.post(&format!("/requests/{request}/withdraw"), json!({})).await?;
        let body = json!({ "role": "shop-reader", "for": "5m", "reason": "to look at what customers see" });
        let request = text_at(&self.dave.post("/requests", body).await?, "/id");
        let dave = refusal(self.approve_as(&self.dave, &request).await)?;
        self.dave.post(&format!("/requests/{request}/withdraw"), json!({})).await?;
        Ok(format!("alice: {alice}\ndave, an administrator: {dave}"))
    }

    /// Puts a bundle in force in which a held write is pending for three seconds only, and puts the old one
    /// back: both are held themselves, and approved by whom the rules name.
    async fn lapses(&self) -> Result<String> {
        let bundle = super::bundle_of(&self.data)?;
        let mut hasty = bundle.clone();
        let rules = hasty.get_mut("rules.toml").context("the demo's bundle has no rules.toml")?;
        ensure!(rules.contains("pending_for = \"15m\""), "the demo's rules are not the expected ones");
        *rules = rules.replace("pending_for = \"15m\"", "pending_for = \"3s\"");
        self.apply(&hasty).await?;
        let played = self.lapse().await;
        self.apply(&bundle).await?;
        played
    }

    async fn lapse(&self) -> Result<String> {
        let mut psql = self.psql().await?;
        psql.type_line(DELETE).await?;
        psql.expect("withdraws it)", AT_ONCE).await?;
        let request = text_at(&self.inbox("action", Some("duplicate")).await?, "/id");
        let error = psql.expect("ERROR", Duration::from_secs(10)).await?;
        self.becomes(&request, "lapsed").await?;
        let (_, rest) = psql.quit().await?;
        Ok(tidy(&format!("{error}{rest}")))
    }

    async fn forbidden(&self) -> Result<String> {
        let mut psql = self.psql().await?;
        psql.type_line("DROP TABLE orders;").await?;
        let error = psql.expect("ERROR", AT_ONCE).await?;
        psql.type_line("SELECT 'rows=' || (count(*) > 0)::text FROM orders;").await?;
        let rest = psql.expect("rows=true", AT_ONCE).await?;
        psql.quit().await?;
        ensure!(!rest.contains("/requests/"), "it waits for an approval: {rest}");
        Ok(tidy(&format!("{error}{rest}")))
    }

    async fn revoked_while_idle(&self) -> Result<String> {
        let mut psql = self.psql().await?;
        psql.type_line("SELECT 'rea' || 'dy';").await?;
        psql.expect("ready", AT_ONCE).await?;
        self.revoke().await?;
        self.no_session(CUT).await?;
        psql.type_line("SELECT 1;").await?;
        let fatal = psql.expect("FATAL", CUT).await?;
        let (_, rest) = psql.quit().await?;
        Ok(tidy(&format!("{fatal}{rest}")))
    }

    async fn revoked_in_mid_query(&self) -> Result<String> {
        self.regrant("30m").await?;
        let mut psql = self.psql().await?;
        psql.type_line("SELECT count(*) FROM orders a, orders b, orders c;").await?;
        self.upstream_runs(true).await?;
        self.revoke().await?;
        let fatal = psql.expect("FATAL", CUT).await?;
        self.upstream_runs(false).await?;
        let (_, rest) = psql.quit().await?;
        Ok(tidy(&format!("{fatal}{rest}\nthe query is cancelled upstream")))
    }

    async fn revoked_while_waiting(&self) -> Result<String> {
        self.regrant("30m").await?;
        let mut psql = self.psql().await?;
        psql.type_line(DELETE).await?;
        psql.expect("withdraws it)", AT_ONCE).await?;
        let request = text_at(&self.inbox("action", Some("duplicate")).await?, "/id");
        self.revoke().await?;
        psql.expect("FATAL", CUT).await?;
        self.becomes(&request, "void").await?;
        psql.quit().await?;
        Ok(format!("{request} is void: the grant it stood on is over; the session is cut"))
    }

    async fn expires(&self) -> Result<String> {
        self.regrant("3s").await?;
        let mut psql = self.psql().await?;
        psql.type_line("SELECT 'rea' || 'dy';").await?;
        psql.expect("ready", AT_ONCE).await?;
        self.no_session(Duration::from_secs(3) + CUT).await?;
        psql.type_line("SELECT 1;").await?;
        let fatal = psql.expect("FATAL", CUT).await?;
        let (_, rest) = psql.quit().await?;
        Ok(tidy(&format!("{fatal}{rest}")))
    }

    async fn disabled(&self) -> Result<String> {
        self.regrant("30m").await?;
        let mut psql = self.psql().await?;
        psql.type_line("SELECT 'rea' || 'dy';").await?;
        psql.expect("ready", AT_ONCE).await?;
        self.bob.post("/principals/alice/disable", json!({ "reason": "the story says so" })).await?;
        let cut = self.no_session(CUT).await;
        self.bob.post("/principals/alice/enable", json!({})).await?;
        cut?;
        psql.type_line("SELECT 1;").await?;
        let fatal = psql.expect("FATAL", CUT).await?;
        let (_, rest) = psql.quit().await?;
        Ok(tidy(&format!("{fatal}{rest}")))
    }

    async fn proved(&self) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let retained = folder.path().join("retained");
        let note = self.bob.bytes("/ledger/checkpoint").await?.context("there is no checkpoint")?;
        std::fs::write(&retained, note)?;
        let (code, live) = self.own(folder.path(), &["audit", "verify"]).await?;
        ensure!(code == 0, "the ledger is not proved: {live}");
        let export = folder.path().join("export").display().to_string();
        let retained = retained.display().to_string();
        let (code, said) = self.own(folder.path(), &["audit", "export", "--out", &export]).await?;
        ensure!(code == 0, "no export: {said}");
        let offline = ["audit", "verify", "--export", &export, "--checkpoint", &retained];
        let (code, said) = self.own(folder.path(), &offline).await?;
        ensure!(code == 0, "the export is not proved: {said}");
        flip_a_byte(Path::new(&export))?;
        let (code, found) = self.own(folder.path(), &offline).await?;
        ensure!(code == 1, "a changed byte was not found (exit {code}): {found}");
        Ok(format!("{}\nafter changing one byte of the export:\n{}", live.trim(), first_lines(&found, 3)))
    }
}

/// What the steps have in common.
impl Story {
    async fn psql(&self) -> Result<Psql> {
        Psql::start(&self.url().await?)
    }

    async fn url(&self) -> Result<String> {
        let credential = self.alice.post("/credentials", json!({ "resource": "shop" })).await?;
        libpq_url(&credential, Some(&self.facts.ca), None)
    }

    async fn ask(&self, role: &str, lasting: &str) -> Result<String> {
        let body =
            json!({ "role": role, "for": lasting, "reason": "remove the duplicate orders of the import" });
        Ok(text_at(&self.alice.post("/requests", body).await?, "/id"))
    }

    async fn regrant(&self, lasting: &str) -> Result<()> {
        let request = self.ask("shop-writer", lasting).await?;
        self.approve_as(&self.bob, &request).await.map(|_| ())
    }

    /// The newest request in Bob's inbox of this kind, with this in its text, as soon as it is there.
    async fn inbox(&self, kind: &str, text: Option<&str>) -> Result<Value> {
        self.soon(AT_ONCE, "Bob's inbox shows it", async || {
            let inbox = self.bob.get("/requests?inbox=true").await?;
            let items = inbox.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            Ok(items.into_iter().find(|item| {
                text_at(item, "/kind") == kind
                    && text.is_none_or(|text| text_at(item, "/text").contains(text))
            }))
        })
        .await
    }

    async fn approve(&self, seen: &Value) -> Result<()> {
        let body = json!({ "digest": text_at(seen, "/digest"), "comment": "as discussed" });
        self.bob.post(&format!("/requests/{}/approve", text_at(seen, "/id")), body).await.map(|_| ())
    }

    async fn approve_as(&self, who: &Client, request: &str) -> Result<Value> {
        let digest = text_at(&who.get(&format!("/requests/{request}")).await?, "/digest");
        who.post(&format!("/requests/{request}/approve"), json!({ "digest": digest })).await
    }

    async fn deny(&self, seen: &Value, comment: &str) -> Result<()> {
        let path = format!("/requests/{}/deny", text_at(seen, "/id"));
        self.bob.post(&path, json!({ "comment": comment })).await.map(|_| ())
    }

    async fn becomes(&self, request: &str, state: &str) -> Result<()> {
        self.soon(AT_ONCE, &format!("{request} is {state}"), async || {
            let now = text_at(&self.bob.get(&format!("/requests/{request}")).await?, "/state");
            Ok((now == state).then_some(()))
        })
        .await
    }

    async fn grant(&self) -> Result<Value> {
        let grants = self.bob.get("/grants").await?;
        let items = grants.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut alice = items.into_iter().filter(|grant| text_at(grant, "/principal") == "alice");
        alice.next().context("alice holds no grant")
    }

    async fn revoke(&self) -> Result<()> {
        let path = format!("/grants/{}/revoke", text_at(&self.grant().await?, "/id"));
        self.bob.post(&path, json!({ "reason": "the work is done" })).await.map(|_| ())
    }

    async fn clear_grants(&self) -> Result<()> {
        while self.grant().await.is_ok() {
            self.revoke().await?;
        }
        Ok(())
    }

    async fn no_session(&self, within: Duration) -> Result<()> {
        self.soon(within, "alice's session is over", async || {
            let sessions = self.bob.get("/sessions").await?;
            let items = sessions.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            Ok(items.iter().all(|session| text_at(session, "/principal") != "alice").then_some(()))
        })
        .await
    }

    /// Applies a bundle as Dave. Carol approves where it is held; so does Bob where it gives his rule more time,
    /// which is for him to agree to.
    async fn apply(&self, files: &std::collections::BTreeMap<String, String>) -> Result<()> {
        let done = self.dave.post("/bundle", json!({ "files": files })).await?;
        if text_at(&done, "/state") == "active" {
            return Ok(());
        }
        let request = text_at(&done, "/request");
        let answered = self.approve_as(&self.carol, &request).await?;
        if text_at(&answered, "/state") == "pending" {
            self.approve_as(&self.bob, &request).await?;
        }
        self.soon(AT_ONCE, "the bundle is in force", async || {
            let state = text_at(&self.dave.get(&format!("/requests/{request}")).await?, "/state");
            Ok((state == "approved").then_some(()))
        })
        .await
    }

    async fn soon<T>(
        &self,
        within: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let seen = async {
            loop {
                if let Some(found) = look().await? {
                    return Ok(found);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(within, seen).await {
            Ok(found) => found,
            Err(_) => bail!("this did not happen in time: {what}"),
        }
    }

    /// Whether alice's long query runs upstream, as the server itself tells.
    async fn upstream_runs(&self, expected: bool) -> Result<()> {
        let upstream = self.upstream().await?;
        self.soon(AT_ONCE, "the query's state upstream changes", async || {
            let query = "select count(*) > 0 from pg_stat_activity where usename = 'shop_writer' and state = 'active' \
                         and query like '%orders a, orders b%'";
            let runs: bool = upstream.query_one(query, &[]).await?.get(0);
            Ok((runs == expected).then_some(()))
        })
        .await
    }

    /// Puts back what an earlier telling changed: the twelve duplicates, and the order that was shipped.
    async fn restore(&self) -> Result<()> {
        let restore = "insert into orders (id, customer_id, status, total, created_at) \
                       select 24000 + n, customer_id, 'duplicate', total, created_at + interval '2 seconds' from \
                       (select row_number() over (order by id) n, * from orders where id % 2000 = 7 and id <= 24000) o \
                       on conflict (id) do nothing";
        let upstream = self.upstream().await?;
        upstream.execute(restore, &[]).await?;
        upstream.execute("update orders set status = 'paid' where id = 8", &[]).await?;
        Ok(())
    }

    async fn upstream(&self) -> Result<tokio_postgres::Client> {
        let to = &self.facts.upstream;
        let (client, connection) = tokio_postgres::Config::new()
            .host(&to.host)
            .port(to.port)
            .user(&to.user)
            .password(&to.password)
            .dbname(&to.database)
            .connect(tokio_postgres::NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs this very program as Bob, with a home of its own.
    async fn own(&self, home: &Path, args: &[&str]) -> Result<(i32, String)> {
        let output = tokio::process::Command::new(std::env::current_exe()?)
            .args(args)
            .env("COUNTERSIGN_URL", &self.facts.console)
            .env("COUNTERSIGN_TOKEN", &self.bob_token)
            .env("COUNTERSIGN_HOME", home.join("home"))
            .output()
            .await?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
    }
}

async fn sign_in(facts: &DemoFacts, name: &str) -> Result<(Client, String)> {
    let body = json!({ "user": name, "password": facts.password(name)? });
    let token = text_at(&Client::at(&facts.console, None)?.post("/sign-in", body).await?, "/token");
    Ok((Client::at(&facts.console, Some(token.clone()))?, token))
}

/// The words of a refusal that must come.
fn refusal(result: Result<Value>) -> Result<String> {
    match result {
        Ok(done) => bail!("it was not refused: {done}"),
        Err(error) => match error.downcast::<Refused>() {
            Ok(refused) => Ok(refused.message),
            Err(error) => Err(error),
        },
    }
}

/// Changes one byte in the middle of the first bundle of entries.
fn flip_a_byte(export: &Path) -> Result<()> {
    let entries = export.join("tile/entries");
    let mut open = vec![entries];
    while let Some(next) = open.pop() {
        if next.is_dir() {
            open.extend(std::fs::read_dir(&next)?.flatten().map(|entry| entry.path()));
            continue;
        }
        let mut bytes = std::fs::read(&next)?;
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle).context("an empty bundle of entries")? ^= 1;
        std::fs::write(&next, bytes)?;
        return Ok(());
    }
    bail!("the export has no entries")
}

/// What psql printed, without the noise of its own places and codes.
fn tidy(text: &str) -> String {
    let noise = |line: &&str| !line.starts_with("LOCATION:") && !line.trim().is_empty();
    text.lines().filter(noise).collect::<Vec<_>>().join("\n")
}

fn first_lines(text: &str, count: usize) -> String {
    text.lines().take(count).collect::<Vec<_>>().join("\n")
}
