//! How clients are let in: TLS in each way that it is begun, channel binding, protocol versions, keys to cancel with.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use countersign_core::Span;
use countersign_engine::Minted;
use countersign_testkit::authority::{Authority, NAMES};
use countersign_testkit::between::Between;
use countersign_testkit::peer::{self, ALPN, Peer};
use countersign_testkit::{House, clients};
use countersign_wire::postgres::encode::client;
use countersign_wire::postgres::startup::ProtocolVersion;
use tokio::process::Command;

/// What a client may call the protocol that it speaks inside TLS.
const OURS: &[&[u8]] = &[ALPN];
const OTHER: &[&[u8]] = &[b"http/1.1"];

async fn house() -> Result<(House, Minted)> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let credential = house.credential("alice").await?;
    Ok((house, credential))
}

fn login(credential: &Minted) -> (&str, &str) {
    (&credential.user, credential.password.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_begun_by_asking_or_at_once_and_a_proof_is_bound_to_it() -> Result<()> {
    let (house, credential) = house().await?;
    for (asks, alpn) in [(true, &[][..]), (true, OURS), (false, OURS)] {
        let mut peer = Peer::tls(house.door, asks, alpn).await?;
        peer.start(ProtocolVersion::V3_0, &[("user", &credential.user), ("database", "shop")]).await?;
        let (tag, body) = peer.message().await?.context("no answer")?;
        assert_eq!((tag, &body[..]), (b'R', &b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"[..]));
        let mut peer = Peer::tls(house.door, asks, alpn).await?;
        peer.enter(ProtocolVersion::V3_0, login(&credential), "shop").await?;
    }
    let mut clear = Peer::clear(house.door).await?;
    clear.start(ProtocolVersion::V3_0, &[("user", &credential.user), ("database", "shop")]).await?;
    let (_, body) = clear.message().await?.context("no answer")?;
    assert_eq!(&body[..], b"\0\0\0\x0aSCRAM-SHA-256\0\0", "there is nothing to bind to");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocols_client_is_told_nothing() -> Result<()> {
    let (house, credential) = house().await?;
    // Whoever names another protocol does not get through the handshake, however it was begun.
    for asks in [true, false] {
        assert!(Peer::tls(house.door, asks, OTHER).await.is_err(), "asks: {asks}");
    }
    // Whoever names none, and has not asked, may be any protocol's client.
    let mut peer = Peer::tls(house.door, false, &[]).await?;
    let said = peer.start(ProtocolVersion::V3_0, &[("user", &credential.user)]).await;
    let heard = match said {
        Ok(()) => peer.rest().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    assert_eq!(heard, b"");
    // What comes in clear behind the request is not taken for something said inside TLS.
    let mut clear = Peer::clear(house.door).await?;
    let mut request = BytesMut::new();
    client::ssl_request(&mut request);
    client::startup(&mut request, ProtocolVersion::V3_0, &[(b"user", b"alice")])?;
    clear.say(&request).await?;
    assert_eq!(clear.rest().await.unwrap_or_default(), b"");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_request_inside_tls_is_answered_by_the_end_of_tls() -> Result<()> {
    let (house, _) = house().await?;
    for (asks, alpn) in [(true, &[][..]), (false, OURS)] {
        let mut request = BytesMut::new();
        client::cancel_request(&mut request, 4_711, &[7; 32])?;
        let mut peer = Peer::tls(house.door, asks, alpn).await?;
        peer.say(&request).await?;
        assert_eq!(peer.rest().await?, b"", "nobody answers it");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_newer_than_the_door_is_negotiated_down() -> Result<()> {
    let (house, credential) = house().await?;
    let mut peer = Peer::clear(house.door).await?;
    let mut request = BytesMut::new();
    client::gss_request(&mut request);
    peer.say(&request).await?;
    assert_eq!(peer.byte().await?, b'N', "encryption by Kerberos is not offered");
    let newer = ProtocolVersion { major: 3, minor: 9_999 };
    let parameters =
        [("user", credential.user.as_str()), ("database", "shop"), ("_pq_.no_such_extension", "1")];
    peer.start(newer, &parameters).await?;
    let (tag, body) = peer.message().await?.context("no answer")?;
    assert_eq!(tag, b'v');
    assert_eq!(
        body[..8],
        [0, 3, 0, 2, 0, 0, 0, 1],
        "3.2 is the newest that is spoken, and one thing is not known"
    );
    ensure!(body.ends_with(b"_pq_.no_such_extension\0"), "{body:?}");
    // It goes on as what was offered.
    peer.prove(credential.password.as_bytes()).await?;
    let said = peer.until(b'Z').await?;
    let key = said.iter().find(|(tag, _)| *tag == b'K').context("no key")?;
    assert_eq!(key.1.len(), 4 + 32);
    // An extension is not known to an old client's door either.
    let mut old = Peer::clear(house.door).await?;
    old.start(ProtocolVersion::V3_0, &parameters).await?;
    let (tag, body) = old.message().await?.context("no answer")?;
    assert_eq!((tag, &body[..8]), (b'v', &[0, 3, 0, 0, 0, 0, 0, 1][..]));
    // Another major version is none of ours.
    let mut strange = Peer::clear(house.door).await?;
    strange.start(ProtocolVersion { major: 4, minor: 0 }, &parameters).await?;
    let said = strange.message().await?.context("no answer")?;
    let (code, message) = peer::error(&said).context("no error")?;
    ensure!(code == "0A000" && message.contains("4.0"), "{code} {message}");
    house.close().await;
    Ok(())
}

/// Starts something that runs until it is cancelled, as long as somebody has locked the table.
async fn busy(house: &House, credential: &Minted, version: ProtocolVersion) -> Result<Peer> {
    let mut peer = Peer::clear(house.door).await?;
    peer.enter(version, login(credential), "shop").await?;
    peer.query("SELECT count(*) FROM orders").await?;
    Ok(peer)
}

async fn cancel(house: &House, process: u32, key: &[u8]) -> Result<()> {
    let mut request = BytesMut::new();
    client::cancel_request(&mut request, process, key)?;
    let mut peer = Peer::clear(house.door).await?;
    peer.say(&request).await?;
    assert_eq!(peer.rest().await?, b"");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_ones_own_session_and_no_other() -> Result<()> {
    let (house, credential) = house().await?;
    let _locked = house.database.locked().await?;
    let mut old = busy(&house, &credential, ProtocolVersion::V3_0).await?;
    let mut new = busy(&house, &credential, ProtocolVersion::V3_2).await?;
    house.database.runs("shop_writer", 2).await?;
    let (old_process, old_key) = old.cancel.clone().context("no key")?;
    let (new_process, new_key) = new.cancel.clone().context("no key")?;
    assert_eq!((old_key.len(), new_key.len()), (4, 32), "long keys are the newer protocol's");
    // Another one's process, a key that is cut short or is too long, one that is wrong in its last byte.
    let mut wrong = new_key.clone();
    wrong[31] ^= 1;
    let long = [&new_key[..], b"\0"].concat();
    for (process, key) in [
        (old_process, &new_key[..]),
        (new_process, &old_key),
        (new_process, &new_key[..4]),
        (new_process, &long),
        (new_process, &wrong),
    ] {
        cancel(&house, process, key).await?;
    }
    house.database.runs("shop_writer", 2).await?;
    cancel(&house, new_process, &new_key).await?;
    let said = new.until(b'Z').await?;
    assert_eq!(said.iter().find_map(peer::error).map(|error| error.0).as_deref(), Some("57014"));
    house.database.runs("shop_writer", 1).await?;
    cancel(&house, old_process, &old_key).await?;
    let said = old.until(b'Z').await?;
    assert_eq!(said.iter().find_map(peer::error).map(|error| error.0).as_deref(), Some("57014"));
    house.close().await;
    Ok(())
}

/// What psql says to a question, with these words more in its connection string.
async fn psql(port: u16, credential: &Minted, more: &str) -> Result<Result<String, String>> {
    let conninfo = format!("host=localhost port={port} dbname=shop user={} {more}", credential.user);
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", "SELECT 'in'", &conninfo]);
    command.env("PGPASSWORD", credential.password.as_str()).env("LC_ALL", "C.UTF-8");
    let output = command.current_dir(clients::folder()).stdin(Stdio::null()).output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libpq_verifies_the_door_and_binds_to_it() -> Result<()> {
    let (house, credential) = house().await?;
    let port = house.door.port();
    let ca = house.ca.display();
    for more in [
        format!("sslmode=verify-full sslrootcert={ca} channel_binding=require"),
        format!("sslmode=verify-ca sslrootcert={ca}"),
        "sslmode=require channel_binding=require".to_owned(),
        "sslmode=require channel_binding=disable".to_owned(),
        "sslmode=disable".to_owned(),
        "sslmode=require ssl_max_protocol_version=TLSv1.2 channel_binding=require".to_owned(),
    ] {
        assert_eq!(psql(port, &credential, &more).await?, Ok("in".to_owned()), "{more}");
    }
    let stranger = house.ca.with_file_name("stranger.pem");
    std::fs::write(&stranger, Authority::new()?.pem)?;
    let more = format!("sslmode=verify-full sslrootcert={}", stranger.display());
    let error = psql(port, &credential, &more).await?.unwrap_err();
    ensure!(error.contains("certificate verify failed"), "{error}");
    // Whoever decrypts in between is not noticed by encryption alone, but by the proof, which is bound to the certificate.
    let eavesdropper = Between::eavesdropper(house.door, &Authority::new()?.server(&NAMES)?).await?;
    let port = eavesdropper.address.port();
    assert_eq!(
        psql(port, &credential, "sslmode=require channel_binding=disable").await?,
        Ok("in".to_owned())
    );
    for more in ["sslmode=require channel_binding=require", "sslmode=require"] {
        let error = psql(port, &credential, more).await?.unwrap_err();
        ensure!(error.contains("password authentication failed"), "{more}: {error}");
    }
    house.close().await;
    Ok(())
}

/// A statement is asked about with the sign-in by which its credential was made, and with the age of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_say_of_statements_how_old_a_sign_in_may_be() -> Result<()> {
    let rule = "@id(\"reading-wants-a-fresh-password\")\nforbid (principal, action == Action::\"sql.select\", resource)\n\
        unless { context has auth_age && context.auth_age < duration(\"1h\")\n\
        && context has auth_methods && context.auth_methods.contains(\"password\") };\n";
    let house = House::with(|files| drop(files.insert("fresh.cedar".into(), rule.into()))).await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let (fresh, mut late) = (house.person("alice").await?, house.person("alice").await?);
    late.proof.age = Span::hours(1);
    let mut by_proxy = house.person("alice").await?;
    by_proxy.proof = countersign_engine::Proof::default();
    for (what, caller, reads) in
        [("fresh", fresh, true), ("late", late, false), ("by nothing", by_proxy, false)]
    {
        let shop = countersign_core::ResourceId::new("shop");
        let minted = house.engine.mint_credential(&caller, &shop).await?;
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(house.door.port()).dbname("shop");
        config.user(&minted.user).password(minted.password.as_str());
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let read = client.simple_query("SELECT 1").await;
        ensure!(read.is_ok() == reads, "{what}: {read:?}");
        if let Err(error) = read {
            let said = error.as_db_error().context("the door's own word")?.message().to_owned();
            ensure!(said.contains("reading-wants-a-fresh-password"), "{what}: {said}");
        }
    }
    house.close().await;
    Ok(())
}
