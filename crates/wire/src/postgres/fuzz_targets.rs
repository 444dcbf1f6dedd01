//! The bodies of the fuzz targets, as plain functions: the fuzzer, the replay of the corpus and the mutation
//! run in the tests all call these. They return for every input and panic only if a property of the decoders
//! does not hold.
//!
//! The property behind most of them: whatever is understood has exactly one spelling, so encoding what was
//! decoded gives the bytes back. Where that holds, two readers of the same bytes can't understand different
//! things.

use bytes::{BufMut, BytesMut};

use super::encode::{Unencodable, client, server};
use super::scram::{
    Client, ClientBinding, ITERATIONS_MIN, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, Server, ServerBinding,
    StoredKey, Verifiers,
};
use super::startup::Opening;
use super::track::{Route, Sent, Tracker};
use super::{ErrorFields, Framer, Limits, Phase, Piece, backend, binary, frontend};

/// A nonce for exchanges in fuzz targets.
const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

/// Bytes from a client: the first chooses how the network cuts the rest.
pub fn fuzz_frontend(data: &[u8]) {
    let (cut, stream) = split_off_cut(data);
    opening(stream);
    login_answer(stream);
    for phase in [Phase::ClientLogin, Phase::Client] {
        check_framing(phase, stream, cut);
        for_each_frame(phase, stream, |frame| {
            let Ok(message) = frontend::Message::of(frame) else { return };
            assert_eq!(message.raw(), frame.raw(), "what is forwarded is what came");
            let mut out = BytesMut::new();
            assert_eq!(encode_frontend(message.body(), &mut out), Ok(()), "what was decoded can be encoded");
            assert_eq!(out, frame.raw(), "a message has one spelling");
        });
    }
}

/// Bytes from a server: the first chooses how the network cuts the rest.
pub fn fuzz_backend(data: &[u8]) {
    let (cut, stream) = split_off_cut(data);
    challenge(stream);
    for phase in [Phase::ServerLogin, Phase::Server] {
        check_framing(phase, stream, cut);
        for_each_frame(phase, stream, |frame| {
            let Ok(message) = backend::Message::of(frame) else { return };
            assert_eq!(message.raw(), frame.raw(), "what is forwarded is what came");
            let mut out = BytesMut::new();
            match encode_backend(message.body(), &mut out) {
                Some(written) => {
                    assert_eq!(written, Ok(()), "what was decoded can be encoded");
                    assert_eq!(out, frame.raw(), "a message has one spelling");
                }
                None => assert_eq!(out, BytesMut::new(), "what has no encoder writes nothing"),
            }
        });
    }
}

/// A value in binary form, behind the OID of its type.
pub fn fuzz_values(data: &[u8]) {
    let Some((oid, bytes)) = data.split_first_chunk() else { return };
    let oid = u32::from_be_bytes(*oid);
    let Some(text) = binary::text(oid, bytes) else { return };
    assert!(binary::type_name(oid).is_some(), "what is read has a name");
    // Each element of an array may be a number that is written with zeros.
    let most = binary::EXPANDED_CHARS_MAX + bytes.len() * 40;
    assert!(text.len() <= most, "{} bytes are written with {} characters", bytes.len(), text.len());
}

/// Both directions of a session: each message is preceded by a byte that says who speaks.
pub fn fuzz_track(data: &[u8]) {
    let mut tracker: Tracker<u64, u64> = Tracker::new();
    let (client, server) = (Limits::new(Phase::Client), Limits::new(Phase::Server));
    let (mut rest, mut made, mut last) = (data, 0, None);
    while let Some((who, stream)) = rest.split_first() {
        let used = match who % 8 {
            0..=3 => match frontend::Message::decode(stream, &client) {
                Ok(Some((message, used))) => {
                    made += 1;
                    let ticket = forward(&mut tracker, message.body(), made);
                    assert!(ticket.is_none() || ticket > last, "tickets ascend");
                    last = ticket.or(last);
                    used
                }
                _ => return,
            },
            4..=6 => match backend::Message::decode(stream, &server) {
                Ok(Some((message, used))) if tracker.answer(message.body()).is_ok() => used,
                _ => return,
            },
            _ => {
                tracker.doubt_names();
                0
            }
        };
        rest = stream.get(used..).unwrap_or_default();
    }
}

