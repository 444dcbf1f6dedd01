//! Everything a message says, in one line: what golden messages are compared by.

use countersign_wire::postgres::backend::{self, Authentication};
use countersign_wire::postgres::frontend;
use countersign_wire::postgres::startup::Opening;
use countersign_wire::postgres::{ErrorFields, Formats, Oids, Target, Values};

pub fn opening(opening: &Opening<'_>) -> String {
    match opening {
        Opening::Ssl => "SSLRequest".to_owned(),
        Opening::Gss => "GSSENCRequest".to_owned(),
        Opening::Cancel(cancel) => format!("CancelRequest {} {}", cancel.process, hex::encode(cancel.key)),
        Opening::Startup(message) => {
            let mut line = format!("StartupMessage {}.{}", message.version.major, message.version.minor);
            for (name, value) in message.parameters() {
                line += &format!(" {}={}", name.escape_ascii(), value.escape_ascii());
            }
            line
        }
    }
}

pub fn frontend(body: &frontend::Body<'_>) -> String {
    use frontend::Body;
    match body {
        Body::Login(answer) => format!("Login {}", hex::encode(answer.sasl_response())),
        Body::Query(query) => format!("Query {}", text(query)),
        Body::Parse(p) => format!("Parse {} {} {}", text(p.statement), text(p.text), oids(p.types)),
        Body::Bind(b) => format!(
            "Bind {} {} {} {} {}",
            text(b.portal),
            text(b.statement),
            formats(b.formats),
            values(b.parameters),
            formats(b.result_formats)
        ),
        Body::Describe(to) => format!("Describe {}", target(*to)),
        Body::Execute(e) => format!("Execute {} {}", text(e.portal), e.rows_max),
        Body::Close(to) => format!("Close {}", target(*to)),
        Body::FunctionCall(c) => format!(
            "FunctionCall {} {} {} {:?}",
            c.function,
            formats(c.formats),
            values(c.arguments),
            c.result_format
        ),
        Body::CopyData(data) => format!("CopyData {}", hex::encode(data)),
        Body::CopyFail(reason) => format!("CopyFail {}", text(reason)),
        Body::Flush | Body::Sync | Body::CopyDone | Body::Terminate => format!("{body:?}"),
    }
}

pub fn backend(body: &backend::Body<'_>) -> String {
    use backend::Body;
    match body {
        Body::Authentication(step) => format!("Authentication {}", authentication(step)),
        Body::BackendKeyData(data) => format!("BackendKeyData {} {}", data.process, hex::encode(data.key)),
        Body::ParameterStatus(s) => {
            format!("ParameterStatus {}={}", s.name.escape_ascii(), s.value.escape_ascii())
        }
        Body::NegotiateProtocolVersion(offer) => format!(
            "NegotiateProtocolVersion {}.{} {}",
            offer.version.major,
            offer.version.minor,
            list(offer.unknown_parameters().map(|name| name.escape_ascii().to_string()))
        ),
        Body::ReadyForQuery(status) => format!("ReadyForQuery {status:?}"),
        Body::RowDescription(columns) => {
            let shown = columns.iter().map(|c| {
                let name = c.name.escape_ascii();
                let (table, number, oid) = (c.table, c.number, c.type_oid);
                format!("{name} {table} {number} {oid} {} {} {:?}", c.type_size, c.type_modifier, c.format)
            });
            format!("RowDescription {}", list(shown))
        }
        Body::ParameterDescription(types) => format!("ParameterDescription {}", oids(*types)),
        Body::DataRow(row) => format!("DataRow {}", values(*row)),
        Body::CommandComplete(tag) => {
            let rows = tag.rows().map_or("-".to_owned(), |rows| rows.to_string());
            format!("CommandComplete {} {} {rows}", text(tag.text()), tag.verb().escape_ascii())
        }
        Body::ErrorResponse(fields) => format!("ErrorResponse{}", error(fields)),
        Body::NoticeResponse(fields) => format!("NoticeResponse{}", error(fields)),
        Body::NotificationResponse(n) => {
            let (channel, payload) = (n.channel.escape_ascii(), n.payload.escape_ascii());
            format!("NotificationResponse {} {channel} {payload}", n.process)
        }
        Body::CopyInResponse(s) => format!("CopyInResponse {:?} {}", s.overall, formats(s.columns)),
        Body::CopyOutResponse(s) => format!("CopyOutResponse {:?} {}", s.overall, formats(s.columns)),
        Body::CopyBothResponse(s) => format!("CopyBothResponse {:?} {}", s.overall, formats(s.columns)),
        Body::CopyData(data) => format!("CopyData {}", hex::encode(data)),
        Body::FunctionCallResponse(value) => format!("FunctionCallResponse {}", one(*value)),
        Body::NoData
        | Body::EmptyQueryResponse
        | Body::PortalSuspended
        | Body::ParseComplete
        | Body::BindComplete
        | Body::CloseComplete
        | Body::CopyDone => format!("{body:?}"),
    }
}

fn authentication(step: &Authentication<'_>) -> String {
    match step {
        Authentication::Md5Password(salt) => format!("Md5Password {}", hex::encode(salt)),
        Authentication::GssContinue(token) => format!("GssContinue {}", hex::encode(token)),
        Authentication::SaslContinue(data) => format!("SaslContinue {}", hex::encode(data)),
        Authentication::SaslFinal(data) => format!("SaslFinal {}", hex::encode(data)),
        Authentication::Sasl(names) => {
            format!("Sasl {}", list(names.iter().map(|name| name.escape_ascii().to_string())))
        }
        Authentication::Ok
        | Authentication::KerberosV5
        | Authentication::CleartextPassword
        | Authentication::Gss
        | Authentication::Sspi => format!("{step:?}"),
    }
}

fn error(fields: &ErrorFields<'_>) -> String {
    let mut line = if fields.is_fatal() { " fatal" } else { "" }.to_owned();
    for (kind, text) in fields.iter() {
        line += &format!(" {}={}", kind.escape_ascii(), String::from_utf8_lossy(text));
    }
    line
}

fn text(bytes: &[u8]) -> String {
    let shown: String = bytes
        .iter()
        .map(|b| if *b == b'\'' { "'".to_owned() } else { b.escape_ascii().to_string() })
        .collect();
    format!("`{shown}`")
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn one(value: Option<&[u8]>) -> String {
    value.map_or("NULL".to_owned(), hex::encode)
}

fn values(values: Values<'_>) -> String {
    list(values.iter().map(one))
}

fn formats(formats: Formats<'_>) -> String {
    list(formats.iter().map(|format| format!("{format:?}")))
}

fn oids(oids: Oids<'_>) -> String {
    list(oids.iter().map(|oid| oid.to_string()))
}

fn target(target: Target<'_>) -> String {
    match target {
        Target::Statement(name) => format!("Statement {}", text(name)),
        Target::Portal(name) => format!("Portal {}", text(name)),
    }
}
