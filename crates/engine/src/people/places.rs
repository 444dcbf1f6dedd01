//! From where a person usually signs in, so that they are told of a sign-in from elsewhere.
//!
//! A place is a network (an IPv4 /24 or an IPv6 /48) together with a family of programs on a kind of machine. What is
//! kept of it is a keyed digest and, encrypted, what the person is told. The first place of all is news to nobody. The
//! sign-in that is the news cannot make it go away: another one has to.
//!
//! Not here: where an address is on a map. That would be a guess.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_core::{At, PrincipalId, SignInId};
use serde::{Deserialize, Serialize};

use super::SignInClient;
use super::origin::Origin;
use super::tokens::Kept as KeptSignIn;
use crate::house::House;
use crate::store::{Drawer, Put, Scan, StoreError};

/// How many places of one principal are remembered; the one unused for longest is forgotten first.
const PLACES_MAX: usize = 64;

type Key = [u8; 16];

/// All places.
#[derive(Default)]
pub(crate) struct Places {
    kept: Mutex<BTreeMap<PrincipalId, BTreeMap<Key, Place>>>,
}

/// A place from which somebody signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    first_at: At,
    seen_at: At,
    /// What the person is still to be told of it.
    news: Option<News>,
}

/// That there was a sign-in from somewhere new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct News {
    pub(crate) sign_in: SignInId,
    pub(crate) at: At,
    pub(crate) from: Origin,
}

/// What is to be remembered of a sign-in once it is in the ledger.
pub(crate) struct Visit {
    pub(crate) is_new: bool,
    pub(crate) puts: Vec<Put>,
    key: Key,
    place: Place,
    forgotten: Option<Key>,
}

impl Places {
    pub(crate) fn load(house: &House) -> Result<Self, StoreError> {
        let scan = Scan::of(&[], usize::MAX);
        let places = Self::default();
        for (key, value) in house.store.scan(Drawer::Places, &scan)? {
            let Some((principal, key)) = read_key(&key) else { continue };
            let plain = house.keyring.open(&seal_place(&principal), &value).ok();
            let place = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
            if let Some(place) = place {
                places.kept().entry(principal).or_default().insert(key, place);
            }
        }
        Ok(places)
    }

    /// Whether somebody ever signed in from there.
    pub(super) fn knows(&self, house: &House, principal: &PrincipalId, client: &SignInClient) -> bool {
        let key = key_of(house, principal, client.source, client.user_agent.as_deref());
        self.kept().get(principal).is_some_and(|own| own.contains_key(&key))
    }

    /// What a sign-in is to the place it comes from.
    pub(super) fn visit(&self, house: &House, sign_in: &KeptSignIn) -> Visit {
        let (principal, from) = (&sign_in.principal, &sign_in.from);
        let key = key_of(house, principal, from.address, from.program.as_deref());
        let kept = self.kept();
        let own = kept.get(principal);
        let known = own.and_then(|own| own.get(&key));
        let is_new = known.is_none() && own.is_some_and(|own| !own.is_empty());
        let at = sign_in.signed_in_at;
        let news = is_new.then(|| News { sign_in: sign_in.id, at, from: from.clone() });
        let place = match known {
            Some(known) => Place { seen_at: at, ..known.clone() },
            None => Place { first_at: at, seen_at: at, news },
        };
        let is_full = known.is_none() && own.is_some_and(|own| own.len() >= PLACES_MAX);
        let oldest = own.and_then(|own| own.iter().min_by_key(|(_, place)| place.seen_at));
        let forgotten = oldest.filter(|_| is_full).map(|(key, _)| *key);
        let mut puts = vec![place.put(house, principal, &key)];
        puts.extend(forgotten.map(|key| Put::remove(Drawer::Places, store_key(principal, &key))));
        Visit { is_new, puts, key, place, forgotten }
    }

    /// Remembers a visit that is in the ledger.
    pub(super) fn keep(&self, principal: &PrincipalId, visit: Visit) {
        let mut kept = self.kept();
        let own = kept.entry(principal.clone()).or_default();
        if let Some(forgotten) = visit.forgotten {
            own.remove(&forgotten);
        }
        own.insert(visit.key, visit.place);
    }

    /// What a person is to be told in this sign-in: sign-ins from new places other than itself.
    pub(super) fn news(&self, principal: &PrincipalId, told_in: SignInId) -> Vec<News> {
        let kept = self.kept();
        let places = kept.get(principal).into_iter().flat_map(BTreeMap::values);
        let news = places.filter_map(|place| place.news.clone());
        let mut news: Vec<News> = news.filter(|news| news.sign_in != told_in).collect();
        news.sort_by_key(|news| std::cmp::Reverse(news.at));
        news
    }

