//! Calls to a provider: short, small, to nowhere else than where they were sent.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode, redirect};
use url::Url;

/// How long a provider may take.
const CALL: Duration = Duration::from_secs(10);

/// The largest answer that is read: a document, a set of keys, a token.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// A client that takes no longer than this, and goes where it is sent and nowhere else.
pub(crate) fn outgoing(call: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .timeout(call)
        .connect_timeout(call)
        // Where somebody is, is known before; an answer that leads elsewhere is none.
        .redirect(redirect::Policy::none())
        .no_proxy()
}

/// A client that goes to providers.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client);

impl Http {
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        Ok(Self(outgoing(CALL).build()?))
    }

    pub(crate) async fn get(&self, url: &Url) -> Result<Vec<u8>, String> {
        let (status, body) = answer(self.0.get(url.clone())).await?;
        if status.is_success() { Ok(body) } else { Err(format!("`{url}` answered {}", status.as_u16())) }
    }

    /// Posts a form; also an answer that is an error is one.
    pub(crate) async fn post(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.0.post(url.clone()).header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("accept", "application/json").body(body);
        // RFC 6749, section 2.3.1: both are form-encoded first.
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        answer(match basic {
            Some((user, password)) => request.basic_auth(encoded(user), Some(encoded(password))),
            None => request,
        })
        .await
    }
}

async fn answer(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), String> {
    // What went wrong may hold the address with what was sent; only the kind of it is told.
    let failed = |error: reqwest::Error| {
        let why = if error.is_timeout() { "it does not answer in time" } else { "it can't be reached" };
        let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
        format!("{why}{cause}")
    };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// An address that secrets may be sent to: https, or this machine.
pub(crate) fn safe(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_local = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    };
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_local;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (is_safe && is_plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn secrets_go_nowhere_in_clear() {
        for good in ["https://idp.example/a", "http://localhost:3000", "http://127.0.0.1/x", "http://[::1]:8"]
        {
            assert!(safe(good).is_some(), "{good}");
        }
        for bad in [
            "http://idp.example",
            "ftp://localhost",
            "https://user:pw@idp.example",
            "https://idp.example/#a",
            "idp",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(safe(bad).is_none(), "{bad}");
        }
    }
}
