//! What a gateway says to a server: it opens a session, authenticates, and asks questions of its own. Errors
//! of every function: [`Unencodable`], with nothing appended.

use bytes::{BufMut, BytesMut};

use super::{Unencodable, message, packet};
use crate::postgres::startup::{CANCEL_CODE, GSS_CODE, ProtocolVersion, SSL_CODE};
use crate::postgres::{Format, Target};

/// The text of the stand-in statements: it fails to parse, so it can do nothing but fail. Shown in the
/// server's log.
const STAND_IN: &[u8] = b"countersign refused a statement here";

/// What to bind to a statement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Binding<'a> {
    /// Name of the portal to make.
    pub portal: &'a [u8],
    /// Name of the statement.
    pub statement: &'a [u8],
    /// Formats of the parameters: none, one for all, or one each.
    pub formats: &'a [Format],
    /// The parameters; `None` is NULL.
    pub parameters: &'a [Option<&'a [u8]>],
    /// Formats wanted for the result.
    pub result_formats: &'a [Format],
}

/// A call of a function by its OID.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// OID of the function.
    pub function: u32,
    /// Formats of the arguments: none, one for all, or one each.
    pub formats: &'a [Format],
    /// The arguments; `None` is NULL.
    pub arguments: &'a [Option<&'a [u8]>],
    /// Format wanted for the result.
    pub result_format: Format,
}

/// `SSLRequest`.
pub fn ssl_request(out: &mut BytesMut) {
    out.put_u32(8);
    out.put_u32(SSL_CODE);
}

/// `GSSENCRequest`.
pub fn gss_request(out: &mut BytesMut) {
    out.put_u32(8);
    out.put_u32(GSS_CODE);
}

/// `StartupMessage` with these parameters. Names must not be empty.
pub fn startup(
    out: &mut BytesMut,
    version: ProtocolVersion,
    parameters: &[(&[u8], &[u8])],
) -> Result<(), Unencodable> {
    packet(out, |w| {
        w.u32(version.word());
        for (name, value) in parameters {
            w.listed_text("startup parameter name", name)?;
            w.text("startup parameter value", value)?;
        }
        w.u8(0);
        Ok(())
    })
}

/// `CancelRequest` for the session with this process number and key (4 to 256 bytes).
pub fn cancel_request(out: &mut BytesMut, process: u32, key: &[u8]) -> Result<(), Unencodable> {
    packet(out, |w| {
        w.u32(CANCEL_CODE);
        w.u32(process);
        super::server::cancel_key(w, key)
    })
}

/// `PasswordMessage`: the password in clear, or its MD5 answer.
pub fn password(out: &mut BytesMut, password: &[u8]) -> Result<(), Unencodable> {
    message(out, b'p', |w| w.text("password", password))
}

/// `SASLInitialResponse`: the mechanism chosen and its first message.
pub fn sasl_initial(out: &mut BytesMut, mechanism: &[u8], data: Option<&[u8]>) -> Result<(), Unencodable> {
    message(out, b'p', |w| {
        w.text("mechanism", mechanism)?;
        w.value("data", data)
    })
}

/// `SASLResponse`: the mechanism's next message.
pub fn sasl_response(out: &mut BytesMut, data: &[u8]) -> Result<(), Unencodable> {
    message(out, b'p', |w| {
        w.bytes(data);
        Ok(())
    })
}

/// `Query`.
pub fn query(out: &mut BytesMut, text: &[u8]) -> Result<(), Unencodable> {
    message(out, b'Q', |w| w.text("statement", text))
}

/// `Parse`.
pub fn parse(out: &mut BytesMut, statement: &[u8], text: &[u8], types: &[u32]) -> Result<(), Unencodable> {
    message(out, b'P', |w| {
        w.text("statement name", statement)?;
        w.text("statement", text)?;
        w.oids("parameter types", types)
    })
}

/// `Bind`.
pub fn bind(out: &mut BytesMut, binding: &Binding<'_>) -> Result<(), Unencodable> {
    message(out, b'B', |w| {
        w.text("portal name", binding.portal)?;
        w.text("statement name", binding.statement)?;
        w.formats("parameter formats", binding.formats)?;
        w.values("parameters", binding.parameters)?;
        w.formats("result formats", binding.result_formats)
    })
}

/// `Describe`.
pub fn describe(out: &mut BytesMut, target: Target<'_>) -> Result<(), Unencodable> {
    message(out, b'D', |w| w.target(target))
}

/// `Execute`; 0 rows is no limit.
pub fn execute(out: &mut BytesMut, portal: &[u8], rows_max: u32) -> Result<(), Unencodable> {
    message(out, b'E', |w| {
        w.text("portal name", portal)?;
        w.i32(i32::try_from(rows_max).map_err(|_| Unencodable::TooLong { field: "row limit" })?);
        Ok(())
    })
}

/// `Close`.
pub fn close(out: &mut BytesMut, target: Target<'_>) -> Result<(), Unencodable> {
    message(out, b'C', |w| w.target(target))
}

/// `FunctionCall`.
pub fn function_call(out: &mut BytesMut, call: &Call<'_>) -> Result<(), Unencodable> {
    message(out, b'F', |w| {
        w.u32(call.function);
        w.formats("argument formats", call.formats)?;
        w.values("arguments", call.arguments)?;
        w.u16(call.result_format.code());
        Ok(())
    })
}

/// `CopyData`.
pub fn copy_data(out: &mut BytesMut, data: &[u8]) -> Result<(), Unencodable> {
    message(out, b'd', |w| {
        w.bytes(data);
        Ok(())
    })
}

/// `CopyFail`, with a reason that the server repeats in its error.
pub fn copy_fail(out: &mut BytesMut, reason: &[u8]) -> Result<(), Unencodable> {
    message(out, b'f', |w| w.text("reason", reason))
}

/// `Flush`.
pub fn flush(out: &mut BytesMut) {
    empty(out, b'H');
}

/// `Sync`.
pub fn sync(out: &mut BytesMut) {
    empty(out, b'S');
}

/// `CopyDone`.
pub fn copy_done(out: &mut BytesMut) {
    empty(out, b'c');
}

/// `Terminate`.
pub fn terminate(out: &mut BytesMut) {
    empty(out, b'X');
}

/// A `Query` in the place of one that was refused: it fails on the server and does nothing else, so that an
/// open transaction fails as it does after any error. The gateway's own report replaces the server's.
pub fn stand_in_query(out: &mut BytesMut) {
    out.put_u8(b'Q');
    out.put_u32(4 + STAND_IN_BYTES + 1);
    out.put_slice(STAND_IN);
    out.put_u8(0);
}

/// A `Parse` in the place of any refused message of the extended protocol: as [`stand_in_query`]; the server
/// then skips to the client's `Sync` and undoes what the batch did before.
pub fn stand_in_parse(out: &mut BytesMut) {
    out.put_u8(b'P');
    out.put_u32(4 + 1 + STAND_IN_BYTES + 1 + 2);
    out.put_u8(0);
    out.put_slice(STAND_IN);
    out.put_u8(0);
    out.put_u16(0);
}

const STAND_IN_BYTES: u32 = STAND_IN.len() as u32;

fn empty(out: &mut BytesMut, tag: u8) {
    out.put_u8(tag);
    out.put_u32(4);
}
