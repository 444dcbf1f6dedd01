//! Programs that registered themselves, so that people may let them in at one resource (RFC 7591).
//!
//! Anybody may register one, and all that it says of itself is its own word: it gives nothing, until a person says yes. What is
//! kept is public: clients have no secret, and are known again by where a browser brings their codes. One that nobody ever let
//! in is forgotten after an hour, and before that if there are too many. One that came with somebody's yes is kept longer; each
//! person keeps so many, so that nobody's take up all the room.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::{At, ClientId, PersonId, Span};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::engine::Engine;
use crate::house::House;
use crate::store::{Drawer, Put, Scan, StoreError};
use crate::words::{Refused, RefusedCode};

/// How many clients are kept.
const CLIENTS_MAX: usize = 2_000;
/// How many of them one person keeps by having let them in: as many as they may have sign-ins.
const EACH_MAX: usize = 32;
/// How many persons are remembered of one client. Beyond, whoever let it in longest ago is forgotten.
const PERSONS_MAX: usize = 256;
/// How long one is kept that nobody ever let in.
const UNUSED_FOR: Span = Span::hours(1);
/// How long one is kept that nobody has let in again.
const USED_FOR: Span = Span::hours(90 * 24);
/// How many places one client may name to bring codes to.
const REDIRECTS_MAX: usize = 16;
/// The longest of them, in bytes.
const REDIRECT_BYTES_MAX: usize = 512;
/// The longest name of a client, in characters.
const NAME_CHARS_MAX: usize = 64;
/// What a client is called that has no name of its own.
const NAMELESS: &str = "a program without a name";

/// A client that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Which.
    pub id: ClientId,
    /// What it calls itself.
    pub name: String,
    /// Where a browser may bring it codes.
    pub redirect_uris: Vec<String>,
    /// When it was registered.
    pub registered_at: At,
}

/// All clients.
pub(super) struct Clients(Mutex<BTreeMap<ClientId, Kept>>);

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    name: String,
    redirect_uris: Vec<String>,
    registered_at: At,
    /// Who let it in, and when it last came with their yes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    used_by: BTreeMap<PersonId, At>,
}

impl Kept {
    fn is_live(&self, now: At) -> bool {
        let until = self.used_at().map_or(self.registered_at.plus(UNUSED_FOR), |used| used.plus(USED_FOR));
        now < until
    }

    /// When it last came with somebody's yes.
    fn used_at(&self) -> Option<At> {
        self.used_by.values().max().copied()
    }

    fn use_by(&mut self, person: &PersonId, now: At) {
        self.used_by.insert(person.clone(), now);
        if self.used_by.len() > PERSONS_MAX {
            let first = self.used_by.iter().min_by_key(|(_, at)| **at).map(|(person, _)| person.clone());
            first.map(|first| self.used_by.remove(&first));
        }
    }

    fn view(&self, id: ClientId) -> Client {
        let (name, redirect_uris) = (self.name.clone(), self.redirect_uris.clone());
        Client { id, name, redirect_uris, registered_at: self.registered_at }
    }

