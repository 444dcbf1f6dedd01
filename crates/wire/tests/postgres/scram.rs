//! SCRAM: the RFC's vectors, both sides against each other, and everything a dishonest peer may try.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_wire::postgres::md5;
use countersign_wire::postgres::scram::{
    Client, ClientBinding, ClientKeys, ITERATIONS_MAX, Proved, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramError,
    Server, ServerBinding, StoredKey, VERIFIERS_MAX, Verifiers,
};
use proptest::prelude::*;

// RFC 7677, section 3.
const RFC_CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const RFC_SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const RFC_CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_FIRST: &[u8] =
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const RFC_CLIENT_FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const RFC_SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

const SERVER_NONCE: &str = "3rfcNHYJY1ZVvWVs7j";
const PLAIN: &[u8] = b"SCRAM-SHA-256";
const PLUS: &[u8] = b"SCRAM-SHA-256-PLUS";

fn rfc_salt() -> Vec<u8> {
    STANDARD.decode(RFC_SALT).unwrap()
}

fn verifiers(passwords: &[&str]) -> Verifiers {
    let key = |password: &&str| StoredKey::derive(password.as_bytes(), &rfc_salt(), 4096).unwrap();
    Verifiers::new(rfc_salt(), 4096, passwords.iter().map(key).collect()).unwrap()
}

fn none() -> ServerBinding {
    ServerBinding::None
}

fn bound(hash: &[u8]) -> ServerBinding {
    ServerBinding::TlsServerEndPoint(hash.to_vec())
}

/// A whole exchange; the error is whoever's noticed first.
fn exchange(
    password: &str,
    verifiers: Verifiers,
    client: ClientBinding,
    server: &ServerBinding,
) -> Result<usize, ScramError> {
    let mechanism = client.mechanism();
    let (client, first) = Client::start(client, RFC_CLIENT_NONCE)?;
    let (server, reply) = Server::start(mechanism.as_bytes(), &first, server, verifiers, SERVER_NONCE)?;
    let challenge = client.challenge(&reply)?;
    let keys = challenge.keys(password.as_bytes())?;
    let (expected, last) = challenge.answer(&keys);
    let Proved { key, server_final } = server.finish(&last)?;
    expected.verify(&server_final)?;
    Ok(key)
}

#[test]
fn the_server_side_follows_rfc_7677() {
    let started = Server::start(PLAIN, RFC_CLIENT_FIRST, &none(), verifiers(&["pencil"]), RFC_SERVER_NONCE);
    let (server, first) = started.unwrap();
    assert_eq!(first, RFC_SERVER_FIRST);
    let proved = server.finish(RFC_CLIENT_FINAL).unwrap();
    assert_eq!((proved.key, proved.server_final.as_slice()), (0, RFC_SERVER_FINAL));
}

