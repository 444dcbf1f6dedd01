//! Letting in a program that has no sign-in page of its own: the command line.
//!
//! Somebody who signed in at the console, by whatever means they have, says there that a program may be them. Two ways lead
//! there. On the same machine the program listens on it, and the console sends the browser to it with a code that counts
//! with the program's verifier alone (RFC 8252, RFC 7636): nothing that is sent to somebody can make them let in a program
//! elsewhere. For a machine without a browser the program shows a short code, and somebody types it in at the console (RFC
//! 8628). That can be asked of them by a stranger, so they are shown from where and from which machine it is asked, no link
//! carries the code, and an operator may switch it off.
//!
//! Whoever was let in so lets in nobody else, ends no later than the sign-in that let it in would at the latest, and ends
//! with it when that is taken away. What waits is kept in memory, for minutes: a restart has people begin anew.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::action::hash;
use countersign_core::{At, PrincipalId, SignInId, Span};
use countersign_policy::context::Via;
use zeroize::Zeroizing;

use super::origin::{Came, LetIn};
use super::places::network;
use super::sign_in::{SignInRefused, SignedIn};
use super::{Caller, SignInClient};
use crate::engine::Engine;
use crate::line::Topic;
use crate::ports::Ports;
use crate::words::{Refused, RefusedCode};
use crate::writer::work::Note;

/// How long a machine without a browser waits for somebody's word.
const DEVICE_FOR: Span = Span::minutes(10);

/// How long a code counts that a browser carries to a program on its own machine.
pub(super) const CODE_FOR: Span = Span::minutes(1);

/// How often a program may ask whether it was let in, at first.
const EVERY: Span = Span::seconds(5);

/// How many wait at a time; beyond, the oldest has to begin anew.
const WAITING_MAX: usize = 10_000;

/// How many wait at a time that were begun from one network, and how many codes one sign-in may have given.
const WAITING_EACH_MAX: usize = 16;

/// The letters of codes that people type: no vowels, so that they are no words, and nothing that looks alike (RFC 8628,
/// section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// How many letters: some 34 bits, of which somebody may try a handful.
const LETTERS_EACH: usize = 8;

/// The longest name of a machine.
const MACHINE_BYTES_MAX: usize = 64;

/// What waits for somebody's word, and codes that were given.
#[derive(Default)]
pub(super) struct Programs {
    devices: Mutex<BTreeMap<[u8; 32], Device>>,
    codes: Mutex<BTreeMap<[u8; 32], Code>>,
    /// One code at a time, so that of two who come at once with one the second is noticed.
    redeeming: tokio::sync::Mutex<()>,
}

/// A program on a machine without a browser.
struct Device {
    user_code: String,
    machine: String,
    client: SignInClient,
    begun_at: At,
    answer: Answer,
    polled_at: Option<At>,
    every: Span,
}

enum Answer {
    None,
    Yes { by: SignInId },
    No,
}

/// A code that a browser carries.
struct Code {
    by: SignInId,
    challenge: [u8; 32],
    expires_at: At,
    /// The sign-in that came of it: whoever comes with it again is a thief, or was preceded by one.
    spent: Option<(PrincipalId, SignInId)>,
}

/// What a program without a browser is told.
#[derive(Debug)]
pub struct DeviceBegun {
    /// What it asks with. It is shown to nobody.
    pub device_code: Zeroizing<String>,
    /// What somebody types in at the console.
    pub user_code: String,
    /// Until when.
    pub expires_at: At,
    /// How often it may ask whether it was let in.
    pub every: Span,
}

/// What somebody is shown of a program that asks to be them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAsked {
    /// What it says that its machine is called.
    pub machine: String,
    /// What the program calls itself.
    pub program: Option<String>,
    /// From where it asks.
    pub address: Option<IpAddr>,
    /// Whether that is another network than the one of whoever is asked.
    pub is_elsewhere: bool,
    /// Since when.
    pub begun_at: At,
    /// Until when.
    pub expires_at: At,
}

/// What becomes of a program that waits.
#[derive(Debug)]
pub enum DeviceStep {
    /// Nobody has said anything; it may ask again after this long.
    Waits(Span),
    /// It is signed in.
    Done(SignedIn),
}

