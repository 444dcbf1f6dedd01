//! One line after the other: who bound which key, who asked for what, and whether what was signed is a yes to that.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_core::action::{APPROVE, DENY, challenge, digest};
use countersign_core::request::{Event as RequestEvent, Request, Signature};
use countersign_core::{At, Digest, Event, PersonId, PrincipalId, RequestId};
use countersign_ledger::content::Record;
use countersign_ledger::verify::FindingKind;

use super::Tally;
use super::assertion::{AssertionBytes, AssertionContent};
use crate::line::{Header, Line, read, read_event};
use crate::request::RequestContent;
use crate::webauthn::{Assertion, Bad, RelyingParty, asserted};

/// How many requests and keys are followed at a time: more than any house has, so that a hostile export stays small in
/// memory.
const FOLLOWED_MAX: usize = 200_000;

/// What is followed from the first line of a log to the last.
#[derive(Debug, Default)]
pub struct Checker {
    /// What came of it.
    pub tally: Tally,
    keys: BTreeMap<String, BoundKey>,
    requests: BTreeMap<RequestId, Request>,
    /// Who signed a yes to what waits.
    persons: BTreeMap<RequestId, BTreeSet<PersonId>>,
    /// What was asked to be signed, and for which request: to name where a signature comes from.
    asked: BTreeMap<Digest, RequestId>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What sort of thing.
    pub kind: FindingKind,
    /// What.
    pub what: String,
    /// What it may mean.
    pub hint: &'static str,
}

/// A passkey as the line has it that bound it.
#[derive(Debug)]
struct BoundKey {
    of: PrincipalId,
    key: Vec<u8>,
    rp: String,
    /// The line that took it away.
    gone_at: Option<u64>,
}

const FORGED: &str = "the yes was not said by whoever it names, or was changed afterwards";

impl Checker {
    /// Whether what a line commits to is looked at.
    pub(super) fn wants_contents(line: &[u8]) -> bool {
        let kind = Header::read(line).map(|header| header.kind);
        kind.is_ok_and(|kind| {
            matches!(kind.as_str(), "decision.approved" | "request.created" | "action.held")
        })
    }

