//! How a session begins and ends on the wire: settings that a client starts with, keys to cancel with, the closing of TLS,
//! and a server that takes nobody or goes away.

#[expect(dead_code, reason = "what other tests say")]
#[path = "postgres_hostile/raw.rs"]
mod raw;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use countersign_core::Span;
use countersign_engine::audit::LedgerQuery;
use countersign_testkit::House;
use countersign_wire::postgres::encode::client;
use countersign_wire::postgres::startup::ProtocolVersion;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

async fn house() -> Result<House> {
    let house = House::open().await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    Ok(house)
}

async fn config(house: &House) -> Result<Config> {
    let credential = house.credential("alice").await?;
    let mut config = Config::new();
    config.host("127.0.0.1").port(house.door.port()).dbname("shop");
    config.user(&credential.user).password(credential.password.as_str());
    Ok(config)
}

#[expect(clippy::expect_used, reason = "a test without a credential has failed")]
async fn with_options(house: &House, options: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = config(house).await.expect("a credential");
    let (client, connection) = config.options(options).connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn refused(house: &House, options: &str) -> Result<(String, String, String)> {
    let error =
        with_options(house, options).await.err().with_context(|| format!("`{options}` was let in"))?;
    let error = error.as_db_error().context("no error of the door's")?;
    let detail = error.detail().unwrap_or_default().to_owned();
    Ok((error.code().code().to_owned(), error.message().to_owned(), detail))
}

async fn shown(client: &Client, question: &str) -> Result<String> {
    Ok(client.query_one(question, &[]).await?.get(0))
}

/// The texts of the ledger's lines of a kind, newest first.
async fn texts(house: &House, kind: &str, containing: &str) -> Result<usize> {
    let query = LedgerQuery {
        kind: Some(kind.to_owned()),
        text: Some(containing.to_owned()),
        limit: 100,
        ..LedgerQuery::default()
    };
    Ok(house.engine.search(&house.person("bob").await?, query).await?.items.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_at_the_start_are_judged_recorded_and_the_servers_own() -> Result<()> {
    let house = house().await?;
    let client = with_options(&house, "-c work_mem=5MB -c statement_timeout=9s").await?;
    assert_eq!(shown(&client, "SHOW work_mem").await?, "5MB");
    client.batch_execute("SET work_mem = '7MB'; RESET work_mem").await?;
    assert_eq!(shown(&client, "SHOW work_mem").await?, "5MB", "it is what a RESET goes back to");
    assert_eq!(texts(&house, "action.allowed", "SET \"work_mem\" = '5MB'").await?, 1);
    assert_eq!(texts(&house, "action.allowed", "SET \"statement_timeout\" = '9s'").await?, 1);
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_at_the_start_that_policy_denies_keep_the_client_out() -> Result<()> {
    let house = house().await?;
    for (options, name) in [
        ("-c log_statement=none", "log_statement"),
        ("-c role=shop_reader", "role"),
        ("-c session_authorization=postgres", "session_authorization"),
        ("-c standard_conforming_strings=off", "standard_conforming_strings"),
        ("-c session_preload_libraries=evil", "session_preload_libraries"),
        ("-c my.own=1", "my.own"),
    ] {
        let (code, message, detail) = refused(&house, options).await?;
        assert_eq!(code, "42501", "{options}");
        assert_eq!(message, "role `shop-writer` does not permit `sql.admin` on `shop`");
        assert_eq!(detail, format!("it is asked for by the start-up setting `{name}`"));
    }
    assert_eq!(texts(&house, "action.blocked", "SET \"role\" = 'shop_reader'").await?, 1);
    house.deserted().await?;
    // A packet's own parameters are no settings.
    let (code, message, _) = refused(&house, "-c replication=database").await?;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("42704", "`replication` is not the name of a setting; correct it")
    );
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_at_the_start_that_would_be_held_are_refused_with_a_way_out() -> Result<()> {
    let house = House::with(|files| {
        files.insert(
            "settings.cedar".to_owned(),
            "@id(\"time-limits-need-the-dba\")\n@gate(\"prod-write\")\n@reason(\"time is money\")\n\
             forbid (principal, action == Action::\"sql.session\", resource)\n\
             when { context.verbs.contains(\"set\") };"
                .to_owned(),
        );
    })
    .await?;
    house.grant("alice", "shop-writer", Span::minutes(30)).await?;
    let (code, message, _) = refused(&house, "-c statement_timeout=1s").await?;
    assert_eq!(code, "42501");
    ensure!(message.starts_with("the setting `statement_timeout` needs an approval"), "{message}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_setting_is_told_in_the_servers_words() -> Result<()> {
    let house = house().await?;
    let (code, message, _) = refused(&house, "-c work_mem=much").await?;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("22023", "invalid value for parameter \"work_mem\": \"much\"")
    );
    let recorded = async {
        while texts(&house, "action.completed", "").await? == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(Duration::from_secs(5), recorded).await.context("its end is not recorded")??;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_says_when_it_ends_a_session_arrives() -> Result<()> {
    let house = house().await?;
    let client = with_options(&house, "").await?;
    assert_eq!(shown(&client, "SHOW work_mem").await?, "4MB");
    let direct = house.database.direct().await?;
    let database = &house.database.name;
    let ended = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND usename = 'shop_writer'"
    );
    let running = client.query("SELECT pg_catalog.count(*) FROM orders a, orders b, orders c, orders d", &[]);
    let ending = async {
        loop {
            let active = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND usename = 'shop_writer' AND state = 'active'"
            );
            if direct.query_one(&active, &[]).await?.get::<_, i64>(0) > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, anyhow::Error>(direct.query_one(&ended, &[]).await?.get::<_, i64>(0))
    };
    let (said, terminated) = tokio::join!(running, ending);
    assert_eq!(terminated?, 1);
    let error = said.err().context("it went on")?;
    assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN), "{error:?}");
    assert_eq!(
        error.as_db_error().map(|error| error.message()),
        Some("terminating connection due to administrator command")
    );
    house.deserted().await?;
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_the_server_takes_nobody_is_told_in_its_words() -> Result<()> {
    let house = house().await?;
    let direct = house.database.direct().await?;
    direct.batch_execute(&format!("ALTER DATABASE {} CONNECTION LIMIT 0", house.database.name)).await?;
    let (code, message, _) = refused(&house, "").await?;
    assert_eq!(code, "53300");
    ensure!(message.starts_with("too many connections for database"), "{message}");
    house.close().await;
    Ok(())
}

/// Waits in a blocking thread, as a client of its own making would.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::time::timeout(Duration::from_secs(20), tokio::task::spawn_blocking(work)).await??
}

/// A TLS connection that trusts anybody, in the way it was begun.
struct Tls {
    tls: rustls::ClientConnection,
    socket: TcpStream,
}

impl Tls {
    /// `asks`: with an `SSLRequest` first, as clients did before version 17.
    fn open(door: SocketAddr, asks: bool, alpn: &[&[u8]]) -> Result<Self> {
        let mut socket = TcpStream::connect(door)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        if asks {
            let mut request = BytesMut::new();
            client::ssl_request(&mut request);
            socket.write_all(&request)?;
            let mut answer = [0];
            socket.read_exact(&mut answer)?;
            ensure!(answer == *b"S", "no TLS: {answer:?}");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let tls = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into()?)?;
        Ok(Self { tls, socket })
    }

    fn say(&mut self, bytes: &[u8]) -> Result<()> {
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        stream.write_all(bytes)?;
        Ok(stream.flush()?)
    }

    /// Everything up to the end, which must be TLS's own: a connection that is only cut is an error.
    fn to_the_end(&mut self) -> Result<Vec<u8>> {
        let mut said = Vec::new();
        rustls::Stream::new(&mut self.tls, &mut self.socket).read_to_end(&mut said)?;
        Ok(said)
    }
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_request_inside_tls_is_answered_by_the_end_of_tls() -> Result<()> {
    let house = house().await?;
    let door = house.door;
    for (asks, alpn) in [(true, &[][..]), (false, &[&b"postgresql"[..]][..])] {
        let mut request = BytesMut::new();
        client::cancel_request(&mut request, 4_711, &[7; 32])?;
        let said = blocking(move || {
            let mut tls = Tls::open(door, asks, alpn)?;
            tls.say(&request)?;
            tls.to_the_end()
        });
        assert_eq!(said.await?, b"", "nobody answers it");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_at_once_is_for_those_who_name_the_protocol() -> Result<()> {
    let house = house().await?;
    let door = house.door;
    let startup = |user: &'static str| {
        let mut out = BytesMut::new();
        let parameters: [(&[u8], &[u8]); 2] = [(b"user", user.as_bytes()), (b"database", b"shop")];
        client::startup(&mut out, ProtocolVersion::V3_2, &parameters).map(|()| out)
    };
    let hello = startup("alice")?;
    let first = blocking(move || {
        let mut tls = Tls::open(door, false, &[b"postgresql"])?;
        tls.say(&hello)?;
        let mut head = [0; 9];
        rustls::Stream::new(&mut tls.tls, &mut tls.socket).read_exact(&mut head)?;
        Ok(head)
    });
    assert_eq!(first.await?.first_chunk(), Some(b"R"), "it asks for a proof, and negotiates nothing");
    for alpn in [&[][..], &[&b"http/1.1"[..]][..]] {
        let hello = startup("alice")?;
        let said = blocking(move || {
            let mut tls = Tls::open(door, false, alpn)?;
            let told = tls.say(&hello).and_then(|()| tls.to_the_end());
            Ok(told.unwrap_or_default())
        });
        assert_eq!(said.await?, b"", "another protocol's client is told nothing");
    }
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_newer_than_the_door_is_negotiated_down() -> Result<()> {
    let house = house().await?;
    let door = house.door;
    let said = blocking(move || {
        let mut socket = TcpStream::connect(door)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answer = [0];
        for request in [client::gssenc_request as fn(&mut BytesMut), client::ssl_request] {
            // Encryption by Kerberos is not offered; TLS is, but a client that asked may go on in clear from this machine.
            if request as usize == client::ssl_request as usize {
                break;
            }
            let mut out = BytesMut::new();
            request(&mut out);
            socket.write_all(&out)?;
            socket.read_exact(&mut answer)?;
            ensure!(answer == *b"N", "{answer:?}");
        }
        let mut out = BytesMut::new();
        let parameters: [(&[u8], &[u8]); 3] =
            [(b"user", b"alice"), (b"database", b"shop"), (b"_pq_.no_such_extension", b"1")];
        client::startup(&mut out, ProtocolVersion { major: 3, minor: 9_999 }, &parameters)?;
        socket.write_all(&out)?;
        let mut head = [0; 5];
        socket.read_exact(&mut head)?;
        let [tag, length @ ..] = head;
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(length))? - 4];
        socket.read_exact(&mut body)?;
        Ok((tag, body))
    });
    let (tag, body) = said.await?;
    assert_eq!(tag, b'v');
    assert_eq!(body.get(..4), Some(&2_u32.to_be_bytes()[..]), "the newest minor version that is spoken here");
    ensure!(body.ends_with(b"_pq_.no_such_extension\0"), "{body:?}");
    house.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_said_all_it_wanted_still_gets_its_answers() -> Result<()> {
    let house = house().await?;
    let mut raw = raw::Raw::start(&house, "alice", &[]).await?;
    raw.query("SELECT count(*) FROM orders a, orders b WHERE a.id < 500").query("SELECT 1").flush().await?;
    raw.half_close().await?;
    let said = raw.ready().await?;
    assert_eq!(raw::completed(&said), ["SELECT 1"]);
    let said = raw.ready().await?;
    assert_eq!(raw::completed(&said), ["SELECT 1"]);
    house.deserted().await?;
    house.close().await;
    Ok(())
}