/// A code for a browser to carry to a program on its own machine.
#[derive(Debug)]
pub struct ProgramCode {
    /// The code.
    pub code: Zeroizing<String>,
    /// Until when.
    pub expires_at: At,
}

impl Device {
    fn expires_at(&self) -> At {
        self.begun_at.plus(DEVICE_FOR)
    }

    fn network(&self) -> Option<String> {
        self.client.source.map(network)
    }
}

impl Programs {
    fn begin(&self, ports: &Ports, key: [u8; 32], machine: &str, client: SignInClient) -> String {
        let now = ports.clock.now();
        let mut devices = lock(&self.devices);
        devices.retain(|_, one| now < one.expires_at());
        let from = client.source.map(network);
        let oldest = |of: &dyn Fn(&Device) -> bool| {
            devices.iter().filter(|(_, one)| of(one)).min_by_key(|(_, one)| one.begun_at).map(|(key, _)| *key)
        };
        let is_theirs = |one: &Device| one.network() == from;
        let surplus = if devices.values().filter(|one| is_theirs(one)).count() >= WAITING_EACH_MAX {
            oldest(&is_theirs)
        } else if devices.len() >= WAITING_MAX {
            oldest(&|_| true)
        } else {
            None
        };
        surplus.map(|key| devices.remove(&key));
        let user_code = loop {
            let code = user_code(ports);
            if devices.values().all(|one| one.user_code != code) {
                break code;
            }
        };
        let device = Device {
            user_code: user_code.clone(),
            machine: machine.to_owned(),
            client,
            begun_at: now,
            answer: Answer::None,
            polled_at: None,
            every: EVERY,
        };
        devices.insert(key, device);
        user_code
    }

    /// Does something with the device that shows this code and has no answer yet.
    fn asked<T>(&self, user_code: &str, now: At, then: impl FnOnce(&mut Device) -> T) -> Option<T> {
        let mut devices = lock(&self.devices);
        let waits = |one: &&mut Device| {
            one.user_code == user_code && now < one.expires_at() && matches!(one.answer, Answer::None)
        };
        devices.values_mut().find(waits).map(then)
    }

    /// What became of a device. An answer is given once.
    fn polled(&self, key: &[u8; 32], now: At) -> Option<(Answer, Span)> {
        let mut devices = lock(&self.devices);
        let device = devices.get_mut(key)?;
        if now >= device.expires_at() {
            devices.remove(key);
            return None;
        }
        if !matches!(device.answer, Answer::None) {
            return devices.remove(key).map(|device| (device.answer, EVERY));
        }
        // Who asks too often may ask less often from then on (RFC 8628, section 3.5).
        let is_early = device.polled_at.is_some_and(|last| now.since(last) < device.every);
        if is_early {
            device.every = Span(device.every.0.saturating_add(EVERY.0)).min(DEVICE_FOR);
        }
        device.polled_at = Some(now);
        Some((Answer::None, device.every))
    }

    fn give(&self, key: [u8; 32], code: Code, now: At) {
        let mut codes = lock(&self.codes);
        // One that was spent is remembered as long as it would have counted.
        codes.retain(|_, one| now < one.expires_at);
        let own = || codes.iter().filter(|(_, one)| one.by == code.by);
        let oldest = if own().count() >= WAITING_EACH_MAX {
            own().min_by_key(|(_, one)| one.expires_at).map(|(key, _)| *key)
        } else if codes.len() >= WAITING_MAX {
            codes.iter().min_by_key(|(_, one)| one.expires_at).map(|(key, _)| *key)
        } else {
            None
        };
        oldest.map(|key| codes.remove(&key));
        codes.insert(key, code);
    }
}