fn forward(
    tracker: &mut Tracker<u64, u64>,
    body: &frontend::Body<'_>,
    made: u64,
) -> Option<super::track::Ticket> {
    let route = match (body, Sent::of(body)) {
        (frontend::Body::Parse(parse), _) => tracker.parse(parse, made),
        (frontend::Body::Bind(bind), _) => {
            let _statement = tracker.statement(bind.statement);
            tracker.bind(bind, made)
        }
        (_, Some(sent)) => tracker.send(sent),
        (_, None) => return None,
    };
    match route {
        Ok(Route::Forward(ticket)) => ticket,
        Ok(Route::Drop | Route::Wait) | Err(_) => None,
    }
}

fn split_off_cut(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((1, data), |(cut, rest)| (usize::from(*cut) + 1, rest))
}

/// The pieces are the same however the bytes arrive, and together they are the bytes.
fn check_framing(phase: Phase, stream: &[u8], cut: usize) {
    let (whole, whole_end) = pieces(phase, stream, stream.len().max(1));
    let (parts, parts_end) = pieces(phase, stream, cut);
    assert_eq!(whole, parts, "pieces do not depend on how the network cut the stream");
    assert_eq!(whole_end, parts_end, "nor does what is left over");
    let framer = Framer::new(Limits::new(phase));
    for tag in [b'D', b'd', b'Q'] {
        let run = framer.run(stream, tag);
        assert!(stream.starts_with(run.raw), "a run is the front of the stream");
        let in_front =
            whole.iter().take_while(|(found, _, streamed)| *found == tag && !streamed).count() as u64;
        assert_eq!(run.frames, in_front, "a run is what would have come one by one");
    }
}

/// Type, bytes and whether in pieces of every message that came whole, and how many bytes were understood.
fn pieces(phase: Phase, stream: &[u8], cut: usize) -> (Vec<(u8, Vec<u8>, bool)>, usize) {
    let mut framer = Framer::new(Limits::new(phase));
    let (mut seen, mut start, mut end): (Vec<(u8, Vec<u8>, bool)>, _, _) = (Vec::new(), 0, 0_usize);
    while end < stream.len() {
        end = end.saturating_add(cut).min(stream.len());
        while let Ok(Some((piece, used))) = framer.next(stream.get(start..end).unwrap_or_default()) {
            assert_eq!(Some(piece.raw()), stream.get(start..start + used), "a piece is what it took");
            match piece {
                Piece::Whole(frame) => seen.push((frame.tag(), piece.raw().to_vec(), false)),
                Piece::Head(head, raw) => seen.push((head.tag(), raw.to_vec(), true)),
                Piece::Body { bytes, .. } => {
                    if let Some((_, message, _)) = seen.last_mut() {
                        message.extend_from_slice(bytes);
                    }
                }
            }
            start += used;
        }
    }
    (seen, start)
}