    /// Has a person told in this sign-in. Gives what is to be stored; nothing if there is no such news there.
    pub(super) fn told(
        &self,
        house: &House,
        principal: &PrincipalId,
        (news_of, told_in): (SignInId, SignInId),
    ) -> Option<Put> {
        let mut kept = self.kept();
        let mut own = kept.get_mut(principal)?.iter_mut();
        let is_it = |place: &Place| place.news.as_ref().is_some_and(|news| news.sign_in == news_of);
        let (key, place) = own.find(|(_, place)| news_of != told_in && is_it(place))?;
        place.news = None;
        Some(place.put(house, principal, key))
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<PrincipalId, BTreeMap<Key, Place>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn put(&self, house: &House, principal: &PrincipalId, key: &Key) -> Put {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let sealed = house.keyring.seal(&house.ports, &seal_place(principal), &json);
        Put::set(Drawer::Places, store_key(principal, key), sealed)
    }
}

fn seal_place(principal: &PrincipalId) -> String {
    format!("place:{principal}")
}

/// What the value under this key is bound to.
pub(crate) fn place_of(key: &[u8]) -> Option<String> {
    read_key(key).map(|(principal, _)| seal_place(&principal))
}

fn store_key(principal: &PrincipalId, key: &Key) -> Vec<u8> {
    [principal.as_str().as_bytes(), &[0], key.as_slice()].concat()
}

fn read_key(key: &[u8]) -> Option<(PrincipalId, Key)> {
    let (name, key) = key.split_last_chunk::<16>()?;
    let name = std::str::from_utf8(name.strip_suffix(&[0])?).ok()?;
    Some((name.parse().ok()?, *key))
}

fn key_of(house: &House, principal: &PrincipalId, source: Option<IpAddr>, program: Option<&str>) -> Key {
    let network = source.map(network).unwrap_or_default();
    let family = program.map(family).unwrap_or_default();
    let parts = [principal.as_str().as_bytes(), network.as_bytes(), family.as_bytes()];
    let mac = house.keyring.mac("place", &parts);
    let mut key = [0; 16];
    key.iter_mut().zip(mac).for_each(|(slot, byte)| *slot = byte);
    key
}

/// The network of an address: what a person keeps when a router gives them another one.
pub(super) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("4:{:x}", address.to_bits() >> 8),
        IpAddr::V6(address) => format!("6:{:x}", address.to_bits() >> 80),
    }
}

/// Which programs are told apart, by what stands in what they say of themselves. Others are hidden in it: a browser
/// that says `Edg` says `Chrome` and `Safari` too.
const PROGRAMS: [(&str, &str); 7] = [
    ("countersign/", "countersign"),
    ("Edg", "edge"),
    ("OPR/", "opera"),
    ("Firefox/", "firefox"),
    ("FxiOS/", "firefox"),
    ("Chrome/", "chrome"),
    ("Safari/", "safari"),
];

/// Which machines are told apart; a phone says that it is like another one.
const MACHINES: [(&str, &str); 7] = [
    ("Android", "android"),
    ("iPhone", "ios"),
    ("iPad", "ios"),
    ("CrOS", "chromeos"),
    ("Windows", "windows"),
    ("Mac OS", "macos"),
    ("Linux", "linux"),
];

/// The family of a program, without versions: `firefox windows`, `countersign`, `curl`.
pub(crate) fn family(program: &str) -> String {
    let find = |table: &[(&str, &'static str)]| {
        table.iter().find(|(sign, _)| program.contains(sign)).map(|(_, name)| *name)
    };
    let other = || {
        let name = program.split(['/', ' ']).next().unwrap_or_default();
        name.chars().filter(char::is_ascii_alphanumeric).take(32).collect::<String>().to_lowercase()
    };
    let name = find(&PROGRAMS).map_or_else(other, str::to_owned);
    match find(&MACHINES) {
        Some(machine) => format!("{name} {machine}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_keeps_its_family_when_it_is_updated() {
        let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36 Edg/131.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile Safari/604.1";
        let android = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36";
        let firefox = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14.7; rv:133.0) Gecko/20100101 Firefox/133.0";
        for (program, is) in [
            (chrome, "chrome linux"),
            (&chrome.replace("131", "140"), "chrome linux"),
            (edge, "edge windows"),
            (phone, "safari ios"),
            (android, "chrome android"),
            (firefox, "firefox macos"),
            ("countersign/0.1.0", "countersign"),
            ("curl/8.5.0", "curl"),
            ("", ""),
            ("\u{1f600}/\0", ""),
        ] {
            assert_eq!(family(program), is, "{program}");
        }
    }

    #[test]
    fn a_network_is_what_a_router_keeps() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.200"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::2"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    }

    #[test]
    fn keys_read_as_they_are_written() {
        let who = PrincipalId::new("alice@shop.example");
        assert_eq!(read_key(&store_key(&who, &[0; 16])), Some((who, [0; 16])));
        assert_eq!(read_key(b"short"), None);
    }
}
