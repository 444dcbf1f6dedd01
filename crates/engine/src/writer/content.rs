//! Content beside the lines: sealed under keys of its own, and statement texts that are sealed once per session.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::{Digest, SessionId};

use super::work::{Body, NotDone};
use crate::house::{House, NoContent, key_place, pack, place_of};
use crate::ports::Ports;
use crate::seal::{Field, Key};
use crate::store::{Drawer, Put};

/// How many content keys are kept in memory.
const KEYS_MAX: usize = 8_192;

/// How many texts of a session are remembered. A prepared statement is executed many times; its text is kept once.
const TEXTS_MAX: usize = 16;

/// Texts longer than this are not remembered: the memory would not be worth it.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The content keys in use.
#[derive(Default)]
pub(super) struct Contents {
    keys: BTreeMap<Arc<str>, Arc<Key>>,
}

impl Contents {
    /// The content key of this name. A new one is wrapped and stored with the transaction that uses it first.
    pub(super) fn key(
        &mut self,
        house: &House,
        name: &Arc<str>,
        puts: &mut Vec<Put>,
    ) -> Result<Arc<Key>, NotDone> {
        if let Some(key) = self.keys.get(name) {
            return Ok(Arc::clone(key));
        }
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        let stored = house.content_key(name).map_err(|error| {
            tracing::error!(%error, "a content key could not be read");
            match error {
                NoContent::Store(_) => NotDone::Unavailable,
                // Reading it again would not help.
                NoContent::Erased | NoContent::Unreadable(_) => NotDone::Unwritable(error.to_string()),
            }
        })?;
        let key = match stored {
            Some(key) => key,
            None => {
                let bytes = zeroize::Zeroizing::new(house.ports.random::<32>());
                let wrapped = house.keyring.seal(&house.ports, &key_place(name), bytes.as_ref());
                puts.push(Put::new(Drawer::Keys, name.as_bytes(), wrapped));
                Arc::new(Key::new(&bytes))
            }
        };
        self.keys.insert(Arc::clone(name), Arc::clone(&key));
        Ok(key)
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
    }
}

/// The content of the line at `index`, sealed.
pub(super) fn sealed(ports: &Ports, key: &Key, name: &str, index: u64, fields: &[Field]) -> Put {
    let sealed = key.seal(ports.random(), &place_of(index, name), &pack(fields));
    let mut value = Vec::with_capacity(1 + name.len() + sealed.len());
    value.push(u8::try_from(name.len()).unwrap_or_default());
    value.extend_from_slice(name.as_bytes());
    value.extend_from_slice(&sealed);
    Put::set(Drawer::Content, index.to_be_bytes(), value)
}

/// Texts that were kept, by session.
#[derive(Default)]
pub(super) struct Texts {
    sessions: BTreeMap<SessionId, Vec<Known>>,
}

struct Known {
    text: Arc<str>,
    commitment: Digest,
    index: u64,
}

/// The commitment to a text, and where its content is.
pub(super) struct Committed {
    pub(super) commitment: Digest,
    /// The line beside which it is kept already.
    pub(super) at: Option<u64>,
    /// What is to be kept beside this line.
    pub(super) field: Option<Field>,
}

impl Texts {
    /// The text of a statement in a session: a reference to an earlier line, or content of the line at `index`.
    pub(super) fn commit(
        &mut self,
        ports: &Ports,
        session: SessionId,
        text: &Arc<str>,
        index: u64,
    ) -> Committed {
        let known = self.sessions.entry(session).or_default();
        let found = known.iter().find(|one| Arc::ptr_eq(&one.text, text) || one.text == *text);
        if let Some(found) = found {
            return Committed { commitment: found.commitment, at: Some(found.index), field: None };
        }
        let fresh = fresh(ports, text);
        if text.len() <= TEXT_BYTES_MAX {
            if known.len() >= TEXTS_MAX {
                known.remove(0);
            }
            known.push(Known { text: Arc::clone(text), commitment: fresh.commitment, index });
        }
        fresh
    }

    pub(super) fn forget(&mut self, session: SessionId) {
        self.sessions.remove(&session);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(SessionId) -> bool) {
        self.sessions.retain(|session, _| keep(*session));
    }

    pub(super) fn clear(&mut self) {
        self.sessions.clear();
    }
}

/// A text that is kept beside its own line.
pub(super) fn fresh(ports: &Ports, text: &Arc<str>) -> Committed {
    let field = Field::new(ports, "/data/text", "statement.text", Arc::<[u8]>::from(Arc::clone(text)));
    Committed { commitment: field.commitment(), at: None, field: Some(field) }
}

/// The parameters of a statement, if it has any.
pub(super) fn parameters(ports: &Ports, body: &Body) -> Option<Field> {
    let parameters = body.parameters.clone()?;
    Some(Field::new(ports, "/data/parameters", "statement.parameters", parameters))
}
