//! The client proves that it knows a credential: SCRAM-SHA-256, bound to the TLS certificate where the client can.
//!
//! Until the proof holds, nothing is said that depends on who exists: an unknown name, an unknown database, a wrong
//! password and an expired credential end with the same sentence.

use bytes::{Bytes, BytesMut};
use countersign_wire::postgres::encode::{Unencodable, server};
use countersign_wire::postgres::frontend::{Body, Message};
use countersign_wire::postgres::scram::{ScramError, Server, ServerBinding, Verifiers};
use countersign_wire::postgres::{Frame, Limits, Malformed, Phase};

use super::stream::Link;

/// The proof was not given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("the client went away")]
    Gone,
    #[error("the connection to the client failed")]
    Io(#[from] std::io::Error),
    #[error("the client's message is malformed")]
    Malformed(#[from] Malformed),
    #[error("the exchange failed")]
    Scram(#[from] ScramError),
    #[error("the answer can't be written")]
    Unencodable(#[from] Unencodable),
}

/// Runs the exchange to the client's proof. The number says which of the verifiers it fits.
///
/// # Errors
/// [`AuthError`]; nothing but the exchange itself has been said to the client.
pub(crate) async fn prove(
    link: &mut Link,
    binding: &ServerBinding,
    verifiers: Verifiers,
    nonce: &str,
) -> Result<usize, AuthError> {
    server::authentication_sasl(&mut link.output, binding.mechanisms())?;
    link.drain().await?;
    let raw = message(link).await?;
    let Body::Login(answer) = read(&raw)? else { return Err(AuthError::Gone) };
    let initial = answer.sasl_initial()?;
    let first = initial.data.unwrap_or_default();
    let (exchange, reply) = Server::start(initial.mechanism, first, binding, verifiers, nonce)?;
    server::authentication_sasl_continue(&mut link.output, &reply)?;
    link.drain().await?;
    let raw = message(link).await?;
    let Body::Login(answer) = read(&raw)? else { return Err(AuthError::Gone) };
    let proved = exchange.finish(answer.sasl_response())?;
    server::authentication_sasl_final(&mut link.output, &proved.server_final)?;
    Ok(proved.key)
}

fn read(raw: &[u8]) -> Result<Body<'_>, AuthError> {
    match Message::decode(raw, &Limits::new(Phase::ClientLogin))? {
        Some((message, _)) => Ok(*message.body()),
        None => Err(AuthError::Gone),
    }
}

/// One whole message of a client that is not yet known.
async fn message(link: &mut Link) -> Result<Bytes, AuthError> {
    let limits = Limits::new(Phase::ClientLogin);
    loop {
        if let Some((_, used)) = Frame::decode(&link.input, &limits)? {
            return Ok(BytesMut::freeze(link.input.split_to(used)));
        }
        if link.fill().await? == 0 {
            return Err(AuthError::Gone);
        }
    }
}
