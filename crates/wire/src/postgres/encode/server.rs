//! What a gateway says to a client in the server's place. Errors of every function: [`Unencodable`], with
//! nothing appended. For errors and notices see [`Report`](super::Report).

use bytes::{BufMut, BytesMut};

use super::{Unencodable, Writer, message};
use crate::postgres::startup::{CANCEL_KEY_BYTES_MAX, CANCEL_KEY_BYTES_MIN, ProtocolVersion};
use crate::postgres::{Column, Format, TransactionStatus};

/// The one byte that accepts `SSLRequest`.
pub const ENCRYPTION_SSL: u8 = b'S';
/// The one byte that accepts `GSSENCRequest`.
pub const ENCRYPTION_GSS: u8 = b'G';
/// The one byte that refuses either.
pub const ENCRYPTION_REFUSED: u8 = b'N';

/// `AuthenticationOk`.
pub fn authentication_ok(out: &mut BytesMut) {
    authentication(out, 0);
}

/// `AuthenticationCleartextPassword`. Only inside TLS.
pub fn authentication_cleartext(out: &mut BytesMut) {
    authentication(out, 3);
}

fn authentication(out: &mut BytesMut, kind: u32) {
    out.put_u8(b'R');
    out.put_u32(8);
    out.put_u32(kind);
}

/// `AuthenticationMD5Password`.
pub fn authentication_md5(out: &mut BytesMut, salt: [u8; 4]) {
    out.put_u8(b'R');
    out.put_u32(12);
    out.put_u32(5);
    out.put_slice(&salt);
}

/// `AuthenticationSASL`: the mechanisms on offer, the preferred one first.
pub fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&str]) -> Result<(), Unencodable> {
    message(out, b'R', |w| {
        w.u32(10);
        mechanisms.iter().try_for_each(|name| w.listed_text("mechanism", name.as_bytes()))?;
        w.u8(0);
        Ok(())
    })
}

/// `AuthenticationSASLContinue`: the mechanism's next message.
pub fn authentication_sasl_continue(out: &mut BytesMut, data: &[u8]) -> Result<(), Unencodable> {
    sasl(out, 11, data)
}

/// `AuthenticationSASLFinal`: the mechanism's last message.
pub fn authentication_sasl_final(out: &mut BytesMut, data: &[u8]) -> Result<(), Unencodable> {
    sasl(out, 12, data)
}

fn sasl(out: &mut BytesMut, kind: u32, data: &[u8]) -> Result<(), Unencodable> {
    message(out, b'R', |w| {
        w.u32(kind);
        w.bytes(data);
        Ok(())
    })
}

/// `NegotiateProtocolVersion`: the newest version spoken, and the protocol parameters that are not known.
pub fn negotiate_protocol_version<'a>(
    out: &mut BytesMut,
    newest: ProtocolVersion,
    unknown: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(), Unencodable> {
    let unknown: Vec<&[u8]> = unknown.into_iter().collect();
    message(out, b'v', |w| {
        w.u32(newest.word());
        w.i32(
            i32::try_from(unknown.len())
                .map_err(|_| Unencodable::TooLong { field: "protocol parameters" })?,
        );
        unknown.iter().try_for_each(|name| w.text("protocol parameter", name))
    })
}

/// `BackendKeyData`: how to cancel this connection's queries; the key has 4 to 256 bytes, more than 4 only
/// for protocol 3.2.
pub fn backend_key_data(out: &mut BytesMut, process: u32, key: &[u8]) -> Result<(), Unencodable> {
    message(out, b'K', |w| {
        w.u32(process);
        cancel_key(w, key)
    })
}

pub(super) fn cancel_key(w: &mut Writer<'_>, key: &[u8]) -> Result<(), Unencodable> {
    match key.len() {
        0..CANCEL_KEY_BYTES_MIN => Err(Unencodable::Empty { field: "cancel key" }),
        CANCEL_KEY_BYTES_MIN..=CANCEL_KEY_BYTES_MAX => {
            w.bytes(key);
            Ok(())
        }
        _ => Err(Unencodable::TooLong { field: "cancel key" }),
    }
}

