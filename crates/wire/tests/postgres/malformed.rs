//! Lengths, counts and bodies that are not what they say: each is refused with its reason, and nothing is
//! forwarded.

use bytes::BytesMut;
use countersign_wire::postgres::encode::{Report, Unencodable, client, server};
use countersign_wire::postgres::frame::{LARGE_LEN_MAX, LOGIN_LEN_MAX, PROTOCOL_LEN_MAX, SMALL_LEN_MAX};
use countersign_wire::postgres::startup::{Opening, ProtocolVersion, STARTUP_LEN_MAX};
use countersign_wire::postgres::{FrameHead, Limits, Malformed, Phase, backend, frontend};

/// Decodes `tag` with this body and a truthful length.
fn refused(phase: Phase, tag: u8, body: &[u8]) -> String {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    let limits = Limits::new(phase);
    let error = match phase {
        Phase::ClientLogin | Phase::Client => {
            frontend::Message::decode(&bytes, &limits).map(|_| ()).unwrap_err()
        }
        Phase::ServerLogin | Phase::Server => {
            backend::Message::decode(&bytes, &limits).map(|_| ()).unwrap_err()
        }
    };
    error.to_string()
}

fn check(phase: Phase, cases: &[(u8, &[u8], &str)]) {
    for (tag, body, reason) in cases {
        let found = refused(phase, *tag, body);
        assert!(found.contains(reason), "{} {}: {found}", tag.escape_ascii(), body.escape_ascii());
    }
}

#[test]
fn malformed_client_bodies() {
    check(
        Phase::Client,
        &[
            (b'Q', b"", "ends inside its text"),
            (b'Q', b"SELECT 1", "ends inside its text"),
            (b'Q', b"SELECT 1\0DELETE FROM t\0", "14 bytes after its last field"),
            (b'Q', b"\0\0", "1 bytes after its last field"),
            (b'P', b"", "ends inside its statement name"),
            (b'P', b"s\0", "ends inside its text"),
            (b'P', b"s\0x\0", "ends inside its parameter types"),
            (b'P', b"s\0x\0\0", "ends inside its parameter types"),
            (b'P', b"s\0x\0\0\x01", "ends inside its parameter types"),
            (b'P', b"s\0x\0\0\x01\0\0\0", "ends inside its parameter types"),
            (b'P', b"s\0x\0\xff\xff\0\0\0\x17", "ends inside its parameter types"),
            (b'P', b"s\0x\0\x80\0\0\0\0\x17", "ends inside its parameter types"),
            (b'P', b"s\0x\0\0\0\0", "1 bytes after its last field"),
            (b'B', b"", "ends inside its portal name"),
            (b'B', b"p\0", "ends inside its statement name"),
            (b'B', b"p\0s\0", "ends inside its parameter formats"),
            (b'B', b"p\0s\0\0\x01", "ends inside its parameter formats"),
            (b'B', b"p\0s\0\xff\xff\0\0", "ends inside its parameter formats"),
            (b'B', b"p\0s\0\0\x01\0\x02\0\0\0\0", "parameter formats of Bind can't be 2"),
            (b'B', b"p\0s\0\0\x01\xff\xff\0\0\0\0", "parameter formats of Bind can't be 65535"),
            (b'B', b"p\0s\0\0\0", "ends inside its parameters"),
            (b'B', b"p\0s\0\0\0\0\x01", "ends inside its parameters"),
            (b'B', b"p\0s\0\0\0\xff\xff", "ends inside its parameters"),
            (b'B', b"p\0s\0\0\0\0\x01\0\0\0\x05ab\0\0", "ends inside its parameters"),
            (b'B', b"p\0s\0\0\0\0\x01\x7f\xff\xff\xffab", "ends inside its parameters"),
            (b'B', b"p\0s\0\0\0\0\x01\xff\xff\xff\xfe\0\0", "parameters of Bind can't be -2"),
            (b'B', b"p\0s\0\0\0\0\x01\x80\0\0\0\0\0", "parameters of Bind can't be -2147483648"),
            (b'B', b"p\0s\0\0\x02\0\0\0\0\0\x01\0\0\0\0\0\0", "number of format codes of Bind can't be 2"),
            (b'B', b"p\0s\0\0\x02\0\0\0\0\0\0\0\0", "number of format codes of Bind can't be 2"),
            (b'B', b"p\0s\0\0\0\0\0", "ends inside its result formats"),
            (b'B', b"p\0s\0\0\0\0\0\0\x01\0\x09", "result formats of Bind can't be 9"),
            (b'B', b"p\0s\0\0\0\0\0\0\0X\0\0\0\x04", "5 bytes after its last field"),
            (b'D', b"", "ends inside its kind"),
            (b'D', b"S", "ends inside its name"),
            (b'D', b"Sname", "ends inside its name"),
            (b'D', b"Xname\0", "kind of Describe can't be 88"),
            (b'D', b"Sname\0\0", "1 bytes after its last field"),
            (b'C', b"", "ends inside its kind"),
            (b'C', b"\0\0", "kind of Close can't be 0"),
            (b'C', b"Pname\0more", "4 bytes after its last field"),
            (b'E', b"", "ends inside its portal name"),
            (b'E', b"p\0", "ends inside its row limit"),
            (b'E', b"p\0\0\0\0", "ends inside its row limit"),
            (b'E', b"p\0\xff\xff\xff\xff", "row limit of Execute can't be -1"),
            (b'E', b"p\0\x80\0\0\0", "row limit of Execute can't be -2147483648"),
            (b'E', b"p\0\0\0\0\0\0", "1 bytes after its last field"),
            (b'F', b"\0\0\x04", "ends inside its function"),
            (b'F', b"\0\0\0\x01", "ends inside its argument formats"),
            (b'F', b"\0\0\0\x01\0\0\0\x01\xff\xff\xff\xfd\0\0", "arguments of FunctionCall can't be -3"),
            (b'F', b"\0\0\0\x01\0\0\0\0", "ends inside its result format"),
            (b'F', b"\0\0\0\x01\0\0\0\0\0\x02", "result format of FunctionCall can't be 2"),
            (b'F', b"\0\0\0\x01\0\x03\0\0\0\0\0\0\0\0\0\0", "number of format codes of FunctionCall"),
            (b'F', b"\0\0\0\x01\0\0\0\0\0\0!", "1 bytes after its last field"),
            (b'H', b"\0", "Flush has 1 bytes"),
            (b'S', b"S\0\0\0\x04", "Sync has 5 bytes"),
            (b'c', b"\0", "CopyDone has 1 bytes"),
            (b'X', b"bye", "Terminate has 3 bytes"),
            (b'f', b"no end", "ends inside its reason"),
            (b'f', b"a\0b\0", "2 bytes after its last field"),
        ],
    );
}

