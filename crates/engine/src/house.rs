//! What everybody in the engine shares: the store, the keys, the settings; and reading back what was sealed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::catalogue::Catalogue;
use countersign_core::request::{Ask, Request};
use countersign_core::{At, BundleHash, Digest, PrincipalId, RequestId};
use countersign_ledger::content::SALT_BYTES;
use countersign_policy::context::{Access, Plain};
use countersign_policy::{Compiled, Source, compile};
use serde::{Deserialize, Serialize};

use crate::action::capture::RESULT_AT;
use crate::line::Line;
use crate::ports::Ports;
use crate::request::RequestContent;
use crate::seal::{Field, Key, Keyring, Unreadable};
use crate::settings::Settings;
use crate::sheet;
use crate::store::{Drawer, Order, Put, Scan, Store, StoreError};
use crate::writer::work::{From, Standing};

/// How many compiled bundles are kept besides the one in force.
const COMPILED_MAX: usize = 4;

/// What everybody shares.
pub(crate) struct House {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ports: Ports,
    pub(crate) keyring: Keyring,
    pub(crate) settings: Settings,
    pub(crate) node: Arc<str>,
    compiled: Mutex<BTreeMap<BundleHash, Arc<Compiled>>>,
    /// Who takes lines by the tile, and since when that is recorded.
    pub(crate) takers: Mutex<BTreeMap<PrincipalId, At>>,
}

/// Content as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where in the line its commitment is (JSON pointer).
    pub at: String,
    /// What kind of content it is.
    pub kind: String,
    /// The salt of the commitment.
    pub salt: [u8; SALT_BYTES],
    /// The content.
    pub bytes: Vec<u8>,
}

impl Kept {
    /// What the line says in its place.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        Digest(countersign_ledger::content::commit(&self.salt, &self.kind, &self.bytes).0.0)
    }
}

/// Why content can't be had.
#[derive(Debug, thiserror::Error)]
pub enum NoContent {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was erased, with its key or by itself, or never was.
    #[error("the content was erased")]
    Erased,
    /// It can't be decrypted.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// A bundle as it is kept.
#[derive(Serialize, Deserialize)]
struct KeptBundle {
    files: BTreeMap<String, String>,
    catalogue: Catalogue,
}

impl House {
    pub(crate) fn new(store: Arc<dyn Store>, keyring: Keyring, ports: Ports, settings: Settings) -> Self {
        let node = settings.node.as_str().into();
        let (compiled, takers) = (Mutex::default(), Mutex::default());
        Self { store, ports, keyring, settings, node, compiled, takers }
    }

    /// A content key, unwrapped; nothing if it is not there.
    pub(crate) fn content_key(&self, name: &str) -> Result<Option<Arc<Key>>, NoContent> {
        let Some(wrapped) = self.store.get(Drawer::Keys, name.as_bytes())? else { return Ok(None) };
        let place = key_place(name);
        let bytes = zeroize::Zeroizing::new(self.keyring.open(&place, &wrapped)?);
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| Unreadable(place))?;
        Ok(Some(Arc::new(Key::new(bytes))))
    }

    /// The content kept beside the line at `index`.
    pub(crate) fn content(&self, index: u64) -> Result<Vec<Kept>, NoContent> {
        let unreadable = || Unreadable(format!("content of line {index}"));
        let Some(value) = self.store.get(Drawer::Content, &index.to_be_bytes())? else {
            return self.content_in_sheet(index);
        };
        let (length, rest) = value.split_first().ok_or_else(unreadable)?;
        let (name, sealed) = rest.split_at_checked(usize::from(*length)).ok_or_else(unreadable)?;
        let name = std::str::from_utf8(name).map_err(|_| unreadable())?;
        let key = self.content_key(name)?.ok_or(NoContent::Erased)?;
        let plain = key.open(&place_of(index, name), sealed).ok_or_else(unreadable)?;
        Ok(unpack(&plain).ok_or_else(unreadable)?)
    }

