//! Deciding about bundles.

use std::sync::Arc;

use super::grants::is_unended;
use super::receipts::voided;
use super::requests::is_open;
use super::{Book, Event, Facts};
use crate::bundle::{Command, Event as BundleEvent, InForce};
use crate::catalogue::Catalogue;
use crate::grant;
use crate::ids::{BundleHash, PersonId, PrincipalId, RequestId};
use crate::refusal::Refusal;
use crate::request::{Ask, State, Voidance};
use crate::time::At;

pub(super) fn decide(book: &Book, command: Command, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    let Command::Activate { bundle, catalogue, by, request } = command;
    match &book.in_force {
        None => first(request)?,
        Some(in_force) if in_force.bundle == bundle => return Err(Refusal::AlreadyInForce),
        Some(_) => {
            book.deciding_user(&by)?;
            match request {
                None => book.permitted(facts)?,
                Some(request) => lifted(book, request, (bundle, &by), facts)?,
            }
        }
    }
    let previous = book.in_force.as_ref();
    let mut events = vec![Event::Bundle(BundleEvent::Activated {
        bundle,
        previous: previous.map(|had| had.bundle),
        version: previous.map_or(1, |had| had.version.saturating_add(1)),
        catalogue: Arc::clone(&catalogue),
        by: by.clone(),
        request,
    })];
    events.extend(gone(book, &book.foreseen(&catalogue), &by, facts.now, request));
    Ok(events)
}

/// The first bundle is a one-time act that no request can have allowed.
fn first(request: Option<RequestId>) -> Result<(), Refusal> {
    request.map_or(Ok(()), |request| Err(Refusal::NoSuchRequest(request)))
}

/// An approved, unspent request of this principal for this very bundle, under gates that still suffice.
fn lifted(
    book: &Book,
    id: RequestId,
    (bundle, by): (BundleHash, &PrincipalId),
    facts: &Facts,
) -> Result<(), Refusal> {
    let request = book.request(id).ok_or(Refusal::NoSuchRequest(id))?;
    let State::Approved(receipt) = &request.state else {
        return Err(Refusal::NoReceipt(id, request.state.as_str()));
    };
    if request.ask != (Ask::Apply { bundle }) || request.by != *by {
        return Err(Refusal::OtherAction);
    }
    if receipt.used >= receipt.uses || receipt.valid_until <= facts.now {
        return Err(Refusal::ReceiptSpent(id));
    }
    let same_person = book.person(by) == Some(&request.person);
    let covered = book.current(facts.ruling.as_ref())?.is_covered_by(&request.gates);
    if !same_person || !covered || !book.tally(request, facts.now).is_complete() {
        return Err(Refusal::Denied(
            "who may say yes, or when it is needed, has changed since this was approved; ask again".into(),
        ));
    }
    Ok(())
}

/// The ends of what belongs to principals that the new bundle does not have, or gives to somebody else: a
/// name that comes back later, perhaps for another human, finds nothing of what it had. The request `used` for
/// this activation has its end in that.
fn gone(
    book: &Book,
    catalogue: &Catalogue,
    by: &PrincipalId,
    now: At,
    used: Option<RequestId>,
) -> Vec<Event> {
    let is_gone = |principal: &PrincipalId, person: &PersonId| {
        let chain = catalogue.chain(principal);
        let known = chain.iter().all(|link| catalogue.principals.contains_key(link));
        let directory =
            |of: &Catalogue| of.principals.get(principal).and_then(|found| found.directory.clone());
        // A name that another directory gives, or none any more, may be another human's.
        let moves = directory(&book.catalogue).is_some_and(|had| directory(catalogue) != Some(had));
        !known || moves || catalogue.principals.get(principal).is_none_or(|found| found.person != *person)
    };
    let grants = book.grants().filter(|grant| is_unended(grant, now));
    let grants = grants
        .filter(|grant| is_gone(&grant.principal, &grant.person))
        .map(|grant| Event::Grant(grant::Event::Revoked { grant: grant.id, by: by.clone(), reason: None }));
    let requests = book.requests().filter(|request| is_open(request) && Some(request.id) != used);
    let requests = requests
        .filter(|request| is_gone(&request.by, &request.person))
        .map(|request| voided(request.id, Voidance::PrincipalDisabled));
    grants.chain(requests).collect()
}

impl Book {
    pub(super) fn apply_bundle(&mut self, event: &BundleEvent, _at: At) {
        let BundleEvent::Activated { bundle, version, catalogue, request, .. } = event;
        self.in_force = Some(InForce { bundle: *bundle, version: *version });
        self.state(catalogue);
        if let Some(request) = request {
            self.change_receipt(*request, |receipt| receipt.used = receipt.uses);
        }
    }
}
