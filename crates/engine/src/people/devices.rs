//! Devices on which people want to be told of what waits for them (Web Push), and what they are told.
//!
//! A device is an address at the push service of its browser, and two keys by which only that browser reads what is sent
//! (RFC 8291). Addresses and keys are kept encrypted; that a device was added or taken away is a line. What is told names
//! who asks for what kind of thing and leads to it: no statement, no reason, nothing that an approver would decide by.
//!
//! Being told is a help and not a record: what waits is in the inbox, whether or not anybody was told. What waited before the
//! gateway was started is not told again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use countersign_core::request::{Ask, Request, State};
use countersign_core::{At, DeviceId, PrincipalId, RequestId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use zeroize::{Zeroize as _, Zeroizing};

use super::Caller;
use super::device_tests::Tests;
pub use super::device_tests::{Test, Tested};
use crate::engine::Engine;
use crate::house::House;
use crate::line::{Device as Line, Sealed, Topic};
use crate::seal::Field;
use crate::snapshot::{Changed, Snapshot};
use crate::store::{Drawer, Put, Scan, StoreError};
use crate::views::Named;
use crate::words::{Refused, RefusedCode, cut};
use crate::writer::work::Note;

/// How many devices one principal may have.
const EACH_MAX: usize = 8;
/// The longest address of a push service, in bytes.
const ENDPOINT_BYTES_MAX: usize = 1_024;
/// The length of a device's public key: a point of P-256, uncompressed (RFC 8291, section 2.1).
pub const KEY_BYTES: usize = 65;
/// The length of a device's authentication secret (RFC 8291, section 3.2).
pub const SECRET_BYTES: usize = 16;
/// Of a program's name so much is kept, in bytes.
const PROGRAM_BYTES_MAX: usize = 256;
/// How long an answer is worth being told, in seconds.
const ANSWER_LASTS_S: u32 = 4 * 3_600;
/// How many of the newest requests are looked at when something has changed.
const LOOKED_AT: usize = 256;
/// How many are remembered as looked at.
const KNOWN_MAX: usize = 1_024;
/// Where the gateway's own key is.
pub(crate) const PUSH_KEY: &[u8] = b"push-key";

/// A device to be told on.
#[derive(Clone)]
pub struct NewDevice {
    /// Its address at its browser's push service.
    pub endpoint: String,
    /// Its public key.
    pub key: Vec<u8>,
    /// Its authentication secret.
    pub secret: Vec<u8>,
    /// What its program calls itself.
    pub program: Option<String>,
}

/// A device, for whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Which.
    pub id: DeviceId,
    /// What its program calls itself.
    pub program: Option<String>,
    /// When it was added.
    pub added_at: At,
}

/// Something to tell on one device.
#[derive(Clone)]
pub struct Notice {
    /// Whose.
    pub principal: PrincipalId,
    /// Which.
    pub device: DeviceId,
    /// Where.
    pub endpoint: String,
    /// The device's public key.
    pub key: Vec<u8>,
    /// The device's authentication secret.
    pub secret: Vec<u8>,
    /// What: JSON for the console's worker.
    pub payload: Vec<u8>,
    /// How long it is worth being told, in seconds.
    pub lasts_s: u32,
    /// What it takes the place of, if it was not told yet: the same for all that is told of one request.
    pub topic: String,
}

/// The gateway's own key, by which push services know it (RFC 8292).
#[derive(Clone)]
pub struct PushKey {
    /// The private scalar.
    pub private: Zeroizing<[u8; 32]>,
    /// The public point, uncompressed.
    pub public: Vec<u8>,
}

/// All devices.
#[derive(Default)]
pub(crate) struct Devices {
    kept: Mutex<BTreeMap<PrincipalId, Vec<Kept>>>,
    /// The public key, once it is said that people are told.
    public: Mutex<Option<Vec<u8>>>,
    changing: tokio::sync::Mutex<()>,
    pub(super) tests: Tests,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    id: DeviceId,
    endpoint: String,
    key: Vec<u8>,
    secret: Vec<u8>,
    program: Option<String>,
    added_at: At,
}