impl Engine {
    /// Has a program on a machine without a browser wait for somebody's word.
    ///
    /// # Errors
    /// It is switched off here, or the machine's name is none.
    pub fn begin_device(&self, machine: &str, client: SignInClient) -> Result<DeviceBegun, Refused> {
        if !self.0.house.settings.device_codes {
            let message = "this gateway lets nobody sign in with a code that is typed in elsewhere";
            return Err(Refused::new(RefusedCode::NotPermitted, message)
                .hint("sign in where there is a browser, or with `countersign login --user NAME`"));
        }
        let machine = a_machine(machine)?;
        let ports = &self.0.house.ports;
        let device_code = secret(ports);
        let user_code = self.0.people.programs.begin(ports, device_key(&device_code), machine, client);
        Ok(DeviceBegun { device_code, user_code, expires_at: self.now().plus(DEVICE_FOR), every: EVERY })
    }

    /// What the caller is shown of the program that shows this code.
    ///
    /// # Errors
    /// No program that waits shows it, the caller may let in none, or has typed in too many that were wrong.
    pub async fn device_asked(&self, caller: &Caller, user_code: &str) -> Result<DeviceAsked, Refused> {
        let here = caller.source.map(network);
        let show = |one: &mut Device| DeviceAsked {
            machine: one.machine.clone(),
            program: one.client.user_agent.clone(),
            address: one.client.source,
            is_elsewhere: one.network() != here,
            begun_at: one.begun_at,
            expires_at: one.expires_at(),
        };
        self.found_device(caller, user_code, show).await
    }

    /// The caller says whether the program that shows this code may be them. It is said once.
    ///
    /// # Errors
    /// As [`Engine::device_asked`]; or it could not be recorded.
    pub async fn answer_device(&self, caller: &Caller, user_code: &str, yes: bool) -> Result<(), Refused> {
        let client = self.found_device(caller, user_code, |one| one.client.clone()).await?;
        // A yes is recorded before it counts; the sign-in that comes of it when the program comes for it.
        let note = if yes {
            self.word_note("token.issued", caller, &client)
        } else {
            self.word_note("token.rejected", caller, &client).failed()
        };
        self.note(note).await?;
        let by = caller.sign_in;
        let answer = |one: &mut Device| one.answer = if yes { Answer::Yes { by } } else { Answer::No };
        self.found_device(caller, user_code, answer).await
    }

    /// A line about what somebody answers to a program that asks to be them.
    pub(super) fn word_note(&self, kind: &'static str, caller: &Caller, client: &SignInClient) -> Note {
        let mut note = self.sign_in_note(kind, caller.principal.as_str(), client);
        if let Topic::SignIn(line) = &mut note.line.data {
            line.let_in_by = Some(caller.sign_in);
        }
        note.line.actor = Some(caller.principal.clone());
        note.line.person = self.snapshot().book.person(&caller.principal).cloned();
        note
    }

    async fn found_device<T>(
        &self,
        caller: &Caller,
        user_code: &str,
        then: impl FnOnce(&mut Device) -> T + Send,
    ) -> Result<T, Refused> {
        self.may_let_in(caller)?;
        let (people, settings, now) = (&self.0.people, &self.0.house.settings, self.now());
        let pair = format!("program:{}", caller.principal);
        let client = SignInClient { source: caller.source, via: caller.via, user_agent: None };
        if let Some(until) = people.lockouts.locked(&pair, client.source, now, settings) {
            return Err(locked(until));
        }
        let typed = typed(user_code);
        if let Some(found) = people.programs.asked(&typed, now, then) {
            people.lockouts.right(&pair, client.source);
            return Ok(found);
        }
        match self.wrong(&pair, caller.principal.as_str(), SignInRefused::Over, &client).await {
            SignInRefused::Locked { until } => Err(locked(until)),
            _ => Err(Refused::new(RefusedCode::NotFound, "no program waits that shows this code")
                .hint("look at it again; after some minutes, or once it was answered, it counts no more")),
        }
    }

    /// Signs a program in if somebody has let it in. It asks again and again.
    ///
    /// # Errors
    /// [`SignInRefused`]: it took too long, somebody said no, or whoever said yes may do so no more.
    pub async fn redeem_device(
        &self,
        device_code: &str,
        client: SignInClient,
    ) -> Result<DeviceStep, SignInRefused> {
        let polled = self.0.people.programs.polled(&device_key(device_code), self.now());
        match polled.ok_or(SignInRefused::Over)? {
            (Answer::None, every) => Ok(DeviceStep::Waits(every)),
            (Answer::No, _) => Err(SignInRefused::Declined),
            (Answer::Yes { by }, _) => {
                self.let_in(by, &client).await.map(|(signed_in, _)| DeviceStep::Done(signed_in))
            }
        }
    }