    fn put(&self, id: ClientId) -> Put {
        // A struct of texts and numbers cannot fail to serialise.
        Put::set(Drawer::Clients, id.0.to_be_bytes(), serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Clients {
    pub(super) fn load(house: &House) -> Result<Self, StoreError> {
        let now = house.ports.clock.now();
        let (mut clients, mut over) = (BTreeMap::new(), Vec::new());
        for (key, value) in house.store.scan(Drawer::Clients, &Scan::of(&[], usize::MAX))? {
            let id = <[u8; 16]>::try_from(key.as_slice()).map(u128::from_be_bytes).map(ClientId);
            match (id, serde_json::from_slice::<Kept>(&value)) {
                (Ok(id), Ok(kept)) if kept.is_live(now) => drop(clients.insert(id, kept)),
                _ => over.push(Put::remove(Drawer::Clients, key)),
            }
        }
        if !over.is_empty() {
            house.store.put(&over)?;
        }
        Ok(Self(Mutex::new(clients)))
    }

    fn of(&self, id: ClientId, now: At) -> Option<Kept> {
        self.kept().get(&id).filter(|kept| kept.is_live(now)).cloned()
    }

    /// Adds one, and forgets those that are over; if there are too many, the oldest unused one, or else the one that was used
    /// longest ago. Gives what is to be stored.
    fn add(&self, id: ClientId, kept: Kept, now: At) -> Vec<Put> {
        let mut all = self.kept();
        let mut gone: Vec<ClientId> =
            all.iter().filter(|(_, one)| !one.is_live(now)).map(|(id, _)| *id).collect();
        if all.len() - gone.len() >= CLIENTS_MAX {
            let live = all.iter().filter(|(_, one)| one.is_live(now));
            let first = live.min_by_key(|(_, one)| (one.used_at(), one.registered_at));
            gone.extend(first.map(|(id, _)| *id));
        }
        all.retain(|id, _| !gone.contains(id));
        let mut puts: Vec<Put> =
            gone.iter().map(|id| Put::remove(Drawer::Clients, id.0.to_be_bytes())).collect();
        puts.push(kept.put(id));
        all.insert(id, kept);
        puts
    }

    /// That it comes with this person's yes now. Of those that the person keeps, the one that was used longest ago is kept by
    /// them no more if there are too many. Gives what is to be stored.
    pub(super) fn used(&self, id: ClientId, person: &PersonId, now: At) -> Vec<Put> {
        let mut all = self.kept();
        let Some(kept) = all.get_mut(&id) else { return Vec::new() };
        kept.use_by(person, now);
        let mut puts = vec![kept.put(id)];
        let own = || all.iter().filter_map(|(id, one)| Some((*one.used_by.get(person)?, *id)));
        let first = if own().count() > EACH_MAX { own().min().map(|(_, id)| id) } else { None };
        if let Some(id) = first
            && let Some(kept) = all.get_mut(&id)
        {
            kept.used_by.remove(person);
            puts.push(kept.put(id));
        }
        puts
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<ClientId, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Registers a client: a program that has no secret, and says where a browser may bring it codes.
    ///
    /// # Errors
    /// One of these places is none, there are too many, or it can't be stored.
    pub async fn register_client(
        &self,
        name: Option<&str>,
        redirect_uris: Vec<String>,
    ) -> Result<Client, Refused> {
        let invalid = |message: String| Refused::new(RefusedCode::Invalid, message);
        if redirect_uris.is_empty() || redirect_uris.len() > REDIRECTS_MAX {
            return Err(invalid(format!("a client names between one and {REDIRECTS_MAX} redirect URIs")));
        }
        if let Some(bad) = redirect_uris.iter().find(|uri| redirect_host(uri).is_none()) {
            let shown: String = bad.chars().filter(char::is_ascii_graphic).take(100).collect();
            let message = format!("`{shown}` is no redirect URI of a client here");
            return Err(invalid(message).hint(
                "it is https, or http on this very machine (127.0.0.1, [::1], localhost), with no fragment",
            ));
        }
        let (id, now) = (ClientId(self.0.house.ports.entropy.id()), self.now());
        let kept = Kept { name: plain(name), redirect_uris, registered_at: now, used_by: BTreeMap::new() };
        let view = kept.view(id);
        self.store_puts(self.0.people.clients.add(id, kept, now)).await?;
        Ok(view)
    }

    /// The client of this name.
    #[must_use]
    pub fn client(&self, id: ClientId) -> Option<Client> {
        self.0.people.clients.of(id, self.now()).map(|kept| kept.view(id))
    }
}

impl Client {
    /// Whether a browser may bring it codes there: where it said, letter by letter. On the very machine any port counts: a
    /// program does not know beforehand which one it gets (RFC 8252, section 7.3).
    #[must_use]
    pub fn may_be_brought(&self, uri: &str) -> bool {
        redirect_host(uri).is_some()
            && self
                .redirect_uris
                .iter()
                .any(|own| own == uri || without_port(own).is_some_and(|own| without_port(uri) == Some(own)))
    }
}

/// The host of a redirect URI, if it is one that a client may have: https, or http on this very machine. What it says has to
/// be what a browser makes of it, so whatever is read in several ways is none.
#[must_use]
pub fn redirect_host(uri: &str) -> Option<String> {
    let is_plain = uri.len() <= REDIRECT_BYTES_MAX
        && uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#\"<>`{|}".contains(&byte));
    let url = Url::parse(uri).ok().filter(|_| is_plain)?;
    let is_bare = url.username().is_empty() && url.password().is_none() && !uri.contains('@');
    let host = url.host_str()?;
    let fits = match url.scheme() {
        "https" => true,
        "http" => is_this_machine(url.host()),
        _ => false,
    };
    let is_as_written = uri.strip_prefix(url.scheme())?.strip_prefix("://")?.starts_with(host);
    (fits && is_bare && is_as_written).then(|| host.to_owned())
}

/// Whether what goes to that host stays on the machine of whoever sent it. A name that only looks like an address does not.
pub(super) fn stays_here(host: &str) -> bool {
    Host::parse(host).is_ok_and(|host| is_this_machine(Some(host)))
}

fn is_this_machine<S: AsRef<str>>(host: Option<Host<S>>) -> bool {
    match host {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.as_ref() == "localhost",
        None => false,
    }
}

/// An address on this very machine without its port, in two parts.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    is_this_machine(Url::parse(uri).ok()?.host()).then_some((host, path))
}

/// A name that somebody is shown: nothing in it may pass for something else, or move what stands around it.
fn plain(name: Option<&str>) -> String {
    let is_shown = |letter: &char| letter.is_alphanumeric() || " -_.,:;()[]/+&'!@#".contains(*letter);
    let shown: String = name.unwrap_or_default().chars().filter(is_shown).take(NAME_CHARS_MAX).collect();
    let words: Vec<&str> = shown.split_whitespace().collect();
    if words.is_empty() { NAMELESS.to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_brought_to_places_that_mean_one_thing() {
        for (uri, host) in [
            ("https://app.example/cb?x=1", "app.example"),
            ("http://127.0.0.1:33418", "127.0.0.1"),
            ("http://127.0.0.1/cb", "127.0.0.1"),
            ("http://[::1]:9/cb", "[::1]"),
            ("http://localhost:8090/callback", "localhost"),
        ] {
            assert_eq!(redirect_host(uri).as_deref(), Some(host), "{uri}");
            assert_eq!(stays_here(host), host != "app.example", "{uri}");
        }
        // A host may begin like this machine's own address and be anybody's.
        for uri in ["https://127.0.0.1.evil.example/cb", "https://localhost.evil.example/cb"] {
            let host = redirect_host(uri).unwrap();
            assert!(!stays_here(&host), "{uri}");
        }
        for bad in [
            "",
            "http://app.example/cb",
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example/",
            "https://good.example@evil.example/",
            "https://evil.example\\@good.example/",
            "https://app.example/#code",
            "https:app.example",
            "https:///app.example",
            "https://APP.example/",
            "http://127.1/cb",
            "HTTPS://app.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "cursor://x/cb",
            "file:///etc/passwd",
            "https://\u{430}pp.example/",
            "https://app.example/\nx",
            &format!("https://app.example/{}", "a".repeat(512)),
        ] {
            assert_eq!(redirect_host(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_place_is_compared_letter_by_letter_but_for_ports_of_this_machine() {
        let client = Client {
            id: ClientId(1),
            name: "x".into(),
            redirect_uris: vec!["https://app.example/cb".into(), "http://localhost:1/cb".into()],
            registered_at: At(0),
        };
        for right in ["https://app.example/cb", "http://localhost:2/cb", "http://localhost/cb"] {
            assert!(client.may_be_brought(right), "{right}");
        }
        for wrong in [
            "https://app.example/cb/",
            "https://app.example:444/cb",
            "https://APP.example/cb",
            "https://app.example/cb?x",
            "https://app.example/",
            "http://localhost:2/cb2",
            "http://localhost:2/",
            "http://127.0.0.1:2/cb",
            "http://localhost:2x/cb",
            "https://localhost:1/cb",
        ] {
            assert!(!client.may_be_brought(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_name_moves_nothing_around_it() {
        assert_eq!(plain(Some("Claude Code (files)")), "Claude Code (files)");
        assert_eq!(plain(Some(" a\u{202e}b\n\u{200b}c\0 <b>\"x\" ")), "abc bx");
        assert_eq!(plain(Some(&"a".repeat(999))).len(), NAME_CHARS_MAX);
        for empty in [None, Some(""), Some(" \u{202e}\n")] {
            assert_eq!(plain(empty), NAMELESS);
        }
    }
}
