//! Golden messages are understood, in full and only when whole, and encoded to the same bytes.

use bytes::BytesMut;
use countersign_wire::postgres::startup::Opening;
use countersign_wire::postgres::{Limits, Malformed, Phase, backend, frontend};

use crate::describe;
use crate::vectors::{From, VECTORS, Vector};

fn says(from: From, bytes: &[u8]) -> Result<Option<(String, usize)>, Malformed> {
    let front = |phase| {
        frontend::Message::decode(bytes, &Limits::new(phase)).map(|found| {
            found.map(|(message, used)| {
                assert_eq!(message.raw(), &bytes[..used]);
                (describe::frontend(message.body()), used)
            })
        })
    };
    let back = |phase| {
        backend::Message::decode(bytes, &Limits::new(phase)).map(|found| {
            found.map(|(message, used)| {
                assert_eq!(message.raw(), &bytes[..used]);
                (describe::backend(message.body()), used)
            })
        })
    };
    match from {
        From::Opening => Opening::decode(bytes)
            .map(|found| found.map(|(opening, used)| (describe::opening(&opening), used))),
        From::ClientLogin => front(Phase::ClientLogin),
        From::Client => front(Phase::Client),
        From::ServerLogin => back(Phase::ServerLogin),
        From::Server => back(Phase::Server),
    }
}

#[test]
fn each_says_what_it_says() {
    for Vector { name, from, bytes, says: expected, .. } in VECTORS {
        let found = says(*from, bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found, Some(((*expected).to_owned(), bytes.len())), "{name}");
    }
}

#[test]
fn each_is_understood_only_when_whole_and_leaves_what_follows() {
    for Vector { name, from, bytes, says: expected, .. } in VECTORS {
        for end in 0..bytes.len() {
            assert_eq!(says(*from, &bytes[..end]), Ok(None), "{name} cut at {end}");
        }
        let followed = [*bytes, b"Z\0\0\0\x05I"].concat();
        let found = says(*from, &followed).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found, Some(((*expected).to_owned(), bytes.len())), "{name}");
    }
}

#[test]
fn each_is_encoded_to_the_same_bytes_behind_what_is_there() {
    for Vector { name, bytes, encode, .. } in VECTORS {
        let Some(encode) = encode else { continue };
        let mut out = BytesMut::from(&b"before"[..]);
        encode(&mut out);
        let expected = [b"before", *bytes].concat();
        assert_eq!(hex::encode(&out), hex::encode(expected), "{name}");
    }
}

#[test]
fn every_message_type_has_a_vector() {
    let have = |from: &[From]| {
        let mut tags: Vec<u8> =
            VECTORS.iter().filter(|v| from.contains(&v.from)).map(|v| v.bytes[0]).collect();
        tags.sort_unstable();
        tags.dedup();
        String::from_utf8(tags).unwrap()
    };
    assert_eq!(have(&[From::ClientLogin]), "p");
    assert_eq!(have(&[From::Client]), "BCDEFHPQSXcdf");
    assert_eq!(have(&[From::ServerLogin]), "KRSv");
    assert_eq!(have(&[From::Server]), "123ACDEGHINSTVWZcdnst");
}

#[test]
fn every_other_type_byte_is_refused_as_soon_as_it_is_there() {
    let known: [(Phase, &[u8]); 4] = [
        (Phase::ClientLogin, b"p"),
        (Phase::Client, b"BCDEFHPQSXcdf"),
        (Phase::ServerLogin, b"EKNRSZv"),
        (Phase::Server, b"123ACDEGHINSTVWZcdnst"),
    ];
    for (phase, tags) in known {
        for tag in 0..=u8::MAX {
            let found = countersign_wire::postgres::FrameHead::decode(&[tag], &Limits::new(phase));
            match tags.contains(&tag) {
                true => assert_eq!(found, Ok(None), "{phase:?} {tag}"),
                false => assert!(matches!(found, Err(Malformed::UnexpectedType { .. })), "{phase:?} {tag}"),
            }
        }
    }
}

#[test]
fn a_command_tag_is_read_for_its_verb_and_rows() {
    let cases: &[(&[u8], &[u8], Option<u64>)] = &[
        (b"DELETE 12", b"DELETE", Some(12)),
        (b"INSERT 0 5", b"INSERT", Some(5)),
        (b"SELECT 0", b"SELECT", Some(0)),
        (b"COPY 18446744073709551615", b"COPY", Some(u64::MAX)),
        (b"COPY 18446744073709551616", b"COPY", None),
        (b"COPY", b"COPY", None),
        (b"REFRESH MATERIALIZED VIEW", b"REFRESH MATERIALIZED VIEW", None),
        (b"", b"", None),
        (b"DELETE ", b"DELETE", None),
        (b"DELETE -1", b"DELETE -", None),
        (b"DELETE +1", b"DELETE +", None),
        (b"7", b"", Some(7)),
    ];
    for (tag, verb, rows) in cases {
        let mut out = BytesMut::new();
        countersign_wire::postgres::encode::server::command_complete(&mut out, tag).unwrap();
        let (message, _) = backend::Message::decode(&out, &Limits::new(Phase::Server)).unwrap().unwrap();
        let backend::Body::CommandComplete(found) = message.body() else { panic!("not a CommandComplete") };
        assert_eq!((found.verb(), found.rows()), (*verb, *rows), "{}", tag.escape_ascii());
    }
}