    /// Lets in a program on the caller's own machine: gives a code for the browser to carry to it. `challenge` is what the
    /// program made of its verifier (RFC 7636, S256).
    ///
    /// # Errors
    /// The caller may let in none, the challenge is none, or it could not be recorded.
    pub async fn allow_program(&self, caller: &Caller, challenge: &str) -> Result<ProgramCode, Refused> {
        self.may_let_in(caller)?;
        let challenge = URL_SAFE_NO_PAD.decode(challenge).ok().and_then(|bytes| bytes.try_into().ok());
        let challenge: [u8; 32] = challenge.ok_or_else(|| {
            Refused::new(RefusedCode::Invalid, "the program's challenge is none")
                .hint("run `countersign login` again, and follow the link that it shows")
        })?;
        let client = SignInClient { source: caller.source, via: caller.via, user_agent: None };
        self.note(self.word_note("token.issued", caller, &client)).await?;
        let (code, now) = (secret(&self.0.house.ports), self.now());
        let expires_at = now.plus(CODE_FOR);
        let kept = Code { by: caller.sign_in, challenge, expires_at, spent: None };
        self.0.people.programs.give(code_key(&code), kept, now);
        Ok(ProgramCode { code, expires_at })
    }

    /// Signs a program in that was brought a code and has the verifier that belongs to it. A code counts once, whatever
    /// comes of it; whoever comes with it again ends what came of it (RFC 6749, section 4.1.2).
    ///
    /// # Errors
    /// [`SignInRefused`].
    pub async fn redeem_program(
        &self,
        code: &str,
        verifier: &str,
        client: SignInClient,
    ) -> Result<SignedIn, SignInRefused> {
        let _one_after_the_other = self.0.people.programs.redeeming.lock().await;
        let (key, now) = (code_key(code), self.now());
        let taken = lock(&self.0.people.programs.codes).remove(&key).filter(|one| now < one.expires_at);
        let Some(mut kept) = taken else {
            return Err(SignInRefused::Over);
        };
        if let Some((principal, sign_in)) = kept.spent {
            self.end_stolen("a code of a program", (&principal, sign_in), &client).await;
            return Err(SignInRefused::Over);
        }
        let made = digest(&SHA256, verifier.as_bytes());
        if !is_verifier(verifier) || verify_slices_are_equal(made.as_ref(), &kept.challenge).is_err() {
            self.failed("auth.failed", "", &client).await;
            return Err(SignInRefused::Over);
        }
        let (signed_in, id) = self.let_in(kept.by, &client).await?;
        kept.spent = Some((signed_in.principal.clone(), id));
        self.0.people.programs.give(key, kept, now);
        Ok(signed_in)
    }

    /// Signs a program in as whoever let it in, by what they proved then.
    async fn let_in(
        &self,
        by: SignInId,
        client: &SignInClient,
    ) -> Result<(SignedIn, SignInId), SignInRefused> {
        let settings = &self.0.house.settings;
        let found = self.0.people.tokens.named(by, self.now(), settings);
        // Whoever said yes has signed out meanwhile, or somebody ended it.
        let Some((_, parent)) = found else { return Err(SignInRefused::Over) };
        if !parent.is_somebodys(&self.snapshot().book) {
            self.failed("auth.failed", parent.principal.as_str(), client).await;
            return Err(SignInRefused::Disabled);
        }
        let came = Came {
            means: parent.means,
            proved_at: parent.proved_at(),
            federation: parent.from.federation.clone(),
            let_in: Some(LetIn { by, until: parent.signed_in_at.plus(settings.sign_in_for) }),
            job: None,
            key: None,
            audience: None,
        };
        self.admit_known(parent.principal, came, client, Vec::new()).await
    }