impl Kept {
    /// What is told on it.
    fn told(&self, whose: &PrincipalId, (payload, lasts_s): (&[u8], u32), topic: String) -> Notice {
        Notice {
            principal: whose.clone(),
            device: self.id,
            endpoint: self.endpoint.clone(),
            key: self.key.clone(),
            secret: self.secret.clone(),
            payload: payload.to_vec(),
            lasts_s,
            topic,
        }
    }
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notice({} {})", self.principal, self.device)
    }
}

/// Addresses and keys are nobody's business.
impl std::fmt::Debug for NewDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewDevice(..)")
    }
}

impl std::fmt::Debug for PushKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PushKey(..)")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Devices {
    pub(crate) fn load(house: &House) -> Result<Self, StoreError> {
        let scan = Scan::of(&[], usize::MAX);
        let devices = Self::default();
        for (key, value) in house.store.scan(Drawer::Devices, &scan)? {
            let principal = std::str::from_utf8(&key).ok().and_then(|name| name.parse::<PrincipalId>().ok());
            let Some(principal) = principal else { continue };
            let plain = house.keyring.open(&place(&principal), &value).ok().map(Zeroizing::new);
            if let Some(own) = plain.and_then(|plain| serde_json::from_slice(&plain).ok()) {
                devices.kept().insert(principal, own);
            }
        }
        Ok(devices)
    }

    /// Forgets the devices of somebody who is gone.
    pub(crate) fn forget(&self, principal: &PrincipalId) {
        self.kept().remove(principal);
    }

    fn of(&self, principal: &PrincipalId) -> Vec<Kept> {
        self.kept().get(principal).cloned().unwrap_or_default()
    }

    /// Something to tell on one device, if it is theirs.
    pub(super) fn notice(
        &self,
        whose: &PrincipalId,
        id: DeviceId,
        (payload, lasts_s): (Vec<u8>, u32),
    ) -> Option<Notice> {
        let own = self.of(whose);
        let kept = own.iter().find(|one| one.id == id)?;
        Some(kept.told(whose, (&payload, lasts_s), id.to_string()))
    }

    /// Whose device this is, if it is somebody's: a browser tells one person.
    fn holder(&self, endpoint: &str) -> Option<(PrincipalId, DeviceId)> {
        let kept = self.kept();
        let all = kept.iter().flat_map(|(who, own)| own.iter().map(move |one| (who, one)));
        let mut same = all.filter(|(_, one)| one.endpoint == endpoint);
        same.next().map(|(who, one)| (who.clone(), one.id))
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<PrincipalId, Vec<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Makes or reads the gateway's own key; from here on people may have devices. For whoever tells them.
    ///
    /// # Errors
    /// The store can't be read or written, or the key is not one.
    pub async fn push_key(&self) -> Result<PushKey, Refused> {
        let house = Arc::clone(&self.0.house);
        let made = tokio::task::spawn_blocking(move || key(&house)).await;
        let made = made.ok().flatten().ok_or_else(|| {
            Refused::new(RefusedCode::Unavailable, "the key for telling devices can't be made or read")
                .hint("is the master key the one that it was made under")
        })?;
        let public = &self.0.people.devices.public;
        *public.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.public.clone());
        Ok(made)
    }

    /// The public half of the gateway's key, if people are told on devices.
    #[must_use]
    pub fn push_public(&self) -> Option<Vec<u8>> {
        self.0.people.devices.public.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The caller's devices, the newest first.
    #[must_use]
    pub fn devices(&self, caller: &Caller) -> Vec<DeviceView> {
        let mut own: Vec<DeviceView> = self.0.people.devices.of(&caller.principal).iter().map(view).collect();
        own.reverse();
        own
    }

    /// Adds a device of the caller's. One that was somebody's before is theirs no longer.
    ///
    /// # Errors
    /// Nobody is told on devices here, or it is no device.
    pub async fn add_device(&self, caller: &Caller, new: NewDevice) -> Result<DeviceView, Refused> {
        self.check_device(caller, &new)?;
        let devices = &self.0.people.devices;
        let _one_after_the_other = devices.changing.lock().await;
        if let Some((holder, id)) = devices.holder(&new.endpoint) {
            self.take_away(&holder, id, Some(caller)).await?;
        }
        let mut own = devices.of(&caller.principal);
        if own.len() >= EACH_MAX {
            let message = format!("you have {EACH_MAX} devices already");
            return Err(Refused::new(RefusedCode::Conflict, message).hint("take one of them away first"));
        }
        let ports = &self.0.house.ports;
        let program = new.program.map(|program| cut(&program, PROGRAM_BYTES_MAX).to_owned());
        let NewDevice { endpoint, key, secret, .. } = new;
        let id = DeviceId(ports.entropy.id());
        let kept = Kept { id, endpoint, key, secret, program, added_at: self.now() };
        let shown = view(&kept);
        own.push(kept);
        self.keep(("notification.device_added", Some(caller)), (&caller.principal, id), own).await?;
        Ok(shown)
    }

    /// Takes a device of the caller's away.
    ///
    /// # Errors
    /// It is none of theirs.
    pub async fn remove_device(&self, caller: &Caller, id: DeviceId) -> Result<(), Refused> {
        let _one_after_the_other = self.0.people.devices.changing.lock().await;
        self.take_away(&caller.principal, id, Some(caller)).await
    }

    /// Takes a device away that its push service does not know any more.
    ///
    /// # Errors
    /// It can't be recorded.
    pub async fn drop_device(&self, principal: &PrincipalId, id: DeviceId) -> Result<(), Refused> {
        let _one_after_the_other = self.0.people.devices.changing.lock().await;
        self.take_away(principal, id, None).await
    }

    /// What people are to be told from now on, on which devices.
    #[must_use]
    pub fn notices(&self) -> Notices {
        let changed = self.changed();
        let snapshot = self.snapshot();
        let open = snapshot.book.requests().filter(|one| one.state == State::Pending).map(|one| one.id);
        let known = snapshot.book.requests().rev().take(KNOWN_MAX).map(|one| one.id);
        Notices { open: open.collect(), known: known.collect(), engine: self.clone(), changed }
    }

    fn check_device(&self, caller: &Caller, new: &NewDevice) -> Result<(), Refused> {
        if self.push_public().is_none() {
            return Err(Refused::new(RefusedCode::Unavailable, "nobody is told on devices here")
                .hint("whoever runs the gateway can set [push] in its configuration"));
        }
        let snapshot = self.snapshot();
        let found = snapshot.book.catalogue.principals.get(&caller.principal);
        if !found.is_some_and(countersign_core::catalogue::Principal::is_user) {
            return Err(Refused::new(RefusedCode::NotPermitted, "services and agents have no devices"));
        }
        let is_point = new.key.len() == KEY_BYTES && new.key.first() == Some(&4);
        if !is_point || new.secret.len() != SECRET_BYTES || new.endpoint.len() > ENDPOINT_BYTES_MAX {
            return Err(Refused::new(
                RefusedCode::Invalid,
                "this is not what a browser's push service gives",
            ));
        }
        Ok(())
    }

    async fn take_away(&self, whose: &PrincipalId, id: DeviceId, by: Option<&Caller>) -> Result<(), Refused> {
        let mut own = self.0.people.devices.of(whose);
        let before = own.len();
        own.retain(|one| one.id != id);
        if own.len() == before {
            return Err(Refused::new(RefusedCode::NotFound, "there is no such device of yours"));
        }
        self.keep(("notification.device_removed", by), (whose, id), own).await
    }

    /// A line about what came of a test.
    pub(super) fn tested_note(&self, caller: &Caller, device: DeviceId, was_taken: bool) -> Note {
        let kind = if was_taken { "notification.sent" } else { "notification.failed" };
        let note = self.device_note((kind, Some(caller)), (&caller.principal, device));
        if was_taken { note } else { note.failed() }
    }

    /// Writes a principal's devices, with the line that tells of it.
    async fn keep(
        &self,
        why: (&'static str, Option<&Caller>),
        (whose, device): (&PrincipalId, DeviceId),
        own: Vec<Kept>,
    ) -> Result<(), Refused> {
        let mut note = self.device_note(why, (whose, device));
        note.puts = vec![put(&self.0.house, whose, &own)];
        self.note(note).await?;
        self.0.people.devices.kept().insert(whose.clone(), own);
        Ok(())
    }

    fn device_note(
        &self,
        (kind, by): (&'static str, Option<&Caller>),
        (whose, device): (&PrincipalId, DeviceId),
    ) -> Note {
        let house = &self.0.house;
        let content = serde_json::json!({ "address": by.and_then(|by| by.source) }).to_string();
        let field = Field::new(&house.ports, "/data/content", "device", content.into_bytes());
        let via = by.map_or("house", |by| by.via.as_str());
        let line = Line { content: Sealed(field.commitment()), device, via };
        let mut note = self.note_by(kind, Topic::Device(line), by);
        note.line.subject = by.is_none_or(|by| by.principal != *whose).then(|| whose.clone());
        note.key = format!("principal:{whose}").into();
        note.fields = vec![field];
        note
    }
}

/// What people are to be told, as it comes.
pub struct Notices {
    engine: Engine,
    changed: watch::Receiver<Changed>,
    /// Requests that wait, and were told of or waited before.
    open: BTreeSet<RequestId>,
    /// The newest requests that were looked at.
    known: BTreeSet<RequestId>,
}

impl Notices {
    /// Waits for something to tell. Nothing: the engine has stopped.
    pub async fn next(&mut self) -> Option<Vec<Notice>> {
        loop {
            let seen = self.changed.borrow_and_update().topics.requests;
            let found = self.look();
            if !found.is_empty() {
                return Some(found);
            }
            while self.changed.borrow_and_update().topics.requests == seen {
                self.changed.changed().await.ok()?;
            }
        }
    }

    fn look(&mut self) -> Vec<Notice> {
        let snapshot = self.engine.snapshot();
        let now = self.engine.now().max(snapshot.at);
        // Identifiers are nearly in the order in which requests are made: what is new is among the last.
        let newest = snapshot.book.requests().rev().take(LOOKED_AT);
        let fresh: Vec<&Request> = newest.filter(|one| !self.known.contains(&one.id)).collect();
        let mut found = Vec::new();
        for request in fresh.into_iter().rev() {
            self.known.insert(request.id);
            if request.state != State::Pending {
                continue;
            }
            self.open.insert(request.id);
            let lasts = request.lapses_at.since(now).millis() / 1_000;
            let lasts_s = u32::try_from(lasts).unwrap_or(0).max(1);
            let payload = asked(&snapshot, request);
            for who in snapshot.book.approvers(request, now) {
                found.extend(self.to(who, request.id, (&payload, lasts_s)));
            }
        }
        let over = |id: &RequestId| snapshot.book.request(*id).filter(|one| one.state != State::Pending);
        let answered: Vec<&Request> = self.open.iter().filter_map(over).collect();
        for request in answered {
            if let Some(payload) = answer(request) {
                found.extend(self.to(&request.by, request.id, (&payload, ANSWER_LASTS_S)));
            }
        }
        self.open.retain(|id| snapshot.book.request(*id).is_some_and(|one| one.state == State::Pending));
        while self.known.len() > KNOWN_MAX {
            self.known.pop_first();
        }
        found
    }

    fn to(&self, who: &PrincipalId, request: RequestId, (payload, lasts_s): (&[u8], u32)) -> Vec<Notice> {
        let own = self.engine.0.people.devices.of(who);
        own.iter().map(|kept| kept.told(who, (payload, lasts_s), request.to_string())).collect()
    }
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notices({} open)", self.open.len())
    }
}

/// What an approver is told: who wants what kind of thing.
fn asked(snapshot: &Snapshot, request: &Request) -> Vec<u8> {
    let who = Named::of(snapshot, &request.by).display;
    let title = match &request.ask {
        Ask::Access { role, .. } => format!("{who} asks for {role}"),
        Ask::Act { resource, .. } => format!("{who} wants to run a statement on {resource}"),
        Ask::Apply { .. } => format!("{who} wants to change the policy"),
        Ask::Script { resource, .. } => format!("{who} wants to run a script on {resource}"),
    };
    payload(&title, "It waits for your word.", &format!("/inbox?r={}", request.id), request.id)
}

/// What whoever asked is told; nothing of what they gave up themselves.
fn answer(request: &Request) -> Option<Vec<u8>> {
    let what = match &request.ask {
        Ask::Access { role, .. } => role.to_string(),
        Ask::Act { resource, .. } => format!("your statement on {resource}"),
        Ask::Apply { .. } => "your change of the policy".to_owned(),
        Ask::Script { resource, .. } => format!("your script on {resource}"),
    };
    let title = match &request.state {
        State::Approved(_) => format!("Approved: {what}"),
        State::Denied { .. } => format!("Denied: {what}"),
        State::Lapsed { .. } => format!("Nobody answered: {what}"),
        State::Pending | State::Withdrawn { .. } | State::Void { .. } => return None,
    };
    Some(payload(&title, "", &format!("/requests/{}", request.id), request.id))
}

fn payload(title: &str, body: &str, link: &str, request: RequestId) -> Vec<u8> {
    let tag = request.to_string();
    serde_json::json!({ "title": title, "body": body, "link": link, "tag": tag }).to_string().into_bytes()
}

fn view(kept: &Kept) -> DeviceView {
    DeviceView { id: kept.id, program: kept.program.clone(), added_at: kept.added_at }
}

fn put(house: &House, whose: &PrincipalId, own: &[Kept]) -> Put {
    let key = whose.as_str().as_bytes();
    if own.is_empty() {
        return Put::remove(Drawer::Devices, key);
    }
    let plain = Zeroizing::new(serde_json::to_vec(own).unwrap_or_default());
    Put::set(Drawer::Devices, key, house.keyring.seal(&house.ports, &place(whose), &plain))
}

/// What somebody's devices are bound to.
pub(crate) fn place(principal: &PrincipalId) -> String {
    format!("devices:{principal}")
}

/// The gateway's key, made if there is none.
fn key(house: &House) -> Option<PushKey> {
    if let Some(sealed) = house.store.get(Drawer::Meta, PUSH_KEY).ok()? {
        let plain = Zeroizing::new(house.keyring.open("push-key", &sealed).ok()?);
        return of_scalar(<[u8; 32]>::try_from(plain.as_slice()).ok()?);
    }
    // Not every number is a key, but nearly every one is.
    let made = (0..8).find_map(|_| of_scalar(house.ports.random()))?;
    let sealed = house.keyring.seal(&house.ports, "push-key", made.private.as_ref());
    house.store.put(&[Put::new(Drawer::Meta, PUSH_KEY, sealed)]).ok()?;
    Some(made)
}

fn of_scalar(private: [u8; 32]) -> Option<PushKey> {
    let pair = PrivateKey::from_private_key(&ECDH_P256, &private).ok()?;
    let public = pair.compute_public_key().ok()?.as_ref().to_vec();
    Some(PushKey { private: Zeroizing::new(private), public })
}