#[test]
fn login_answers_are_read_as_the_exchange_says() {
    let login = |bytes: &'static [u8]| {
        let (message, _) =
            frontend::Message::decode(bytes, &Limits::new(Phase::ClientLogin)).unwrap().unwrap();
        let frontend::Body::Login(answer) = *message.body() else { panic!("not a login answer") };
        answer
    };
    assert_eq!(login(b"p\0\0\0\x07ab\0").password(), Ok(b"ab".as_slice()));
    assert!(login(b"p\0\0\0\x06ab").password().is_err(), "no terminator");
    assert!(login(b"p\0\0\0\x09ab\0c\0").password().is_err(), "a NUL inside");
    let initial = login(b"p\0\0\0\x0cSCR\0\0\0\0\0").sasl_initial().unwrap();
    assert_eq!((initial.mechanism, initial.data), (b"SCR".as_slice(), Some(b"".as_slice())));
    let initial = login(b"p\0\0\0\x0cSCR\0\xff\xff\xff\xff").sasl_initial().unwrap();
    assert_eq!((initial.mechanism, initial.data), (b"SCR".as_slice(), None));
    for wrong in [
        b"p\0\0\0\x0cSCR\0\xff\xff\xff\xfe".as_slice(),
        b"p\0\0\0\x0cSCR\0\x80\0\0\0",
        b"p\0\0\0\x0cSCR\0\0\0\0\x01",
        b"p\0\0\0\x0dSCR\0\0\0\0\0x",
        b"p\0\0\0\x07SCR",
        b"p\0\0\0\x04",
    ] {
        assert!(login(wrong).sasl_initial().is_err(), "{}", wrong.escape_ascii());
    }
}

#[test]
fn formats_apply_as_none_one_or_each() {
    let bind = VECTORS.iter().find(|v| v.name == "bind").unwrap().bytes;
    let (message, _) = frontend::Message::decode(bind, &Limits::new(Phase::Client)).unwrap().unwrap();
    let frontend::Body::Bind(bind) = message.body() else { panic!("not a Bind") };
    use countersign_wire::postgres::Format::{Binary, Text};
    assert_eq!([0, 1, 2].map(|index| bind.formats.of(index)), [Some(Text), Some(Binary), None]);
    let one = VECTORS.iter().find(|v| v.name == "bind-one-format-for-all").unwrap().bytes;
    let (message, _) = frontend::Message::decode(one, &Limits::new(Phase::Client)).unwrap().unwrap();
    let frontend::Body::Bind(bind) = message.body() else { panic!("not a Bind") };
    assert_eq!([bind.formats.of(9), bind.result_formats.of(9)], [Some(Binary), Some(Text)]);
}

#[test]
fn secrets_are_not_printed() {
    let shown = |bytes: &'static [u8]| {
        let (message, _) =
            frontend::Message::decode(bytes, &Limits::new(Phase::ClientLogin)).unwrap().unwrap();
        format!("{message:?}")
    };
    assert!(!shown(b"p\0\0\0\x0csecret!\0").contains("secret"));
    let (cancel, _) =
        Opening::decode(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\x30\x39\xde\xad\xbe\xef").unwrap().unwrap();
    assert_eq!(format!("{cancel:?}"), "Cancel(CancelRequest(12345, key of 4 bytes))");
    let row = b"D\0\0\0\x0c\0\x01\0\0\0\x02SS";
    let (message, _) = backend::Message::decode(row, &Limits::new(Phase::Server)).unwrap().unwrap();
    assert!(!format!("{message:?}").contains("83"), "{message:?}");
    let query = b"Q\0\0\0\x22ALTER ROLE a PASSWORD 'topaz'\0";
    let (message, _) = frontend::Message::decode(query, &Limits::new(Phase::Client)).unwrap().unwrap();
    assert_eq!(format!("{message:?}"), "Message { frame: Frame(Q, 35 bytes), body: Query }");
    let error = VECTORS.iter().find(|vector| vector.name == "error").unwrap().bytes;
    let (message, _) = backend::Message::decode(error, &Limits::new(Phase::Server)).unwrap().unwrap();
    let backend::Body::ErrorResponse(fields) = message.body() else { panic!("not an error") };
    assert_eq!(format!("{fields:?}"), "ErrorFields(ERROR 42501)");
}
