//! Golden messages: bytes written by hand from the documentation ("Message Formats"), what they say, and what
//! encodes them.

use bytes::BytesMut;
use countersign_wire::postgres::encode::client::{self, Binding, Call};
use countersign_wire::postgres::encode::server::{self, Done};
use countersign_wire::postgres::encode::{Report, Severity};
use countersign_wire::postgres::startup::ProtocolVersion;
use countersign_wire::postgres::{Column, Format, Target, TransactionStatus};

/// Who says it, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Opening,
    ClientLogin,
    Client,
    ServerLogin,
    Server,
}

pub struct Vector {
    pub name: &'static str,
    pub from: From,
    pub bytes: &'static [u8],
    /// As `describe` puts it.
    pub says: &'static str,
    /// `None` for what a gateway never says.
    pub encode: Option<fn(&mut BytesMut)>,
}

const fn vector(
    name: &'static str,
    from: From,
    bytes: &'static [u8],
    says: &'static str,
    encode: Option<fn(&mut BytesMut)>,
) -> Vector {
    Vector { name, from, bytes, says, encode }
}

pub const VECTORS: &[Vector] = &[
    // What opens a connection.
    vector(
        "ssl-request",
        From::Opening,
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        "SSLRequest",
        Some(client::ssl_request),
    ),
    vector(
        "gss-request",
        From::Opening,
        b"\0\0\0\x08\x04\xd2\x16\x30",
        "GSSENCRequest",
        Some(client::gss_request),
    ),
    vector(
        "cancel-short-key",
        From::Opening,
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\x30\x39\xde\xad\xbe\xef",
        "CancelRequest 12345 deadbeef",
        Some(|out| client::cancel_request(out, 12_345, &[0xde, 0xad, 0xbe, 0xef]).unwrap()),
    ),
    vector(
        "cancel-32-byte-key",
        From::Opening,
        b"\0\0\0\x2c\x04\xd2\x16\x2e\0\0\x30\x39kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
        "CancelRequest 12345 6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b",
        Some(|out| client::cancel_request(out, 12_345, &[b'k'; 32]).unwrap()),
    ),
    vector(
        "startup",
        From::Opening,
        b"\0\0\0\x22\0\x03\0\0user\0alice\0database\0shop\0\0",
        "StartupMessage 3.0 user=alice database=shop",
        Some(|out| {
            let parameters: [(&[u8], &[u8]); 2] = [(b"user", b"alice"), (b"database", b"shop")];
            client::startup(out, ProtocolVersion::V3_0, &parameters).unwrap();
        }),
    ),
    vector(
        "startup-3.2-with-protocol-parameter",
        From::Opening,
        b"\0\0\0\x21\0\x03\0\x02user\0alice\0_pq_.test\0on\0\0",
        "StartupMessage 3.2 user=alice _pq_.test=on",
        Some(|out| {
            let parameters: [(&[u8], &[u8]); 2] = [(b"user", b"alice"), (b"_pq_.test", b"on")];
            client::startup(out, ProtocolVersion::V3_2, &parameters).unwrap();
        }),
    ),
    vector(
        "startup-without-parameters",
        From::Opening,
        b"\0\0\0\x09\0\x03\0\0\0",
        "StartupMessage 3.0",
        Some(|out| client::startup(out, ProtocolVersion::V3_0, &[]).unwrap()),
    ),
    vector(
        "startup-empty-values-and-options",
        From::Opening,
        b"\0\0\0\x2f\0\x03\0\0user\0a\0options\0-c search_path=x\0host\0\0\0",
        "StartupMessage 3.0 user=a options=-c search_path=x host=",
        Some(|out| {
            let parameters: [(&[u8], &[u8]); 3] =
                [(b"user", b"a"), (b"options", b"-c search_path=x"), (b"host", b"")];
            client::startup(out, ProtocolVersion::V3_0, &parameters).unwrap();
        }),
    ),
    // While the client authenticates.
    vector(
        "password",
        From::ClientLogin,
        b"p\0\0\0\x0csecret!\0",
        "Login 7365637265742100",
        Some(|out| client::password(out, b"secret!").unwrap()),
    ),
    vector(
        "sasl-initial",
        From::ClientLogin,
        b"p\0\0\0\x36SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=fyko+d2lbbFgONRv9qkxdawL",
        "Login 534352414d2d5348412d32353600000000206e2c2c6e3d2c723d66796b6f2b64326c626246674f4e527639716b\
         786461774c",
        Some(|out| {
            client::sasl_initial(out, b"SCRAM-SHA-256", Some(b"n,,n=,r=fyko+d2lbbFgONRv9qkxdawL")).unwrap();
        }),
    ),
    vector(
        "sasl-initial-without-data",
        From::ClientLogin,
        b"p\0\0\0\x0eEXTRA\0\xff\xff\xff\xff",
        "Login 455854524100ffffffff",
        Some(|out| client::sasl_initial(out, b"EXTRA", None).unwrap()),
    ),
    vector(
        "sasl-response",
        From::ClientLogin,
        b"p\0\0\0\x0dc=biws,r=",
        "Login 633d626977732c723d",
        Some(|out| client::sasl_response(out, b"c=biws,r=").unwrap()),
    ),
    // What an authenticated client says.
    vector(
        "query",
        From::Client,
        b"Q\0\0\0\x0eSELECT 1;\0",
        "Query `SELECT 1;`",
        Some(|out| client::query(out, b"SELECT 1;").unwrap()),
    ),
    vector(
        "query-empty",
        From::Client,
        b"Q\0\0\0\x05\0",
        "Query ``",
        Some(|out| client::query(out, b"").unwrap()),
    ),
    vector(
        "query-not-utf8",
        From::Client,
        b"Q\0\0\0\x0fSELECT '\xe9'\0",
        "Query `SELECT '\\xe9'`",
        Some(|out| client::query(out, b"SELECT '\xe9'").unwrap()),
    ),
    vector(
        "parse",
        From::Client,
        b"P\0\0\0\x1es1\0select $1,$2\0\0\x02\0\0\0\x17\0\0\0\0",
        "Parse `s1` `select $1,$2` [23, 0]",
        Some(|out| client::parse(out, b"s1", b"select $1,$2", &[23, 0]).unwrap()),
    ),
    vector(
        "parse-unnamed",
        From::Client,
        b"P\0\0\0\x08\0\0\0\0",
        "Parse `` `` []",
        Some(|out| client::parse(out, b"", b"", &[]).unwrap()),
    ),
    vector(
        "parse-stand-in",
        From::Client,
        b"P\0\0\0\x2c\0countersign refused a statement here\0\0\0",
        "Parse `` `countersign refused a statement here` []",
        Some(client::stand_in_parse),
    ),
    vector(
        "query-stand-in",
        From::Client,
        b"Q\0\0\0\x29countersign refused a statement here\0",
        "Query `countersign refused a statement here`",
        Some(client::stand_in_query),
    ),
    vector(
        "bind",
        From::Client,
        b"B\0\0\0\x22p1\0s1\0\0\x02\0\0\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x02\0\x01\0\0",
        "Bind `p1` `s1` [Text, Binary] [6162, NULL] [Binary, Text]",
        Some(|out| {
            let binding = Binding {
                portal: b"p1",
                statement: b"s1",
                formats: &[Format::Text, Format::Binary],
                parameters: &[Some(b"ab"), None],
                result_formats: &[Format::Binary, Format::Text],
            };
            client::bind(out, &binding).unwrap();
        }),
    ),
    vector(
        "bind-one-format-for-all",
        From::Client,
        b"B\0\0\0\x17\0\0\0\x01\0\x01\0\x02\0\0\0\0\0\0\0\x01z\0\0",
        "Bind `` `` [Binary] [, 7a] []",
        Some(|out| {
            let parameters: &[Option<&[u8]>] = &[Some(b""), Some(b"z")];
            client::bind(out, &Binding { formats: &[Format::Binary], parameters, ..Binding::default() })
                .unwrap();
        }),
    ),
    vector(
        "bind-empty",
        From::Client,
        b"B\0\0\0\x0c\0\0\0\0\0\0\0\0",
        "Bind `` `` [] [] []",
        Some(|out| client::bind(out, &Binding::default()).unwrap()),
    ),
    vector(
        "describe-statement",
        From::Client,
        b"D\0\0\0\x08Ss1\0",
        "Describe Statement `s1`",
        Some(|out| client::describe(out, Target::Statement(b"s1")).unwrap()),
    ),
    vector(
        "describe-portal",
        From::Client,
        b"D\0\0\0\x06P\0",
        "Describe Portal ``",
        Some(|out| client::describe(out, Target::Portal(b"")).unwrap()),
    ),
    vector(
        "execute",
        From::Client,
        b"E\0\0\0\x0bp1\0\0\0\0\x64",
        "Execute `p1` 100",
        Some(|out| client::execute(out, b"p1", 100).unwrap()),
    ),
    vector(
        "execute-most-rows",
        From::Client,
        b"E\0\0\0\x09\0\x7f\xff\xff\xff",
        "Execute `` 2147483647",
        Some(|out| client::execute(out, b"", 2_147_483_647).unwrap()),
    ),
    vector(
        "close-statement",
        From::Client,
        b"C\0\0\0\x08Ss1\0",
        "Close Statement `s1`",
        Some(|out| client::close(out, Target::Statement(b"s1")).unwrap()),
    ),
    vector(
        "close-portal",
        From::Client,
        b"C\0\0\0\x08Pp1\0",
        "Close Portal `p1`",
        Some(|out| client::close(out, Target::Portal(b"p1")).unwrap()),
    ),
    vector("flush", From::Client, b"H\0\0\0\x04", "Flush", Some(client::flush)),
    vector("sync", From::Client, b"S\0\0\0\x04", "Sync", Some(client::sync)),
    vector(
        "function-call",
        From::Client,
        b"F\0\0\0\x1a\0\0\x04\xd2\0\x01\0\x01\0\x02\0\0\0\x02\x01\x02\xff\xff\xff\xff\0\x01",
        "FunctionCall 1234 [Binary] [0102, NULL] Binary",
        Some(|out| {
            let call = Call {
                function: 1234,
                formats: &[Format::Binary],
                arguments: &[Some(&[1, 2]), None],
                result_format: Format::Binary,
            };
            client::function_call(out, &call).unwrap();
        }),
    ),
    vector(
        "copy-data",
        From::Client,
        b"d\0\0\0\x091\tx\n\0",
        "CopyData 3109780a00",
        Some(|out| client::copy_data(out, b"1\tx\n\0").unwrap()),
    ),
    vector(
        "copy-data-empty",
        From::Client,
        b"d\0\0\0\x04",
        "CopyData ",
        Some(|out| client::copy_data(out, b"").unwrap()),
    ),
    vector("copy-done", From::Client, b"c\0\0\0\x04", "CopyDone", Some(client::copy_done)),
    vector(
        "copy-fail",
        From::Client,
        b"f\0\0\0\x09oops\0",
        "CopyFail `oops`",
        Some(|out| client::copy_fail(out, b"oops").unwrap()),
    ),
    vector("terminate", From::Client, b"X\0\0\0\x04", "Terminate", Some(client::terminate)),
    // What a server says before it is ready.
    vector(
        "authentication-ok",
        From::ServerLogin,
        b"R\0\0\0\x08\0\0\0\0",
        "Authentication Ok",
        Some(server::authentication_ok),
    ),
    vector(
        "authentication-kerberos",
        From::ServerLogin,
        b"R\0\0\0\x08\0\0\0\x02",
        "Authentication KerberosV5",
        None,
    ),
    vector(
        "authentication-cleartext",
        From::ServerLogin,
        b"R\0\0\0\x08\0\0\0\x03",
        "Authentication CleartextPassword",
        Some(server::authentication_cleartext),
    ),
    vector(
        "authentication-md5",
        From::ServerLogin,
        b"R\0\0\0\x0c\0\0\0\x05\x01\x02\x03\x04",
        "Authentication Md5Password 01020304",
        Some(|out| server::authentication_md5(out, [1, 2, 3, 4])),
    ),
    vector("authentication-gss", From::ServerLogin, b"R\0\0\0\x08\0\0\0\x07", "Authentication Gss", None),
    vector(
        "authentication-gss-continue",
        From::ServerLogin,
        b"R\0\0\0\x0a\0\0\0\x08\xaa\xbb",
        "Authentication GssContinue aabb",
        None,
    ),
    vector("authentication-sspi", From::ServerLogin, b"R\0\0\0\x08\0\0\0\x09", "Authentication Sspi", None),
    vector(
        "authentication-sasl",
        From::ServerLogin,
        b"R\0\0\0\x2a\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
        "Authentication Sasl [SCRAM-SHA-256-PLUS, SCRAM-SHA-256]",
        Some(|out| server::authentication_sasl(out, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]).unwrap()),
    ),
    vector(
        "authentication-sasl-continue",
        From::ServerLogin,
        b"R\0\0\0\x0b\0\0\0\x0br=x",
        "Authentication SaslContinue 723d78",
        Some(|out| server::authentication_sasl_continue(out, b"r=x").unwrap()),
    ),
    vector(
        "authentication-sasl-final",
        From::ServerLogin,
        b"R\0\0\0\x0b\0\0\0\x0cv=x",
        "Authentication SaslFinal 763d78",
        Some(|out| server::authentication_sasl_final(out, b"v=x").unwrap()),
    ),
    vector(
        "negotiate-protocol-version",
        From::ServerLogin,
        b"v\0\0\0\x16\0\x03\0\0\0\0\0\x01_pq_.test\0",
        "NegotiateProtocolVersion 3.0 [_pq_.test]",
        Some(|out| {
            server::negotiate_protocol_version(out, ProtocolVersion::V3_0, [b"_pq_.test".as_slice()])
                .unwrap();
        }),
    ),
    vector(
        "backend-key-data",
        From::ServerLogin,
        b"K\0\0\0\x0c\0\0\x30\x39\xde\xad\xbe\xef",
        "BackendKeyData 12345 deadbeef",
        Some(|out| server::backend_key_data(out, 12_345, &[0xde, 0xad, 0xbe, 0xef]).unwrap()),
    ),
    vector(
        "parameter-status-at-login",
        From::ServerLogin,
        b"S\0\0\0\x19server_version\x0015.18\0",
        "ParameterStatus server_version=15.18",
        Some(|out| server::parameter_status(out, b"server_version", b"15.18").unwrap()),
    ),
    // What a server says.
    vector(
        "ready-idle",
        From::Server,
        b"Z\0\0\0\x05I",
        "ReadyForQuery Idle",
        Some(|out| server::ready_for_query(out, TransactionStatus::Idle)),
    ),
    vector(
        "ready-in-transaction",
        From::Server,
        b"Z\0\0\0\x05T",
        "ReadyForQuery InTransaction",
        Some(|out| server::ready_for_query(out, TransactionStatus::InTransaction)),
    ),
    vector(
        "ready-failed",
        From::Server,
        b"Z\0\0\0\x05E",
        "ReadyForQuery Failed",
        Some(|out| server::ready_for_query(out, TransactionStatus::Failed)),
    ),
    vector(
        "row-description",
        From::Server,
        b"T\0\0\0\x2f\0\x02id\0\0\0\x40\x01\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0x\0\0\0\0\0\0\0\0\0\
          \0\x19\xff\xff\0\0\0\x05\0\x01",
        "RowDescription [id 16385 1 23 4 -1 Text, x 0 0 25 -1 5 Binary]",
        Some(|out| {
            let (name, format) = (b"id".as_slice(), Format::Text);
            let id = Column {
                name,
                table: 16_385,
                number: 1,
                type_oid: 23,
                type_size: 4,
                type_modifier: -1,
                format,
            };
            let (name, format) = (b"x".as_slice(), Format::Binary);
            let x =
                Column { name, table: 0, number: 0, type_oid: 25, type_size: -1, type_modifier: 5, format };
            server::row_description(out, &[id, x]).unwrap();
        }),
    ),
    vector(
        "row-description-without-columns",
        From::Server,
        b"T\0\0\0\x06\0\0",
        "RowDescription []",
        Some(|out| server::row_description(out, &[]).unwrap()),
    ),
    vector(
        "parameter-description",
        From::Server,
        b"t\0\0\0\x0e\0\x02\0\0\0\x17\0\0\0\x19",
        "ParameterDescription [23, 25]",
        Some(|out| server::parameter_description(out, &[23, 25]).unwrap()),
    ),
    vector("no-data", From::Server, b"n\0\0\0\x04", "NoData", Some(|out| server::done(out, Done::NoData))),
    vector(
        "data-row",
        From::Server,
        b"D\0\0\0\x14\0\x03\0\0\0\x0242\xff\xff\xff\xff\0\0\0\0",
        "DataRow [3432, NULL, ]",
        Some(|out| server::data_row(out, &[Some(b"42"), None, Some(b"")]).unwrap()),
    ),
    vector(
        "data-row-empty",
        From::Server,
        b"D\0\0\0\x06\0\0",
        "DataRow []",
        Some(|out| server::data_row(out, &[]).unwrap()),
    ),
    vector(
        "complete-delete",
        From::Server,
        b"C\0\0\0\x0eDELETE 12\0",
        "CommandComplete `DELETE 12` DELETE 12",
        Some(|out| server::command_complete(out, b"DELETE 12").unwrap()),
    ),
    vector(
        "complete-insert",
        From::Server,
        b"C\0\0\0\x0fINSERT 0 5\0",
        "CommandComplete `INSERT 0 5` INSERT 5",
        Some(|out| server::command_complete(out, b"INSERT 0 5").unwrap()),
    ),
    vector(
        "complete-create-table",
        From::Server,
        b"C\0\0\0\x11CREATE TABLE\0",
        "CommandComplete `CREATE TABLE` CREATE TABLE -",
        Some(|out| server::command_complete(out, b"CREATE TABLE").unwrap()),
    ),
    vector(
        "empty-query",
        From::Server,
        b"I\0\0\0\x04",
        "EmptyQueryResponse",
        Some(|out| server::done(out, Done::EmptyQuery)),
    ),
    vector(
        "portal-suspended",
        From::Server,
        b"s\0\0\0\x04",
        "PortalSuspended",
        Some(|out| server::done(out, Done::Suspended)),
    ),
    vector(
        "parse-complete",
        From::Server,
        b"1\0\0\0\x04",
        "ParseComplete",
        Some(|out| server::done(out, Done::Parse)),
    ),
    vector(
        "bind-complete",
        From::Server,
        b"2\0\0\0\x04",
        "BindComplete",
        Some(|out| server::done(out, Done::Bind)),
    ),
    vector(
        "close-complete",
        From::Server,
        b"3\0\0\0\x04",
        "CloseComplete",
        Some(|out| server::done(out, Done::Close)),
    ),
    vector(
        "error",
        From::Server,
        b"E\0\0\0\x5bSERROR\0VERROR\0C42501\0Mdelete of `orders` denied\0Dno policy permits it\0Hask for \
          a role\0\0",
        "ErrorResponse S=ERROR V=ERROR C=42501 M=delete of `orders` denied D=no policy permits it H=ask f\
         or a role",
        Some(|out| {
            let report = Report::new(Severity::Error, "42501", "delete of `orders` denied");
            report.detail("no policy permits it").hint("ask for a role").encode(out).unwrap();
        }),
    ),
    vector(
        "error-unknown-fields",
        From::Server,
        b"E\0\0\0\x1cSFEHLER\0zwhat\0C00000\0\xff\0\0",
        "ErrorResponse S=FEHLER z=what C=00000 \\xff=",
        None,
    ),
    vector("error-without-fields", From::Server, b"E\0\0\0\x05\0", "ErrorResponse", None),
    vector(
        "fatal",
        From::Server,
        b"E\0\0\0\x29SFATAL\0VFATAL\0C57P01\0Mgrant revoked\0\0",
        "ErrorResponse fatal S=FATAL V=FATAL C=57P01 M=grant revoked",
        Some(|out| Report::new(Severity::Fatal, "57P01", "grant revoked").encode(out).unwrap()),
    ),
    vector(
        "notice",
        From::Server,
        b"N\0\0\0\x2dSNOTICE\0VNOTICE\0C00000\0Mwaiting for dba\0\0",
        "NoticeResponse S=NOTICE V=NOTICE C=00000 M=waiting for dba",
        Some(|out| Report::new(Severity::Notice, "00000", "waiting for dba").encode(out).unwrap()),
    ),
    vector(
        "parameter-status",
        From::Server,
        b"S\0\0\0\x15TimeZone\0Etc/UTC\0",
        "ParameterStatus TimeZone=Etc/UTC",
        Some(|out| server::parameter_status(out, b"TimeZone", b"Etc/UTC").unwrap()),
    ),
    vector(
        "notification",
        From::Server,
        b"A\0\0\0\x13\0\0\x04\xd2jobs\0ready\0",
        "NotificationResponse 1234 jobs ready",
        Some(|out| server::notification(out, 1234, b"jobs", b"ready").unwrap()),
    ),
    vector(
        "copy-in",
        From::Server,
        b"G\0\0\0\x0b\0\0\x02\0\0\0\0",
        "CopyInResponse Text [Text, Text]",
        Some(|out| server::copy_in_response(out, Format::Text, &[Format::Text; 2]).unwrap()),
    ),
    vector(
        "copy-out",
        From::Server,
        b"H\0\0\0\x09\x01\0\x01\0\x01",
        "CopyOutResponse Binary [Binary]",
        Some(|out| server::copy_out_response(out, Format::Binary, &[Format::Binary]).unwrap()),
    ),
    vector("copy-both", From::Server, b"W\0\0\0\x07\0\0\0", "CopyBothResponse Text []", None),
    vector(
        "copy-out-data",
        From::Server,
        b"d\0\0\0\x071\tx",
        "CopyData 310978",
        Some(|out| client::copy_data(out, b"1\tx").unwrap()),
    ),
    vector(
        "copy-out-done",
        From::Server,
        b"c\0\0\0\x04",
        "CopyDone",
        Some(|out| server::done(out, Done::Copy)),
    ),
    vector(
        "function-result",
        From::Server,
        b"V\0\0\0\x0a\0\0\0\x02\x01\x02",
        "FunctionCallResponse 0102",
        Some(|out| server::function_call_response(out, Some(&[1, 2])).unwrap()),
    ),
    vector(
        "function-result-null",
        From::Server,
        b"V\0\0\0\x08\xff\xff\xff\xff",
        "FunctionCallResponse NULL",
        Some(|out| server::function_call_response(out, None).unwrap()),
    ),
];