    /// The content of a line that shares a row with others: the nearest row that begins with this line or an earlier one.
    fn content_in_sheet(&self, index: u64) -> Result<Vec<Kept>, NoContent> {
        let unreadable = || Unreadable(format!("content of line {index}"));
        let next = index.saturating_add(1).to_be_bytes();
        let scan = Scan { prefix: &[], after: Some(&next), order: Order::Down, count: 1 };
        let (first, row) =
            self.store.scan(Drawer::Sheets, &scan)?.into_iter().next().ok_or(NoContent::Erased)?;
        let first = u64::from_be_bytes(first.as_slice().try_into().map_err(|_| unreadable())?);
        let found = sheet::find(&row, first, index).ok_or(NoContent::Erased)?;
        let key = self.content_key(found.name)?.ok_or(NoContent::Erased)?;
        let plain = key.open(&found.place, found.sealed).ok_or_else(unreadable)?;
        Ok(found.contents(&plain).ok_or_else(unreadable)?)
    }

    /// One content of a line, wherever its text is kept.
    pub(crate) fn content_at(&self, line: &Line, at: &str) -> Option<Kept> {
        let index = match (at, line.data.get("text_at").and_then(serde_json::Value::as_u64)) {
            ("/data/text", Some(earlier)) => earlier,
            _ => line.index,
        };
        self.content(index).ok()?.into_iter().find(|kept| kept.at == at)
    }

    /// Everything that stands behind the commitments of a line, but for what a statement gave back.
    pub(crate) fn contents_of(&self, line: &Line) -> Vec<Kept> {
        let mut kept = self.content(line.index).unwrap_or_default();
        kept.retain(|kept| kept.at != RESULT_AT);
        if line.data.get("text_at").is_some() {
            kept.extend(self.content_at(line, "/data/text"));
        }
        kept
    }

    /// The lines that tell of something, in order.
    pub(crate) fn told(&self, key: &[u8], count: usize) -> Result<Vec<u64>, StoreError> {
        self.told_by(&Scan::of(key, count))
    }

    /// The last lines that tell of something, the latest first.
    pub(crate) fn last_told(&self, key: &[u8], count: usize) -> Result<Vec<u64>, StoreError> {
        self.told_by(&Scan { order: Order::Down, ..Scan::of(key, count) })
    }

    fn told_by(&self, scan: &Scan<'_>) -> Result<Vec<u64>, StoreError> {
        let pairs = self.store.scan(Drawer::History, scan)?;
        let indices = pairs.iter().filter_map(|(found, _)| found.last_chunk::<8>().copied());
        Ok(indices.map(u64::from_be_bytes).collect())
    }

    /// The first line that tells of something.
    pub(crate) fn first_told(&self, key: &[u8]) -> Option<u64> {
        self.told(key, 1).ok()?.first().copied()
    }

    /// What is kept of a request beside its first line.
    pub(crate) fn content_of_request(&self, request: RequestId) -> Option<RequestContent> {
        let index = self.first_told(&crate::index::request_key(request))?;
        let kept = self.content(index).ok()?.into_iter().find(|kept| kept.at == "/data/content")?;
        serde_json::from_slice(&kept.bytes).ok()
    }

    /// What a request stands on, read back from its content. What is about to run under the receipt of a held action, or of a
    /// script, says itself what it is, so only the others need it.
    pub(crate) fn standing(&self, request: &Request) -> Option<Standing> {
        match &request.ask {
            Ask::Act { .. } | Ask::Script { .. } => None,
            Ask::Apply { bundle } => Some(Standing::Apply { bundle: *bundle, from: From::HOUSE }),
            Ask::Access { role, lasting } => {
                let content = self.content_of_request(request.id)?;
                let from = content.from();
                let plain = Plain { now: request.asked_at, source: from.source, via: from.via };
                let context =
                    Access { plain, duration: *lasting, purpose: content.purpose, ticket: content.ticket };
                Some(Standing::Access { role: role.clone(), context: context.into(), from })
            }
        }
    }