fn for_each_frame(phase: Phase, stream: &[u8], mut each: impl FnMut(super::Frame<'_>)) {
    let limits = Limits::new(phase);
    let mut rest = stream;
    while let Ok(Some((frame, used))) = super::Frame::decode(rest, &limits) {
        each(frame);
        rest = rest.get(used..).unwrap_or_default();
    }
}

fn opening(stream: &[u8]) {
    let Ok(Some((opening, used))) = Opening::decode(stream) else { return };
    let packet = stream.get(..used).unwrap_or_default();
    let shorter = packet.get(..used.saturating_sub(1)).unwrap_or_default();
    assert_eq!(Opening::decode(shorter), Ok(None), "a packet is not understood before it is whole");
    let mut out = BytesMut::new();
    match opening {
        Opening::Ssl => client::ssl_request(&mut out),
        Opening::Gss => client::gss_request(&mut out),
        Opening::Cancel(request) => {
            assert_eq!(client::cancel_request(&mut out, request.process, request.key), Ok(()), "encodes");
        }
        Opening::Startup(message) => {
            let parameters: Vec<_> = message.parameters().collect();
            assert_eq!(client::startup(&mut out, message.version, &parameters), Ok(()), "encodes");
            assert!(message.protocol_parameters().count() <= parameters.len(), "a part of all parameters");
            assert!(message.user().is_none() || message.database().is_some(), "the user names the database");
        }
    }
    assert_eq!(out, packet, "a packet has one spelling");
}

/// The exchange with a hostile client: its bytes as first message, then as last message.
fn login_answer(stream: &[u8]) {
    let binding = ServerBinding::TlsServerEndPoint(vec![7; 32]);
    let key = StoredKey { stored_key: [1; 32], server_key: [2; 32] };
    for mechanism in [SCRAM_SHA_256, SCRAM_SHA_256_PLUS] {
        for first in
            [stream, b"n,,n=,r=rOprNGfwEbeRWgbNEkqO", b"p=tls-server-end-point,,n=,r=rOprNGfwEbeRWgbNEkqO"]
        {
            let Ok(verifiers) = Verifiers::new(vec![3; 16], ITERATIONS_MIN, vec![key.clone()]) else {
                return;
            };
            if let Ok((server, _)) = Server::start(mechanism.as_bytes(), first, &binding, verifiers, NONCE) {
                assert!(server.finish(stream).is_err(), "bytes out of nowhere prove nothing");
            }
        }
    }
}

/// The exchange with a hostile server: its bytes as first message. Keys are not derived: that takes time by
/// design.
fn challenge(stream: &[u8]) {
    if let Ok((client, _)) = Client::start(ClientBinding::NotOffered, NONCE)
        && let Ok(challenge) = client.challenge(stream)
    {
        assert!(!challenge.salt().is_empty() && challenge.iterations() >= ITERATIONS_MIN, "limits hold");
    }
}

/// Encodes what was decoded.
fn encode_frontend(body: &frontend::Body<'_>, out: &mut BytesMut) -> Result<(), Unencodable> {
    use frontend::Body;
    match body {
        Body::Login(answer) => client::sasl_response(out, answer.sasl_response()),
        Body::Query(text) => client::query(out, text),
        Body::Parse(parse) => {
            let types: Vec<_> = parse.types.iter().collect();
            client::parse(out, parse.statement, parse.text, &types)
        }
        Body::Bind(bind) => {
            let (formats, result_formats) = (list(bind.formats.iter()), list(bind.result_formats.iter()));
            let parameters = list(bind.parameters.iter());
            let (portal, statement) = (bind.portal, bind.statement);
            let (formats, parameters, result_formats) = (&*formats, &*parameters, &*result_formats);
            client::bind(out, &client::Binding { portal, statement, formats, parameters, result_formats })
        }
        Body::Describe(target) => client::describe(out, *target),
        Body::Execute(execute) => client::execute(out, execute.portal, execute.rows_max),
        Body::Close(target) => client::close(out, *target),
        Body::Flush => done(client::flush, out),
        Body::Sync => done(client::sync, out),
        Body::FunctionCall(call) => {
            let (formats, arguments) = (list(call.formats.iter()), list(call.arguments.iter()));
            let (formats, arguments, result_format) = (&*formats, &*arguments, call.result_format);
            client::function_call(
                out,
                &client::Call { function: call.function, formats, arguments, result_format },
            )
        }
        Body::CopyData(data) => client::copy_data(out, data),
        Body::CopyDone => done(client::copy_done, out),
        Body::CopyFail(reason) => client::copy_fail(out, reason),
        Body::Terminate => done(client::terminate, out),
    }
}

/// Encodes what was decoded; `None` for what a gateway never says itself.
fn encode_backend(body: &backend::Body<'_>, out: &mut BytesMut) -> Option<Result<(), Unencodable>> {
    use backend::Body;
    Some(match body {
        Body::Authentication(step) => return encode_authentication(step, out),
        Body::BackendKeyData(data) => server::backend_key_data(out, data.process, data.key),
        Body::ParameterStatus(status) => server::parameter_status(out, status.name, status.value),
        Body::NegotiateProtocolVersion(offer) => {
            server::negotiate_protocol_version(out, offer.version, offer.unknown_parameters())
        }
        Body::ReadyForQuery(status) => done(|out| server::ready_for_query(out, *status), out),
        Body::RowDescription(columns) => server::row_description(out, &list(columns.iter())),
        Body::ParameterDescription(types) => server::parameter_description(out, &list(types.iter())),
        Body::DataRow(values) => server::data_row(out, &list(values.iter())),
        Body::CommandComplete(tag) => {
            assert!(tag.text().starts_with(tag.verb()), "the verb is the front of the tag");
            server::command_complete(out, tag.text())
        }
        Body::ErrorResponse(fields) => done(|out| fields_again(b'E', fields, out), out),
        Body::NoticeResponse(fields) => done(|out| fields_again(b'N', fields, out), out),
        Body::NotificationResponse(note) => {
            server::notification(out, note.process, note.channel, note.payload)
        }
        Body::CopyInResponse(shape) => {
            server::copy_in_response(out, shape.overall, &list(shape.columns.iter()))
        }
        Body::CopyOutResponse(shape) => {
            server::copy_out_response(out, shape.overall, &list(shape.columns.iter()))
        }
        Body::CopyBothResponse(_) => return None,
        Body::CopyData(data) => client::copy_data(out, data),
        Body::FunctionCallResponse(value) => server::function_call_response(out, *value),
        Body::CopyDone => done(|out| server::done(out, server::Done::Copy), out),
        Body::NoData => done(|out| server::done(out, server::Done::NoData), out),
        Body::EmptyQueryResponse => done(|out| server::done(out, server::Done::EmptyQuery), out),
        Body::PortalSuspended => done(|out| server::done(out, server::Done::Suspended), out),
        Body::ParseComplete => done(|out| server::done(out, server::Done::Parse), out),
        Body::BindComplete => done(|out| server::done(out, server::Done::Bind), out),
        Body::CloseComplete => done(|out| server::done(out, server::Done::Close), out),
    })
}

fn encode_authentication(
    step: &backend::Authentication<'_>,
    out: &mut BytesMut,
) -> Option<Result<(), Unencodable>> {
    use backend::Authentication;
    Some(match step {
        Authentication::Ok => done(server::authentication_ok, out),
        Authentication::CleartextPassword => done(server::authentication_cleartext, out),
        Authentication::Md5Password(salt) => done(|out| server::authentication_md5(out, *salt), out),
        Authentication::Sasl(mechanisms) => {
            let names: Option<Vec<_>> =
                mechanisms.iter().map(|name| std::str::from_utf8(name).ok()).collect();
            server::authentication_sasl(out, &names?)
        }
        Authentication::SaslContinue(data) => server::authentication_sasl_continue(out, data),
        Authentication::SaslFinal(data) => server::authentication_sasl_final(out, data),
        Authentication::KerberosV5
        | Authentication::Gss
        | Authentication::GssContinue(_)
        | Authentication::Sspi => return None,
    })
}

/// A gateway writes its own reports with few kinds of field; this writes all that were read.
fn fields_again(tag: u8, fields: &ErrorFields<'_>, out: &mut BytesMut) {
    let len: usize = fields.iter().map(|(_, text)| text.len() + 2).sum();
    out.put_u8(tag);
    out.put_u32(u32::try_from(len + 5).unwrap_or(u32::MAX));
    for (kind, text) in fields.iter() {
        out.put_u8(kind);
        out.put_slice(text);
        out.put_u8(0);
    }
    out.put_u8(0);
}

fn list<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.collect()
}

fn done(write: impl FnOnce(&mut BytesMut), out: &mut BytesMut) -> Result<(), Unencodable> {
    write(out);
    Ok(())
}
