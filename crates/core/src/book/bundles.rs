//! Deciding about bundles.

use super::{Book, Event, Facts, permitted};
use crate::bundle::{Command, Event as BundleEvent, InForce};
use crate::ids::{BundleHash, RequestId};
use crate::refusal::Refusal;
use crate::request::{Ask, State};
use crate::time::At;

pub(super) fn decide(book: &Book, command: Command, facts: &Facts) -> Result<Vec<Event>, Refusal> {
    let Command::Activate { bundle, catalogue, by, request } = command;
    let activated = |previous: Option<&InForce>| {
        let event = BundleEvent::Activated {
            bundle,
            previous: previous.map(|had| had.bundle),
            version: previous.map_or(1, |had| had.version.saturating_add(1)),
            catalogue,
            by: by.clone(),
            request,
        };
        Ok(vec![Event::Bundle(event)])
    };
    let Some(in_force) = &book.in_force else {
        return activated(None);
    };
    if in_force.bundle == bundle {
        return Err(Refusal::AlreadyInForce);
    }
    book.deciding_user(&by)?;
    match request {
        None => permitted(facts)?,
        Some(request) => lifted(book, request, bundle, facts)?,
    }
    activated(Some(in_force))
}

/// An approved, unspent request for this very bundle, under gates that still suffice.
fn lifted(book: &Book, id: RequestId, bundle: BundleHash, facts: &Facts) -> Result<(), Refusal> {
    let request = book.request(id).ok_or(Refusal::NoSuchRequest(id))?;
    let State::Approved(receipt) = &request.state else {
        return Err(Refusal::NoReceipt(id, request.state.as_str()));
    };
    if request.ask != (Ask::Apply { bundle }) {
        return Err(Refusal::OtherAction);
    }
    if receipt.used >= receipt.uses || receipt.valid_until <= facts.now {
        return Err(Refusal::ReceiptSpent(id));
    }
    let covered = facts.ruling.as_ref().is_some_and(|ruling| ruling.is_covered_by(&request.gates));
    if !covered || !book.tally(request, facts.now).is_complete() {
        return Err(Refusal::Denied("policy has become stricter since this was approved; ask again".into()));
    }
    Ok(())
}

impl Book {
    pub(super) fn apply_bundle(&mut self, event: &BundleEvent, _at: At) {
        let BundleEvent::Activated { bundle, version, catalogue, request, .. } = event;
        self.in_force = Some(InForce { bundle: *bundle, version: *version });
        self.catalogue = catalogue.clone();
        if let Some(request) = request {
            self.change_receipt(*request, |receipt| receipt.used = receipt.uses);
        }
    }
}
