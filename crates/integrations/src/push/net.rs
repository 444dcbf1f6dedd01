//! Where is sent to: addresses that came from a browser lead to public hosts, or nowhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::oidc::outgoing;

/// The address of a device at its push service, if it is one that may be sent to: https, no user, no literal address and
/// no port of its own. With `private` also http to this machine, for a push service of one's own.
#[must_use]
pub fn endpoint(text: &str, private: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_named = matches!(url.host()?, Host::Domain(_)) && url.port().is_none();
    let is_web = url.scheme() == "https" || private && url.scheme() == "http";
    (is_plain && is_web && (private || is_named)).then_some(url)
}

/// A client that goes to public hosts alone, unless private ones are wanted.
pub(super) fn client(private: bool, call: Duration) -> Result<Client, reqwest::Error> {
    let client = outgoing(call);
    let client = if private { client } else { client.dns_resolver(Arc::new(PublicOnly)) };
    client.build()
}

/// Finds the public addresses of a name, and no others: whoever owns a name can have it lead into a house.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(public_addresses(name))
    }
}

async fn public_addresses(name: Name) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
    let public: Vec<SocketAddr> = found.filter(|found| is_public(found.ip())).collect();
    if public.is_empty() {
        return Err("the name leads to no public address".into());
    }
    Ok(Box::new(public.into_iter()))
}

/// Whether an address is anybody's, rather than of this machine, this network or of no one (RFC 6890).
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let special = a == 0 || a >= 240 || (a, b, c) == (192, 0, 0) || (a == 198 && (b == 18 || b == 19));
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || shared
        || special)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // What is assigned to anybody begins so; within it, ranges that stand for addresses of another kind are left out.
    let [first, second, ..] = address.segments();
    let is_global = (0x2000..0x4000).contains(&first);
    let is_special = first == 0x2002 || first == 0x2001 && (second < 0x0200 || second == 0x0db8);
    is_global && !is_special
}