#[test]
fn malformed_server_bodies() {
    check(
        Phase::Server,
        &[
            (b'1', b"x", "ParseComplete has 1 bytes"),
            (b'2', b"x", "BindComplete has 1 bytes"),
            (b'3', b"x", "CloseComplete has 1 bytes"),
            (b'n', b"x", "NoData has 1 bytes"),
            (b's', b"x", "PortalSuspended has 1 bytes"),
            (b'I', b"x", "EmptyQueryResponse has 1 bytes"),
            (b'c', b"x", "CopyDone has 1 bytes"),
            (b'Z', b"", "ends inside its status"),
            (b'Z', b"X", "status of ReadyForQuery can't be 88"),
            (b'Z', b"II", "1 bytes after its last field"),
            (b'C', b"DELETE 1", "ends inside its tag"),
            (b'C', b"DELETE 1\0\0", "1 bytes after its last field"),
            (b'D', b"\0", "ends inside its columns"),
            (b'D', b"\0\x01", "ends inside its columns"),
            (b'D', b"\xff\xff", "ends inside its columns"),
            (b'D', b"\0\x01\0\0\0\x02a", "ends inside its columns"),
            (b'D', b"\0\x01\xff\xff\xff\xfe", "columns of DataRow can't be -2"),
            (b'D', b"\0\x01\0\0\0\x01ab", "1 bytes after its last field"),
            (b'T', b"\0", "ends inside its number of columns"),
            (b'T', b"\0\x01", "ends inside its column name"),
            (b'T', b"\0\x01id\0\0\0\0\x01\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff", "ends inside its format"),
            (
                b'T',
                b"\0\x01id\0\0\0\0\x01\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x02",
                "format of RowDescription",
            ),
            (b'T', b"\0\0x", "1 bytes after its last field"),
            (b't', b"\0\x01\0\0\0", "ends inside its types"),
            (b't', b"\0\0\0", "1 bytes after its last field"),
            (b'E', b"", "ends inside its field type"),
            (b'E', b"SERROR", "ends inside its field"),
            (b'E', b"SERROR\0", "ends inside its field type"),
            (b'E', b"SERROR\0\0Z\0\0\0\x05I", "6 bytes after its last field"),
            (b'N', b"SNOTICE\0", "ends inside its field type"),
            (b'S', b"a\0b", "ends inside its value"),
            (b'S', b"a\0b\0c\0", "2 bytes after its last field"),
            (b'A', b"\0\0\0", "ends inside its process number"),
            (b'A', b"\0\0\0\x01c\0", "ends inside its payload"),
            (b'G', b"", "ends inside its overall format"),
            (b'G', b"\x02\0\0", "overall format of CopyInResponse can't be 2"),
            (b'H', b"\0\0\x01", "ends inside its column formats"),
            (b'H', b"\0\0\x01\0\x05", "column formats of CopyOutResponse can't be 5"),
            (b'W', b"\0\0\0\0", "1 bytes after its last field"),
            (b'V', b"\0\0\0\x02a", "ends inside its result"),
            (b'V', b"\xff\xff\xff\xf0", "result of FunctionCallResponse can't be -16"),
        ],
    );
    check(
        Phase::ServerLogin,
        &[
            (b'R', b"\0\0\0", "ends inside its kind"),
            (b'R', b"\0\0\0\x01", "kind of Authentication can't be 1"),
            (b'R', b"\0\0\0\x06", "kind of Authentication can't be 6"),
            (b'R', b"\0\0\0\x0d", "kind of Authentication can't be 13"),
            (b'R', b"\0\0\0\0x", "1 bytes after its last field"),
            (b'R', b"\0\0\0\x05abc", "ends inside its salt"),
            (b'R', b"\0\0\0\x05abcde", "1 bytes after its last field"),
            (b'R', b"\0\0\0\x0aSCRAM-SHA-256\0", "ends inside its mechanism"),
            (b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0x", "1 bytes after its last field"),
            (b'K', b"\0\0\0\x01abc", "cancel key length of BackendKeyData can't be 3"),
            (b'K', &[0; 4 + 257], "cancel key length of BackendKeyData can't be 257"),
            (
                b'v',
                b"\0\x03\0\0\xff\xff\xff\xff",
                "number of options of NegotiateProtocolVersion can't be -1",
            ),
            (b'v', b"\0\x03\0\0\x7f\xff\xff\xff", "ends inside its option"),
            (b'v', b"\0\x03\0\0\0\0\0\x01_pq_.x", "ends inside its option"),
        ],
    );
}

#[test]
fn impossible_lengths_are_refused_before_anything_is_waited_for() {
    for phase in [Phase::ClientLogin, Phase::Client, Phase::ServerLogin, Phase::Server] {
        let tag = if phase == Phase::ClientLogin { b'p' } else { b'S' };
        for len in [0_u32, 1, 2, 3, 0x8000_0000, 0x8000_0004, 0xffff_ffff, 0xffff_fffb] {
            let head = [&[tag], len.to_be_bytes().as_slice()].concat();
            let found = FrameHead::decode(&head, &Limits::new(phase));
            assert!(matches!(found, Err(Malformed::ImpossibleLength { .. })), "{phase:?} {len}: {found:?}");
        }
    }
    let streams = [b"d".as_slice(), &0x8000_0000_u32.to_be_bytes()].concat();
    assert!(FrameHead::decode(&streams, &Limits::new(Phase::Client)).is_err(), "not even for copy data");
}

#[test]
fn a_length_is_allowed_up_to_its_limit_and_not_one_byte_more() {
    let largest: &[(Phase, u8, u32)] = &[
        (Phase::ClientLogin, b'p', LOGIN_LEN_MAX),
        (Phase::Client, b'Q', LARGE_LEN_MAX),
        (Phase::Client, b'P', LARGE_LEN_MAX),
        (Phase::Client, b'B', LARGE_LEN_MAX),
        (Phase::Client, b'F', LARGE_LEN_MAX),
        (Phase::Client, b'E', SMALL_LEN_MAX),
        (Phase::Client, b'S', SMALL_LEN_MAX),
        (Phase::Client, b'f', SMALL_LEN_MAX),
        (Phase::Client, b'd', PROTOCOL_LEN_MAX),
        (Phase::ServerLogin, b'R', 30_000),
        (Phase::ServerLogin, b'E', 30_000),
        (Phase::Server, b'Z', 30_000),
        (Phase::Server, b'E', LARGE_LEN_MAX),
        (Phase::Server, b'T', LARGE_LEN_MAX),
        (Phase::Server, b'D', PROTOCOL_LEN_MAX),
        (Phase::Server, b'd', PROTOCOL_LEN_MAX),
        (Phase::Server, b'V', PROTOCOL_LEN_MAX),
    ];
    for (phase, tag, max) in largest {
        let head = |len: u32| [&[*tag], len.to_be_bytes().as_slice()].concat();
        let limits = Limits::new(*phase);
        assert_eq!(FrameHead::decode(&head(*max), &limits).unwrap().unwrap().len(), *max, "{phase:?}");
        let over = FrameHead::decode(&head(max + 1), &limits);
        match *max == PROTOCOL_LEN_MAX {
            true => assert!(matches!(over, Err(Malformed::ImpossibleLength { .. })), "{phase:?}"),
            false => {
                let error = over.unwrap_err();
                assert!(matches!(error, Malformed::TooLong { .. }), "{phase:?} {error}");
                assert_eq!(error.sqlstate(), "54000");
            }
        }
    }
}

#[test]
fn a_configured_limit_holds() {
    let limits = Limits { large_len_max: 100, ..Limits::new(Phase::Client) };
    assert!(FrameHead::decode(b"Q\0\0\0\x64", &limits).is_ok());
    let error = FrameHead::decode(b"Q\0\0\0\x65", &limits).unwrap_err();
    assert_eq!(error.to_string(), "Query of 101 bytes exceeds the limit of 100 bytes; send less at once");
}

#[test]
fn malformed_openings() {
    let cases: &[(&[u8], &str)] = &[
        (b"\0\0\0\0", "length 0 of StartupMessage is impossible"),
        (b"\0\0\0\x07", "length 7 of StartupMessage is impossible"),
        (b"\x80\0\0\0", "exceeds the limit of 10000"),
        (b"\xff\xff\xff\xff", "exceeds the limit of 10000"),
        (b"\0\0\x27\x11", "exceeds the limit of 10000"),
        (b"\x16\x03\x01\x02", "exceeds the limit of 10000"),
        (b"GET / HTTP/1.1\r\n", "exceeds the limit of 10000"),
        (b"\0\0\0\x08\0\x02\0\0", "protocol 2.0 is not supported"),
        (b"\0\0\0\x08\0\x04\0\0", "protocol 4.0 is not supported"),
        (b"\0\0\0\x08\x04\xd2\x16\x2d", "protocol 1234.5677 is not supported"),
        (b"\0\0\0\x09\x04\xd2\x16\x2fx", "SSLRequest has 1 bytes after"),
        (b"\0\0\0\x09\x04\xd2\x16\x30x", "GSSENCRequest has 1 bytes after"),
        (b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\x01", "cancel key length of CancelRequest can't be 0"),
        (b"\0\0\0\x0f\x04\xd2\x16\x2e\0\0\0\x01abc", "cancel key length of CancelRequest can't be 3"),
        (b"\0\0\0\x08\0\x03\0\0", "ends inside its parameter name"),
        (b"\0\0\0\x0d\0\x03\0\0user\0", "ends inside its parameter value"),
        (b"\0\0\0\x0f\0\x03\0\0user\0a\0", "ends inside its parameter name"),
        (b"\0\0\0\x0e\0\x03\0\0user\0a", "ends inside its parameter value"),
        (b"\0\0\0\x0a\0\x03\0\0\0x", "1 bytes after its last field"),
        (b"\0\0\0\x17\0\x03\0\0user\0a\0user\0b\0\0", "startup parameter `user` is given twice"),
        (b"\0\0\0\x17\0\x03\0\0user\0a\0USER\0b\0\0", "startup parameter `USER` is given twice"),
        (b"\0\0\0\x17\0\x03\0\0user\0a\0\0user\0b\0", "7 bytes after its last field"),
    ];
    for (bytes, reason) in cases {
        let error = Opening::decode(bytes).unwrap_err();
        assert!(error.to_string().contains(reason), "{}: {error}", bytes.escape_ascii());
    }
}

#[test]
fn the_largest_opening_is_understood_and_cancel_keys_have_limits() {
    let value = vec![b'x'; usize::try_from(STARTUP_LEN_MAX).unwrap() - 8 - b"user\0\0\0".len()];
    let mut out = BytesMut::new();
    client::startup(&mut out, ProtocolVersion::V3_0, &[(b"user", &value)]).unwrap();
    assert_eq!(out.len(), usize::try_from(STARTUP_LEN_MAX).unwrap());
    let (opening, used) = Opening::decode(&out).unwrap().unwrap();
    assert_eq!(used, out.len());
    let Opening::Startup(message) = opening else { panic!("not a StartupMessage") };
    assert_eq!(message.database(), Some(value.as_slice()), "named like the user");
    for (bytes, fits) in [(3, false), (4, true), (256, true), (257, false)] {
        let mut out = BytesMut::new();
        assert_eq!(client::cancel_request(&mut out, 1, &vec![1; bytes]).is_ok(), fits, "{bytes}");
        assert_eq!(server::backend_key_data(&mut out, 1, &vec![1; bytes]).is_ok(), fits, "{bytes}");
        let mut packet = u32::try_from(12 + bytes).unwrap().to_be_bytes().to_vec();
        packet.extend_from_slice(b"\x04\xd2\x16\x2e\0\0\0\x01");
        packet.resize(12 + bytes, 7);
        assert_eq!(Opening::decode(&packet).is_ok(), fits, "{bytes}");
    }
}

#[test]
fn startup_parameters_are_found() {
    let mut out = BytesMut::new();
    let parameters: [(&[u8], &[u8]); 4] =
        [(b"User", b"alice"), (b"DATABASE", b""), (b"_pq_.a", b"1"), (b"_pq_.b", b"2")];
    client::startup(&mut out, ProtocolVersion { major: 3, minor: 9_999 }, &parameters).unwrap();
    let (opening, _) = Opening::decode(&out).unwrap().unwrap();
    let Opening::Startup(message) = opening else { panic!("not a StartupMessage") };
    assert_eq!(message.user(), Some(b"alice".as_slice()));
    assert_eq!(message.database(), Some(b"alice".as_slice()), "an empty database is the user's");
    assert_eq!(message.parameter("missing"), None);
    assert_eq!(message.protocol_parameters().collect::<Vec<_>>(), [b"_pq_.a", b"_pq_.b"]);
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_the_buffer_as_it_was() {
    let mut out = BytesMut::from(&b"before"[..]);
    let nul = |field| Err(Unencodable::InteriorNul { field });
    assert_eq!(client::query(&mut out, b"SELECT 1\0; DROP TABLE t"), nul("statement"));
    assert_eq!(client::parse(&mut out, b"s\0", b"x", &[]), nul("statement name"));
    assert_eq!(client::password(&mut out, b"a\0b"), nul("password"));
    assert_eq!(client::copy_fail(&mut out, b"\0"), nul("reason"));
    assert_eq!(
        client::startup(&mut out, ProtocolVersion::V3_0, &[(b"user", b"a\0database\0b")]),
        nul("startup parameter value")
    );
    assert_eq!(
        client::startup(&mut out, ProtocolVersion::V3_0, &[(b"", b"a")]),
        Err(Unencodable::Empty { field: "startup parameter name" })
    );
    assert_eq!(server::parameter_status(&mut out, b"a", b"\0b"), nul("setting value"));
    assert_eq!(
        server::authentication_sasl(&mut out, &["A", ""]),
        Err(Unencodable::Empty { field: "mechanism" })
    );
    let report = Report::new(countersign_wire::postgres::encode::Severity::Error, "XX000", "a").hint("b\0Mc");
    assert_eq!(report.encode(&mut out), nul("report"));
    let many = vec![None; 65_536];
    assert_eq!(server::data_row(&mut out, &many), Err(Unencodable::TooLong { field: "columns" }));
    assert_eq!(client::execute(&mut out, b"", 0x8000_0000), Err(Unencodable::TooLong { field: "row limit" }));
    assert_eq!(out, b"before"[..]);
    assert!(server::data_row(&mut out, &many[1..]).is_ok(), "65,535 columns can be said");
}

#[test]
fn what_is_malformed_is_told_in_the_protocols_words() {
    let error = Opening::decode(b"\0\0\0\x08\0\x02\0\0").unwrap_err();
    let mut out = BytesMut::new();
    Report::from(&error).encode(&mut out).unwrap();
    let (message, _) = backend::Message::decode(&out, &Limits::new(Phase::ServerLogin)).unwrap().unwrap();
    assert_eq!(
        crate::describe::backend(message.body()),
        "ErrorResponse fatal S=FATAL V=FATAL C=0A000 \
         M=protocol 2.0 is not supported; use a client that speaks protocol 3"
    );
}