/// `ParameterStatus`.
pub fn parameter_status(out: &mut BytesMut, name: &[u8], value: &[u8]) -> Result<(), Unencodable> {
    message(out, b'S', |w| {
        w.text("setting name", name)?;
        w.text("setting value", value)
    })
}

/// `ReadyForQuery`.
pub fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    out.put_u8(b'Z');
    out.put_u32(5);
    out.put_u8(status.byte());
}

/// `RowDescription`.
pub fn row_description(out: &mut BytesMut, columns: &[Column<'_>]) -> Result<(), Unencodable> {
    message(out, b'T', |w| {
        w.count("columns", columns.len())?;
        columns.iter().try_for_each(|column| {
            w.text("column name", column.name)?;
            w.u32(column.table);
            w.u16(column.number.cast_unsigned());
            w.u32(column.type_oid);
            w.u16(column.type_size.cast_unsigned());
            w.i32(column.type_modifier);
            w.u16(column.format.code());
            Ok(())
        })
    })
}

/// `ParameterDescription`.
pub fn parameter_description(out: &mut BytesMut, types: &[u32]) -> Result<(), Unencodable> {
    message(out, b't', |w| w.oids("parameter types", types))
}

/// `DataRow`; `None` is NULL.
pub fn data_row(out: &mut BytesMut, values: &[Option<&[u8]>]) -> Result<(), Unencodable> {
    message(out, b'D', |w| w.values("columns", values))
}

/// `ErrorResponse` (`E`) or `NoticeResponse` (`N`), field by field.
pub fn fields<'a>(
    out: &mut BytesMut,
    tag: u8,
    fields: impl Iterator<Item = (u8, &'a [u8])>,
) -> Result<(), Unencodable> {
    message(out, tag, |w| {
        for (kind, text) in fields {
            w.u8(kind);
            w.text("field", text)?;
        }
        w.u8(0);
        Ok(())
    })
}

/// `CommandComplete`.
pub fn command_complete(out: &mut BytesMut, tag: &[u8]) -> Result<(), Unencodable> {
    message(out, b'C', |w| w.text("command tag", tag))
}

/// `NotificationResponse`.
pub fn notification(
    out: &mut BytesMut,
    process: u32,
    channel: &[u8],
    payload: &[u8],
) -> Result<(), Unencodable> {
    message(out, b'A', |w| {
        w.u32(process);
        w.text("channel", channel)?;
        w.text("payload", payload)
    })
}

/// `CopyInResponse`.
pub fn copy_in_response(out: &mut BytesMut, overall: Format, columns: &[Format]) -> Result<(), Unencodable> {
    copy_response(out, b'G', overall, columns)
}

/// `CopyOutResponse`.
pub fn copy_out_response(out: &mut BytesMut, overall: Format, columns: &[Format]) -> Result<(), Unencodable> {
    copy_response(out, b'H', overall, columns)
}

fn copy_response(
    out: &mut BytesMut,
    tag: u8,
    overall: Format,
    columns: &[Format],
) -> Result<(), Unencodable> {
    message(out, tag, |w| {
        w.u8(u8::from(overall == Format::Binary));
        w.formats("column formats", columns)
    })
}

/// `FunctionCallResponse`; `None` is NULL.
pub fn function_call_response(out: &mut BytesMut, value: Option<&[u8]>) -> Result<(), Unencodable> {
    message(out, b'V', |w| w.value("result", value))
}

/// Answers whose type byte says everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// `ParseComplete`.
    Parse,
    /// `BindComplete`.
    Bind,
    /// `CloseComplete`.
    Close,
    /// `NoData`.
    NoData,
    /// `EmptyQueryResponse`.
    EmptyQuery,
    /// `PortalSuspended`.
    Suspended,
    /// `CopyDone`.
    Copy,
}

/// An answer without a body.
pub fn done(out: &mut BytesMut, what: Done) {
    out.put_u8(match what {
        Done::Parse => b'1',
        Done::Bind => b'2',
        Done::Close => b'3',
        Done::NoData => b'n',
        Done::EmptyQuery => b'I',
        Done::Suspended => b's',
        Done::Copy => b'c',
    });
    out.put_u32(4);
}