    /// Takes the next line, with what is disclosed of it.
    ///
    /// # Errors
    /// What is wrong with a signature, or with its absence.
    pub fn line(&mut self, index: u64, bytes: &[u8], contents: &[Record]) -> Result<(), Fault> {
        // What is no line was found before.
        let Ok(header) = Header::read(bytes) else { return Ok(()) };
        match header.kind.as_str() {
            "authenticator.bound" => read(bytes.to_vec()).map_or(Ok(()), |line| self.bound(&line)),
            "authenticator.revoked" => {
                if let Ok(line) = read(bytes.to_vec()) {
                    self.revoked(index, &line);
                }
                Ok(())
            }
            "request.created" | "action.held" => self.asked(bytes, contents),
            "decision.approved" => self.approved(bytes, contents),
            "decision.quorum_reached" => self.quorum(bytes),
            "decision.denied" | "request.expired" | "request.withdrawn" | "request.voided" => {
                let over = read(bytes.to_vec()).ok().and_then(|line| line.request);
                over.map(|request| (self.requests.remove(&request), self.persons.remove(&request)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn bound(&mut self, line: &Line) -> Result<(), Fault> {
        let said = |name: &str| line.data.get(name).and_then(serde_json::Value::as_str);
        // Other means have no key, nor have passkeys whose line is older than signed approvals.
        let Some((id, key)) = said("authenticator").zip(said("key")) else { return Ok(()) };
        let key = URL_SAFE_NO_PAD.decode(key).ok();
        let of = line.subject.as_ref().or(line.actor.as_ref());
        let (Some(key), Some(of), Some(rp)) = (key, of, said("rp")) else {
            return Err(Fault::new(
                format!("the passkey `{id}` is bound without an owner, a site or a readable key"),
                "the line was not written by the gateway",
            ));
        };
        if self.keys.contains_key(id) {
            return Err(Fault::new(
                format!("the passkey `{id}` is bound twice"),
                "another key was put in its place",
            ));
        }
        if self.keys.len() >= FOLLOWED_MAX {
            return Err(too_many("passkeys"));
        }
        let bound = BoundKey { of: of.clone(), key, rp: rp.to_owned(), gone_at: None };
        self.keys.insert(id.to_owned(), bound);
        Ok(())
    }

    /// Taken away by its owner: that one. By somebody else: all that the account had.
    fn revoked(&mut self, index: u64, line: &Line) {
        let id = line.data.get("authenticator").and_then(serde_json::Value::as_str);
        for (name, key) in &mut self.keys {
            let is_gone = match &line.subject {
                Some(subject) => key.of == *subject,
                None => id == Some(name.as_str()),
            };
            if is_gone && key.gone_at.is_none() {
                key.gone_at = Some(index);
            }
        }
    }

    fn asked(&mut self, bytes: &[u8], contents: &[Record]) -> Result<(), Fault> {
        let (Event::Request(event), at) = event_of(bytes)? else { return Ok(()) };
        let Some(request) = Request::asked(&event, at) else { return Ok(()) };
        if request.gates.is_empty() {
            return Ok(());
        }
        if self.requests.len() >= FOLLOWED_MAX {
            return Err(too_many("requests"));
        }
        let (id, stated, is_signed) = (request.id, request.digest, request.is_signed());
        self.requests.insert(id, request);
        let content = contents.iter().find(|record| record.field == "/data/content");
        let content = content.and_then(|record| serde_json::from_slice::<RequestContent>(&record.bytes).ok());
        let Some(content) = content.filter(|_| is_signed) else { return Ok(()) };
        let shown = content.salt().map(|salt| digest(&salt, content.action.as_bytes()));
        if shown == Some(stated) {
            return Ok(());
        }
        Err(Fault::new(
            format!("what was put forward with `{id}` does not have the digest that is signed"),
            "the approver was shown something else than what was approved",
        ))
    }

    fn approved(&mut self, bytes: &[u8], contents: &[Record]) -> Result<(), Fault> {
        let (event, _) = event_of(bytes)?;
        let Event::Request(RequestEvent::Approved { request, by, person, signature, terms, .. }) = event
        else {
            return Ok(());
        };
        let Some(found) = self.requests.get(&request).cloned() else { return Ok(()) };
        let Some(signature) = signature else {
            if !found.is_signed() {
                return Ok(());
            }
            let what = format!("the yes of `{by}` to `{request}` is not signed, and its rules want that");
            return Err(Fault::new(what, FORGED));
        };
        let due = found.challenge(&terms);
        if self.asked.len() < FOLLOWED_MAX {
            self.asked.insert(due, request);
        }
        self.persons.entry(request).or_default().insert(person);
        let content = contents.iter().find(|record| record.field == "/data/signature/assertion");
        let Some(content) = content else {
            self.tally.undisclosed += 1;
            // Whose key it was is known all the same.
            return self.key_of(&signature, &by).map(|_| ());
        };
        let wrong =
            |why: String| Fault::new(format!("the signature of `{by}` under `{request}`: {why}"), FORGED);
        let key = self.key_of(&signature, &by)?;
        let content = AssertionContent::read(&content.bytes);
        let content = content.ok_or_else(|| wrong("its assertion can't be read".into()))?;
        self.holds(key, due, &content, &found).map_err(wrong)?;
        self.tally.held += 1;
        Ok(())
    }

    /// A receipt needs as many signed yeses as the rules ask for persons.
    fn quorum(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let (Event::Request(RequestEvent::QuorumReached { request, .. }), _) = event_of(bytes)? else {
            return Ok(());
        };
        let (found, persons) = (self.requests.remove(&request), self.persons.remove(&request));
        let Some(found) = found.filter(Request::is_signed) else { return Ok(()) };
        let stages = found.gates.iter().flat_map(|gate| &gate.terms.stages);
        let needed: u64 = stages.map(|stage| u64::from(stage.need)).sum();
        let signed = persons.map_or(0, |persons| persons.len());
        if u64::try_from(signed).is_ok_and(|signed| signed >= needed) {
            return Ok(());
        }
        let what = format!(
            "`{request}` counts as approved with {signed} signed yes of the {needed} that its rules want"
        );
        Err(Fault::new(what, FORGED))
    }

    /// The key that a signature names, if it is of whoever said yes and still counted then.
    fn key_of(&self, signature: &Signature, by: &PrincipalId) -> Result<&BoundKey, Fault> {
        let id = &signature.credential;
        let Some(key) = self.keys.get(id) else {
            return Err(Fault::new(
                format!("the yes of `{by}` is signed with `{id}`, which no line binds"),
                FORGED,
            ));
        };
        if key.of != *by {
            let what = format!("the yes of `{by}` is signed with a passkey of `{}`", key.of);
            return Err(Fault::new(what, FORGED));
        }
        match key.gone_at {
            None => Ok(key),
            Some(at) => {
                let what = format!("the yes of `{by}` is signed with a passkey that entry {at} took away");
                Err(Fault::new(what, FORGED))
            }
        }
    }

    fn holds(
        &self,
        key: &BoundKey,
        due: Digest,
        said: &AssertionBytes,
        request: &Request,
    ) -> Result<(), String> {
        let origin = claimed(&said.client_data, "origin").unwrap_or_default();
        let site = RelyingParty::at(&origin).filter(|site| site.id == key.rp);
        let site =
            site.ok_or_else(|| format!("it was made at `{origin}`, the passkey is for `{}`", key.rp))?;
        let assertion = Assertion {
            client_data: &said.client_data,
            authenticator_data: &said.authenticator_data,
            signature: &said.signature,
        };
        match asserted(&site, &due.0, &key.key, assertion) {
            Ok(_) => Ok(()),
            Err(Bad::Challenge) => Err(self.signed_instead(&said.client_data, request)),
            Err(bad) => Err(bad.to_string()),
        }
    }

    /// What was signed in place of what should have been, if that can be told.
    fn signed_instead(&self, client_data: &[u8], request: &Request) -> String {
        let signed = claimed(client_data, "challenge").and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let signed = signed.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(Digest);
        let rules: Vec<Digest> = request.gates.iter().map(|gate| gate.rule_hash).collect();
        let plain = request.bounds_canonical(&countersign_core::envelope::Terms::default());
        let of = |verdict: &str| Some(challenge(&request.digest, verdict, &plain, &rules));
        if signed == of(DENY) {
            return "it is of another verdict: a no".into();
        }
        if signed == of(APPROVE) {
            return "it is of other bounds than the yes has".into();
        }
        let others = self
            .requests
            .values()
            .map(|other| (other.challenge(&countersign_core::envelope::Terms::default()), other.id));
        let known = self.asked.iter().map(|(asked, id)| (*asked, *id)).chain(others);
        let other =
            signed.and_then(|signed| known.filter(|(asked, _)| *asked == signed).map(|(_, id)| id).next());
        match other.filter(|id| *id != request.id) {
            Some(id) => format!("it is of another request: `{id}`"),
            None => "it is of another request, another verdict, or other bounds".into(),
        }
    }
}

/// What a browser says, unchecked: to name it.
fn claimed(client_data: &[u8], name: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(client_data).ok()?;
    Some(value.get(name)?.as_str()?.chars().take(200).collect())
}

fn event_of(bytes: &[u8]) -> Result<(Event, At), Fault> {
    read_event(bytes, &|_| None).map_err(|error| Fault {
        kind: FindingKind::Unreadable,
        what: format!("its signature could not be looked at: {error}"),
        hint: "a newer program wrote it; verify with that",
    })
}

fn too_many(what: &str) -> Fault {
    Fault {
        kind: FindingKind::Unreadable,
        what: format!(
            "more than {FOLLOWED_MAX} {what} at a time: signatures from here on are not all looked at"
        ),
        hint: "no gateway has so many",
    }
}
