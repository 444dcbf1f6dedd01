//! Answering: yes, with what it covers; no; and giving up.

use countersign_core::envelope::Terms;
use countersign_core::request::{Ask, Command as RequestCommand, Request, Withdrawal};
use countersign_core::{BundleHash, Command, Digest, Event, GrantId, Refusal, RequestId};

use crate::engine::Engine;
use crate::people::{Caller, PasskeyShown};
use crate::words::{Refused, RefusedCode};
use crate::writer::work::{Deed, Done};

/// What is said with a yes.
#[derive(Clone, Debug, Default)]
pub struct Yes {
    /// The digest that was shown; the yes counts only if the request is still that.
    pub digest: Option<Digest>,
    /// In the approver's words.
    pub comment: Option<String>,
    /// What it covers, if less than the rules allow or bounds instead of the text.
    pub terms: Terms,
    /// The approver's passkey over exactly that, where the rules want it; where they do not it is kept as well.
    pub assertion: Option<PasskeyShown>,
}

impl Engine {
    /// Says yes to a request. With a digest, only if the request is still that.
    ///
    /// # Errors
    /// The house said no; or the request is over, because its ground moved.
    pub async fn approve(
        &self,
        caller: &Caller,
        id: RequestId,
        digest: Option<Digest>,
        comment: Option<String>,
    ) -> Result<(), Refused> {
        self.approve_as(caller, id, Yes { digest, comment, ..Yes::default() }).await
    }

    /// As [`Engine::approve`], and says what the yes covers.
    ///
    /// # Errors
    /// As there; or it says more than the rules allow.
    pub async fn approve_as(&self, caller: &Caller, id: RequestId, yes: Yes) -> Result<(), Refused> {
        let Yes { digest, comment, terms, assertion } = yes;
        let snapshot = self.snapshot();
        let found = snapshot.book.request(id).ok_or(Refusal::NoSuchRequest(id))?;
        let (mut fields, comment) = self.said("/data/comment", "comment", comment)?;
        let signed = match &assertion {
            Some(shown) => Some(self.signed(caller, found, (&terms, shown)).await?),
            None => None,
        };
        let command = RequestCommand::Approve {
            request: id,
            by: caller.principal.clone(),
            digest: digest.unwrap_or(found.digest),
            comment,
            signature: signed.as_ref().map(|signed| signed.signature.clone()),
            terms,
            grant: GrantId(self.0.house.ports.entropy.id()),
        };
        let mut deed = Deed::new(Command::Request(command), caller.from());
        deed.key = format!("request:{id}").into();
        if let Some(signed) = &signed {
            fields.push(signed.field.clone());
            deed.puts.push(signed.put.clone());
        }
        deed.fields = fields;
        let (asked_by, proposed) = (found.by.clone(), proposed_by(found));
        let done = self.deed(deed).await?;
        drop(signed);
        if let Some(bundle) = proposed.filter(|_| is_complete(&done)) {
            self.go_live(&asked_by, bundle, id).await;
        }
        match ended_with(&done) {
            None => Ok(()),
            Some(why) => Err(Refused::new(RefusedCode::Conflict, format!("request `{id}` {why}"))
                .hint("it has to be asked for again")),
        }
    }

    /// Says no to a request.
    ///
    /// # Errors
    /// The house said no.
    pub async fn deny(&self, caller: &Caller, id: RequestId, comment: Option<String>) -> Result<(), Refused> {
        let (fields, comment) = self.said("/data/comment", "comment", comment)?;
        let command = RequestCommand::Deny { request: id, by: caller.principal.clone(), comment };
        let mut deed = Deed::new(Command::Request(command), caller.from());
        deed.key = format!("request:{id}").into();
        deed.fields = fields;
        self.deed(deed).await.map(|_| ())
    }

    /// Gives up a request.
    ///
    /// # Errors
    /// It is decided, or none of the caller's.
    pub async fn withdraw_request(&self, caller: &Caller, id: RequestId) -> Result<(), Refused> {
        let snapshot = self.snapshot();
        let target = self.desk(&snapshot).request_target(id).ok_or(Refusal::NoSuchRequest(id))?;
        if !self.may(caller, &snapshot, "request.withdraw", target) {
            // Whoever may not see it does not learn that it is there.
            let found = snapshot.book.request(id).filter(|found| self.sees_request(caller, &snapshot, found));
            found.ok_or(Refusal::NoSuchRequest(id))?;
            return Err(Refused::new(
                RefusedCode::NotPermitted,
                format!("request `{id}` is not yours to withdraw"),
            )
            .hint("whoever may answer it can deny it"));
        }
        let why = Withdrawal::ByRequester;
        let command = RequestCommand::Withdraw { request: id, why };
        self.deed(Deed::new(Command::Request(command), caller.from())).await.map(|_| ())
    }
}

/// The bundle that a request proposes.
fn proposed_by(request: &Request) -> Option<BundleHash> {
    match &request.ask {
        Ask::Apply { bundle } => Some(*bundle),
        Ask::Access { .. } | Ask::Act { .. } | Ask::Script { .. } => None,
    }
}

/// Whether this was the last yes.
fn is_complete(done: &Done) -> bool {
    use countersign_core::request::Event as RequestEvent;
    done.events.iter().any(|event| matches!(event, Event::Request(RequestEvent::QuorumReached { .. })))
}

/// Why an answer came too late to count: what it was for ended with it.
fn ended_with(done: &Done) -> Option<&'static str> {
    use countersign_core::request::{Event as RequestEvent, Voidance};
    done.events.iter().find_map(|event| match event {
        Event::Request(RequestEvent::Voided { why, .. }) => Some(match why {
            Voidance::PolicyStricter => "is void: policy no longer lets it be",
            Voidance::ApproverNotEligible => "is void: somebody who approved it may no longer approve it",
            Voidance::GrantOver => "is void: the grant it stood on is over",
            Voidance::MeaningChanged => "is void: it no longer means the same",
            Voidance::PrincipalDisabled => "is void: whoever asked is disabled",
            Voidance::Stopped => "is void: the script has stopped",
        }),
        Event::Request(RequestEvent::Withdrawn { .. }) => {
            Some("is withdrawn: the session in which it waited is over")
        }
        _ => None,
    })
}