    /// Ends the sign-in that came of what somebody came with twice.
    pub(super) async fn end_stolen(
        &self,
        what: &'static str,
        (principal, sign_in): (&PrincipalId, SignInId),
        client: &SignInClient,
    ) {
        tracing::warn!(%principal, "{what} came a second time; the sign-in that came of it ends");
        if let Some((key, kept)) = self.0.people.tokens.named(sign_in, self.now(), &self.0.house.settings)
            && self.end_of_sign_in(&key, &kept, client).await.is_err()
        {
            tracing::warn!("the end of a sign-in could not be recorded");
        }
    }

    /// Whether the caller may let in a program: a person who signed in at the console and was not let in so themselves.
    pub(super) fn may_let_in(&self, caller: &Caller) -> Result<(), Refused> {
        let found = self.0.people.tokens.named(caller.sign_in, self.now(), &self.0.house.settings);
        // Whoever carries a program's token in a browser's cookie is a program.
        let is_at_the_console = caller.via == Via::Console
            && found
                .is_some_and(|(_, kept)| kept.from.via() == Via::Console && kept.from.let_in_by.is_none());
        if is_at_the_console && self.user(caller.principal.as_str()).is_some() {
            return Ok(());
        }
        let message = "a program is let in at the console, by a person who signed in there";
        Err(Refused::new(RefusedCode::NotPermitted, message))
    }
}

fn locked(until: At) -> Refused {
    let message = format!("too many wrong codes; wait until {}", until.rfc3339());
    Refused::new(RefusedCode::NotPermitted, message)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn secret(ports: &Ports) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(ports.random::<32>()).as_ref()))
}

/// `BCDF-GHJK`.
fn user_code(ports: &Ports) -> String {
    let mut letters = String::new();
    while letters.len() < LETTERS_EACH {
        let [byte] = ports.random::<1>();
        // Beyond the last whole multiple some letters would be likelier than others.
        let is_fair = usize::from(byte) < usize::from(u8::MAX) / LETTERS.len() * LETTERS.len();
        if is_fair && let Some(letter) = LETTERS.get(usize::from(byte) % LETTERS.len()) {
            letters.push(char::from(*letter));
        }
    }
    let (one, other) = letters.split_at(LETTERS_EACH / 2);
    format!("{one}-{other}")
}

/// A code as it is kept, however it was typed in.
fn typed(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric).take(LETTERS_EACH + 1);
    let letters: String = letters.map(|letter| letter.to_ascii_uppercase()).collect();
    match letters.split_at_checked(LETTERS_EACH / 2) {
        Some((one, other)) => format!("{one}-{other}"),
        None => letters,
    }
}

/// The name of a machine, which is shown to whoever is asked: nothing in it may pass for something else.
fn a_machine(name: &str) -> Result<&str, Refused> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > MACHINE_BYTES_MAX || !name.bytes().all(is_plain) {
        let message = "the machine's name has to be letters, digits, `-`, `_` and `.`, at most 64";
        return Err(Refused::new(RefusedCode::Invalid, message));
    }
    Ok(name)
}

/// RFC 7636, section 4.1.
pub(super) fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn device_key(code: &str) -> [u8; 32] {
    hash(&[b"countersign/device-code/v1\n", code.as_bytes()]).0
}

fn code_key(code: &str) -> [u8; 32] {
    hash(&[b"countersign/program-code/v1\n", code.as_bytes()]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_however_it_is_typed() {
        for text in ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "b-c-d-f-g-h-j-k"] {
            assert_eq!(typed(text), "BCDF-GHJK", "{text}");
        }
        for text in ["", "BCD", "BCDF-GHJ", "BCDF-GHJKL", "ÄÄÄÄÄÄÄÄ"] {
            assert_ne!(typed(text), "BCDF-GHJK", "{text}");
        }
    }

    #[test]
    fn a_machine_is_called_what_machines_are_called() {
        assert!(a_machine("build-7.example.com").is_ok());
        for bad in ["", "a b", "laptop\u{202e}gpj", "<b>", "lap\ntop", &"a".repeat(65)] {
            assert!(a_machine(bad).is_err(), "{bad}");
        }
    }
}