#[test]
fn the_client_side_follows_rfc_7677_but_for_the_name() {
    // The name inside is not ours to send (PostgreSQL ignores it), so the proof is checked against the server
    // side.
    let (client, first) = Client::start(ClientBinding::Unsupported, RFC_CLIENT_NONCE).unwrap();
    assert_eq!(first, b"n,,n=,r=rOprNGfwEbeRWgbNEkqO");
    let challenge = client.challenge(RFC_SERVER_FIRST).unwrap();
    assert_eq!((challenge.salt(), challenge.iterations()), (rfc_salt().as_slice(), 4096));
    let keys = challenge.keys(b"pencil").unwrap();
    let (_, last) = challenge.answer(&keys);
    assert!(last.starts_with(b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="));
    let started = Server::start(PLAIN, &first, &none(), verifiers(&["pencil"]), RFC_SERVER_NONCE);
    assert!(started.unwrap().0.finish(&last).is_ok());
}

#[test]
fn keys_are_those_of_a_real_server() {
    // As PostgreSQL keeps it in `pg_authid.rolpassword`, computed by another implementation (PBKDF2 of
    // Python).
    let stored = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
        $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let key = StoredKey::derive(b"pencil", &rfc_salt(), 4096).unwrap();
    let shown = format!(
        "SCRAM-SHA-256$4096:{RFC_SALT}${}:{}",
        STANDARD.encode(key.stored_key),
        STANDARD.encode(key.server_key)
    );
    assert_eq!(shown, stored);
}

#[test]
fn each_of_several_verifiers_is_found() {
    let passwords = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
    assert_eq!(passwords.len(), VERIFIERS_MAX);
    for (index, password) in passwords.iter().enumerate() {
        let found = exchange(password, verifiers(&passwords), ClientBinding::Unsupported, &none());
        assert_eq!(found, Ok(index), "{password}");
    }
    let wrong = exchange("nine", verifiers(&passwords), ClientBinding::Unsupported, &none());
    assert_eq!(wrong, Err(ScramError::Proof));
    let key = StoredKey::derive(b"x", &rfc_salt(), 4096).unwrap();
    let many = Verifiers::new(rfc_salt(), 4096, vec![key; VERIFIERS_MAX + 1]);
    assert!(matches!(many, Err(ScramError::Argument("number of verifiers"))));
}

#[test]
fn nobody_is_proved_by_no_verifier() {
    assert_eq!(
        exchange("pencil", verifiers(&[]), ClientBinding::Unsupported, &none()),
        Err(ScramError::Proof)
    );
}

#[test]
fn a_decoy_looks_like_a_name_that_exists() {
    let first = |secret: &[u8], name: &[u8]| {
        let decoy = Verifiers::decoy(secret, name, 4096).unwrap();
        Server::start(PLAIN, b"n,,n=,r=rOprNGfwEbeRWgbNEkqO", &none(), decoy, SERVER_NONCE).unwrap().1
    };
    assert_eq!(first(b"secret", b"mallory"), first(b"secret", b"mallory"), "the same when asked again");
    assert_ne!(first(b"secret", b"mallory"), first(b"secret", b"trent"));
    assert_ne!(
        first(b"secret", b"mallory"),
        first(b"other", b"mallory"),
        "not to be computed without the secret"
    );
    let real =
        Server::start(PLAIN, b"n,,n=,r=rOprNGfwEbeRWgbNEkqO", &none(), verifiers(&["pencil"]), SERVER_NONCE);
    assert_eq!(first(b"secret", b"mallory").len(), real.unwrap().1.len(), "of the same shape");
    let decoy = Verifiers::decoy(b"secret", b"mallory", 4096).unwrap();
    assert_eq!(exchange("x", decoy, ClientBinding::Unsupported, &none()), Err(ScramError::Proof));
}

#[test]
fn channel_binding_is_all_or_nothing() {
    let ok = |client, server: &ServerBinding| exchange("pencil", verifiers(&["pencil"]), client, server);
    let tls = |hash: &[u8]| ClientBinding::TlsServerEndPoint(hash.to_vec());
    assert_eq!(ok(tls(b"hash"), &bound(b"hash")), Ok(0));
    assert_eq!(ok(tls(b"other"), &bound(b"hash")), Err(ScramError::Binding), "somebody else's certificate");
    assert_eq!(ok(ClientBinding::Unsupported, &bound(b"hash")), Ok(0), "a client that can't");
    assert_eq!(
        ok(ClientBinding::NotOffered, &bound(b"hash")),
        Err(ScramError::Binding),
        "the offer was removed"
    );
    assert_eq!(ok(ClientBinding::NotOffered, &none()), Ok(0));
    assert_eq!(ok(tls(b"hash"), &none()), Err(ScramError::Mechanism(SCRAM_SHA_256_PLUS.to_owned())));
}

#[test]
fn a_first_message_of_a_client_is_refused_unless_it_fits() {
    use ScramError::{Binding, Malformed};
    let malformed = |field| Some(Malformed(field));
    let cases: &[(&[u8], &[u8], Option<ScramError>)] = &[
        (PLAIN, b"n,,n=,r=rOprNGfwEbeRWgbNEkqO", None),
        (PLAIN, b"n,,n=*,r=rOprNGfwEbeRWgbNEkqO", None),
        (PLAIN, b"n,,n=bob,r=rOprNGfwEbeRWgbNEkqO,x=y", None),
        (PLAIN, b"", malformed("channel binding flag")),
        (PLAIN, b"n", malformed("channel binding flag")),
        (PLAIN, b"x,,n=,r=rOprNGfwEbeRWgbNEkqO", malformed("channel binding flag")),
        (PLAIN, b"n,a=admin,n=,r=rOprNGfwEbeRWgbNEkqO", malformed("authorisation identity")),
        (PLAIN, b"n,n=,r=rOprNGfwEbeRWgbNEkqO", malformed("authorisation identity")),
        (PLAIN, b"n,,m=ext,n=,r=rOprNGfwEbeRWgbNEkqO", malformed("user name")),
        (PLAIN, b"n,,r=rOprNGfwEbeRWgbNEkqO", malformed("user name")),
        (PLAIN, b"n,,n=", malformed("nonce")),
        (PLAIN, b"n,,n=,r=", malformed("nonce")),
        (PLAIN, b"n,,n=,r=with space0000000", malformed("nonce")),
        (PLAIN, "n,,n=,r=ümlaut0000000000".as_bytes(), malformed("nonce")),
        (PLAIN, b"n,,n=,r=rOprNGfwEbeRWgbNEkqO,", malformed("extension")),
        (PLAIN, b"n,,n=,r=rOprNGfwEbeRWgbNEkqO,xy", malformed("extension")),
        (PLAIN, b"n,,n=\0,r=rOprNGfwEbeRWgbNEkqO", malformed("message")),
        (PLAIN, b"n,,n=\xff,r=rOprNGfwEbeRWgbNEkqO", malformed("message")),
        (PLAIN, b"p=tls-server-end-point,,n=,r=rOprNGfwEbeRWgbNEkqO", Some(Binding)),
        (PLUS, b"p=tls-server-end-point,,n=,r=rOprNGfwEbeRWgbNEkqO", None),
        (PLUS, b"p=tls-unique,,n=,r=rOprNGfwEbeRWgbNEkqO", Some(Binding)),
        (PLUS, b"n,,n=,r=rOprNGfwEbeRWgbNEkqO", Some(Binding)),
        (PLUS, b"y,,n=,r=rOprNGfwEbeRWgbNEkqO", Some(Binding)),
        (b"SCRAM-SHA-1", b"n,,n=,r=rOprNGfwEbeRWgbNEkqO", Some(ScramError::Mechanism("SCRAM-SHA-1".into()))),
        (b"", b"n,,n=,r=rOprNGfwEbeRWgbNEkqO", Some(ScramError::Mechanism(String::new()))),
    ];
    for (mechanism, first, expected) in cases {
        let found = Server::start(mechanism, first, &bound(b"h"), verifiers(&[]), SERVER_NONCE).err();
        assert_eq!(&found, expected, "{}", first.escape_ascii());
    }
    let long = [b"n,,n=,r=rOprNGfwEbeRWgbNEkqO,x=", vec![b'y'; 3_000].as_slice()].concat();
    let found = Server::start(PLAIN, &long, &none(), verifiers(&[]), SERVER_NONCE).err();
    assert_eq!(found, Some(Malformed("message")));
}

#[test]
fn a_last_message_of_a_client_is_refused_unless_it_fits() {
    let start = || {
        let started =
            Server::start(PLAIN, RFC_CLIENT_FIRST, &none(), verifiers(&["pencil"]), RFC_SERVER_NONCE);
        started.unwrap().0
    };
    let good = std::str::from_utf8(RFC_CLIENT_FINAL).unwrap();
    assert!(start().finish(good.as_bytes()).is_ok());
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        start().finish(good.replacen(from, to, 1).as_bytes()).unwrap_err()
    };
    assert_eq!(changed("p=dHzb", "p=eHzb"), ScramError::Proof);
    assert_eq!(changed("c=biws", "c=eSws"), ScramError::Binding);
    assert_eq!(changed("c=biws", "c=biw"), ScramError::Malformed("channel binding"));
    assert_eq!(changed("c=biws", "c=biwt"), ScramError::Binding);
    assert_eq!(changed("$k0", "$k1"), ScramError::Nonce);
    assert_eq!(changed("r=rOprNG", "r=ropRNG"), ScramError::Nonce);
    assert_eq!(changed("ndVQ=", "ndVQ"), ScramError::Malformed("proof"));
    assert_eq!(changed("ndVQ=", "ndVR="), ScramError::Malformed("proof"), "stray bits of base64");
    assert_eq!(changed("ndVQ=", "ndVQ=,x=y"), ScramError::Malformed("proof"), "the proof is last");
    assert_eq!(changed(",p=", ",p=AAAA"), ScramError::Malformed("proof"), "35 bytes");
    assert_eq!(changed(",p=", ",x=y,p="), ScramError::Proof, "an extension is part of what is proved");
    assert_eq!(changed("c=biws,", ""), ScramError::Malformed("channel binding"));
    for garbage in [&b""[..], b",", b"p=", b"c=,r=,p=", b"\xff,p=x", b"e=other-error"] {
        assert!(start().finish(garbage).is_err(), "{}", garbage.escape_ascii());
    }
}

#[test]
fn a_server_is_not_believed_unless_it_fits() {
    let read = |first: &[u8]| {
        let (client, _) = Client::start(ClientBinding::Unsupported, RFC_CLIENT_NONCE).unwrap();
        client.challenge(first).map(|_| ())
    };
    let with = |tail: &str| read(format!("r={RFC_CLIENT_NONCE}{tail}").as_bytes());
    assert_eq!(read(RFC_SERVER_FIRST), Ok(()));
    assert_eq!(with("srv,s=W22Z,i=4096"), Ok(()));
    assert_eq!(with(",s=W22Z,i=4096"), Err(ScramError::Nonce), "the server adds nothing of its own");
    assert_eq!(read(b"r=another,s=W22Z,i=4096"), Err(ScramError::Nonce));
    assert_eq!(with("srv,s=W22Z,i=4095"), Err(ScramError::Iterations(4095)));
    assert_eq!(
        with("srv,s=W22Z,i=1000001"),
        Err(ScramError::Iterations(ITERATIONS_MAX + 1)),
        "hours of work"
    );
    assert_eq!(with("srv,s=W22Z,i=4294967296"), Err(ScramError::Malformed("iteration count")));
    assert_eq!(with("srv,s=W22Z,i=+4096"), Err(ScramError::Malformed("iteration count")));
    assert_eq!(with("srv,s=W22Z,i="), Err(ScramError::Malformed("iteration count")));
    assert_eq!(with("srv,s=,i=4096"), Err(ScramError::Malformed("salt")));
    assert_eq!(with("srv,s=W22,i=4096"), Err(ScramError::Malformed("salt")));
    assert_eq!(with("srv,i=4096,s=W22Z"), Err(ScramError::Malformed("salt")), "out of order");
    assert_eq!(read(b"m=ext,r=x,s=W22Z,i=4096"), Err(ScramError::Malformed("nonce")));

    let answered = || {
        let (client, _) = Client::start(ClientBinding::Unsupported, RFC_CLIENT_NONCE).unwrap();
        let challenge = client.challenge(RFC_SERVER_FIRST).unwrap();
        let keys = challenge.keys(b"pencil").unwrap();
        challenge.answer(&keys).0
    };
    assert_eq!(answered().verify(RFC_SERVER_FINAL), Err(ScramError::ServerProof), "of another exchange");
    assert_eq!(answered().verify(b"v="), Err(ScramError::Malformed("server signature")));
    assert_eq!(answered().verify(b""), Err(ScramError::Malformed("server signature")));
    assert_eq!(answered().verify(b"e=invalid-proof"), Err(ScramError::Refused("invalid-proof".into())));
}

#[test]
fn the_client_binds_where_it_can() {
    let choose = |offered: &[&str], hash: Option<&[u8]>| {
        ClientBinding::choose(offered.iter().map(|name| name.as_bytes()), hash.map(<[u8]>::to_vec))
    };
    let both = [SCRAM_SHA_256_PLUS, SCRAM_SHA_256];
    assert_eq!(choose(&both, Some(b"h")), Some(ClientBinding::TlsServerEndPoint(b"h".to_vec())));
    assert_eq!(choose(&both, None), Some(ClientBinding::Unsupported));
    assert_eq!(choose(&[SCRAM_SHA_256], Some(b"h")), Some(ClientBinding::NotOffered));
    assert_eq!(choose(&[SCRAM_SHA_256_PLUS], None), None);
    assert_eq!(choose(&["OAUTHBEARER"], Some(b"h")), None);
    assert_eq!(none().mechanisms(), [SCRAM_SHA_256]);
    assert_eq!(bound(b"h").mechanisms(), both);
}

#[test]
fn passwords_are_prepared_as_postgresql_prepares_them() {
    let key = |password: &[u8]| StoredKey::derive(password, b"salt", 4096).unwrap();
    assert_eq!(key("I\u{ad}X".as_bytes()), key(b"IX"), "RFC 4013: a soft hyphen is nothing");
    assert_eq!(key("\u{aa}".as_bytes()), key(b"a"), "RFC 4013: compatibility forms");
    assert_eq!(key("a\u{a0}b".as_bytes()), key(b"a b"), "RFC 4013: other spaces");
    assert_ne!(key(b"user"), key(b"USER"));
    assert_ne!(key(b"\x07"), key(b""), "prohibited characters are kept as they are");
    assert_ne!(key("\u{ad}".as_bytes()), key(b""), "a password is never prepared to nothing");
    assert_ne!(key(b"\xff\xfe"), key(b"\xff"), "bytes that are no text too");
}

#[test]
fn unusable_arguments_are_refused() {
    assert!(Client::start(ClientBinding::Unsupported, "short").is_err());
    assert!(Client::start(ClientBinding::Unsupported, "a comma, in the nonce").is_err());
    let first = b"n,,n=,r=rOprNGfwEbeRWgbNEkqO";
    assert!(Server::start(PLAIN, first, &none(), verifiers(&[]), "").is_err());
    assert!(matches!(ClientKeys::derive(b"x", b"", 4096), Err(ScramError::Argument("salt"))));
    assert!(matches!(ClientKeys::derive(b"x", b"salt", 4095), Err(ScramError::Iterations(4095))));
    assert!(Verifiers::new(vec![1; 257], 4096, Vec::new()).is_err());
    assert_eq!(format!("{:?}", StoredKey::derive(b"x", b"salt", 4096).unwrap()), "StoredKey(..)");
}

#[test]
fn md5_answers_are_those_of_libpq() {
    assert_eq!(
        md5::answer(b"md5_user", b"password", [0x2a, 0x3d, 0x8f, 0xe0]),
        "md562af4dd09bbb41884907a838a3233294"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_password_is_proved_and_no_other(password in "\\PC{1,12}", other in "\\PC{1,12}") {
        let right = exchange(&password, verifiers(&[&password]), ClientBinding::Unsupported, &none());
        prop_assert_eq!(right, Ok(0));
        let key = |password: &str| StoredKey::derive(password.as_bytes(), b"s", 4096);
        let same = key(&password) == key(&other);
        let wrong = exchange(&other, verifiers(&[&password]), ClientBinding::Unsupported, &none());
        prop_assert_eq!(wrong.is_ok(), same);
    }
}