    /// A bundle as it is put into the store.
    pub(crate) fn bundle_put(&self, bundle: &Compiled, source: &Source) -> Result<Put, serde_json::Error> {
        let kept = KeptBundle { files: source.files.clone(), catalogue: bundle.catalogue.as_ref().clone() };
        let sealed = self.keyring.seal(&self.ports, &bundle_place(&bundle.hash), &serde_json::to_vec(&kept)?);
        Ok(Put::set(Drawer::Bundles, bundle.hash.0, sealed))
    }

    fn kept_bundle(&self, bundle: &BundleHash) -> Option<KeptBundle> {
        let sealed = self.store.get(Drawer::Bundles, &bundle.0).ok()??;
        let plain = self.keyring.open(&bundle_place(bundle), &sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// What a bundle of the past says.
    pub(crate) fn catalogue(&self, bundle: &BundleHash) -> Option<Arc<Catalogue>> {
        self.kept_bundle(bundle).map(|kept| Arc::new(kept.catalogue))
    }

    /// The files of a bundle.
    pub(crate) fn files(&self, bundle: &BundleHash) -> Option<BTreeMap<String, String>> {
        self.kept_bundle(bundle).map(|kept| kept.files)
    }

    /// A bundle that is kept, compiled.
    pub(crate) fn compiled(&self, bundle: &BundleHash) -> Option<Arc<Compiled>> {
        if let Some(found) = self.cache().get(bundle) {
            return Some(Arc::clone(found));
        }
        let source = Source { files: self.kept_bundle(bundle)?.files };
        let compiled = Arc::new(compile(&source).ok()?);
        if compiled.hash != *bundle {
            return None;
        }
        self.remember(&compiled);
        Some(compiled)
    }

    pub(crate) fn remember(&self, compiled: &Arc<Compiled>) {
        let mut cache = self.cache();
        if cache.len() >= COMPILED_MAX {
            cache.clear();
        }
        cache.insert(compiled.hash, Arc::clone(compiled));
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Arc<Compiled>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a wrapped content key is bound to.
pub(crate) fn key_place(name: &str) -> String {
    format!("content-key:{name}")
}

/// What a bundle is bound to.
pub(crate) fn bundle_place(bundle: &BundleHash) -> String {
    format!("bundle:{bundle}")
}

/// What sealed content is bound to: its line and its key.
pub(crate) fn place_of(index: u64, name: &str) -> Vec<u8> {
    [&index.to_be_bytes()[..], name.as_bytes()].concat()
}

/// Fields one after the other: two short texts, a salt, and bytes behind their length.
pub(crate) fn pack(fields: &[Field]) -> Vec<u8> {
    let mut packed = Vec::new();
    pack_into(&mut packed, fields);
    packed
}

/// As [`pack`], behind what is there.
pub(crate) fn pack_into(packed: &mut Vec<u8>, fields: &[Field]) {
    packed.reserve(fields.iter().map(|field| field.bytes.len() + 128).sum());
    for field in fields {
        for text in [field.at, field.kind] {
            packed.push(u8::try_from(text.len()).unwrap_or_default());
            packed.extend_from_slice(text.as_bytes());
        }
        packed.extend_from_slice(&field.salt);
        packed.extend_from_slice(&(field.bytes.len() as u64).to_be_bytes());
        packed.extend_from_slice(&field.bytes);
    }
}

/// Reads [`pack`].
pub(crate) fn unpack(mut packed: &[u8]) -> Option<Vec<Kept>> {
    let mut fields = Vec::new();
    while !packed.is_empty() {
        let at = take_text(&mut packed)?;
        let kind = take_text(&mut packed)?;
        let (salt, rest) = packed.split_first_chunk::<SALT_BYTES>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        packed = rest;
        fields.push(Kept { at, kind, salt: *salt, bytes: bytes.to_vec() });
    }
    Some(fields)
}

fn take_text(packed: &mut &[u8]) -> Option<String> {
    let (length, rest) = packed.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    *packed = rest;
    std::str::from_utf8(text).ok().map(str::to_owned)
}
