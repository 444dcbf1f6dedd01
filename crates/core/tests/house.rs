//! A house to give orders to: `house().when(command).then([events])`.

use std::sync::Arc;

use countersign_core::envelope::{Claim, Terms};
use countersign_core::request::{
    self, Ask, Bounds, Fate, HoldsUp, Outcome, Request, RowBound, State, Transaction, Voidance, Withdrawal,
};
use countersign_core::script::Step;
use countersign_core::session::{self, Ending, Opening};
use countersign_core::{
    ActionName, At, Book, BundleHash, Command, Digest, Event, Facts, GrantId, Refusal, RequestId, ResourceId,
    RoleId, SessionId, Span, bundle, decide, directory, grant, principal,
};

use imbl::{OrdMap, Vector};

use crate::world::{World, bundle as bundle_hash, person, who};

/// A book, a clock, the policy, and everything that has happened.
#[derive(Clone, Debug)]
pub struct House {
    pub book: Book,
    pub now: At,
    pub ledger: Vector<(At, Event)>,
    worlds: OrdMap<BundleHash, Arc<World>>,
    last: Result<Vec<Event>, Refusal>,
}

/// The house on an ordinary day: its first bundle is in force.
pub fn house() -> House {
    let house = House {
        book: Book::default(),
        now: At(0),
        ledger: Vector::new(),
        worlds: OrdMap::new(),
        last: Ok(vec![]),
    };
    house.knows(&World::base()).when(activate(1, "dave", None)).happens()
}

/// The house with `alice` in session 1 on `shop`, by grant 1 as `writer` for an hour.
pub fn house_with_session() -> House {
    house()
        .when(ask(1, "alice", access("writer", 60)))
        .happens()
        .when(approve(1, "bob"))
        .happens()
        .when(open(1, "alice", "writer", "shop"))
        .happens()
}

impl House {
    /// Lets a bundle be activated later on.
    pub fn knows(mut self, world: &World) -> Self {
        self.worlds.insert(world.bundle, Arc::new(world.clone()));
        self
    }

    pub fn after(mut self, minutes: i64) -> Self {
        self.now = self.now.plus(Span::minutes(minutes));
        self
    }

    #[track_caller]
    pub fn when(self, command: Command) -> Self {
        let facts = self.facts(&command);
        self.when_given(command, facts)
    }

    /// Like `when`, with facts that are not those of the policy in force.
    pub fn when_given(mut self, command: Command, facts: Facts) -> Self {
        let command = self.completed(command);
        self.last = decide(&self.book, command, &facts);
        for event in self.last.iter().flatten() {
            self.book.apply(event, self.now);
            self.ledger.push_back((self.now, event.clone()));
        }
        self
    }

    #[track_caller]
    pub fn then<const N: usize>(self, events: [Event; N]) -> Self {
        assert_eq!(self.last, Ok(events.to_vec()));
        self
    }

    #[track_caller]
    pub fn refused(self, refusal: Refusal) -> Self {
        assert_eq!(self.last, Err(refusal));
        self
    }

    /// The last command was accepted; what followed is another test's business.
    #[track_caller]
    pub fn happens(self) -> Self {
        assert!(self.last.is_ok(), "{:?}", self.last);
        self
    }

    /// The last command was refused in words that contain `part`.
    #[track_caller]
    pub fn refused_with(self, part: &str) -> Self {
        let words = self.last.as_ref().expect_err("it was accepted").to_string();
        assert!(words.contains(part), "`{words}` does not contain `{part}`");
        self
    }

    #[track_caller]
    pub fn holds(self, check: impl FnOnce(&Book, At) -> bool) -> Self {
        assert!(check(&self.book, self.now), "{:#?}", self.book);
        self
    }

    pub fn request(&self, id: u128) -> &Request {
        self.book.request(RequestId(id)).expect("there is such a request")
    }

    #[track_caller]
    pub fn state(self, id: u128, state: &str) -> Self {
        assert_eq!(self.request(id).state.as_str(), state);
        self
    }

    pub fn last(&self) -> &Result<Vec<Event>, Refusal> {
        &self.last
    }

    pub fn world(&self) -> Option<&World> {
        self.worlds.get(&self.book.in_force.as_ref()?.bundle).map(AsRef::as_ref)
    }

    /// What the engine would look up: the policy in force on the command, and on what a request is about.
    pub fn facts(&self, command: &Command) -> Facts {
        let world = self.world();
        let about = |request: &RequestId| self.book.request(*request).map(|found| action_of(&found.ask));
        let standing = match command {
            Command::Request(
                request::Command::Approve { request, .. } | request::Command::Use { request, .. },
            ) => about(request),
            _ => None,
        };
        let rule = |action: String| world.map(|world| world.ruling(&action));
        Facts { now: self.now, ruling: rule(action_of_command(command)), standing: standing.and_then(rule) }
    }

    /// Activation carries the catalogue, which the world has.
    fn completed(&self, command: Command) -> Command {
        match command {
            Command::Bundle(bundle::Command::Activate { bundle, by, request, .. }) => {
                let world = self.worlds.get(&bundle).expect("the house knows this bundle");
                let catalogue = Arc::new(world.catalogue.clone());
                Command::Bundle(bundle::Command::Activate { bundle, catalogue, by, request })
            }
            other => other,
        }
    }
}

/// What the law calls that which is asked for.
pub fn action_of(ask: &Ask) -> String {
    match ask {
        Ask::Access { role, .. } => format!("access.request/{role}"),
        Ask::Act { action, .. } => action.to_string(),
        Ask::Apply { .. } => "policy.apply".to_owned(),
        // As if each of its steps were one.
        Ask::Script { .. } => "sql.delete".to_owned(),
    }
}

fn action_of_command(command: &Command) -> String {
    let name = match command {
        Command::Request(request::Command::Ask { ask, .. }) => return action_of(ask),
        Command::Request(_) => "request.approve",
        Command::Grant(_) => "grant.revoke",
        Command::Session(session::Command::Open(_)) => "session.open",
        Command::Session(session::Command::Pause { .. }) => "session.pause",
        Command::Session(session::Command::Resume { .. }) => "session.resume",
        Command::Session(_) => "session.end",
        Command::Principal(principal::Command::Disable { .. }) => "principal.disable",
        Command::Principal(principal::Command::Enable { .. }) => "principal.enable",
        Command::Directory(directory::Command::Unfound { .. }) => "access.request/writer",
        Command::Bundle(_) => "policy.apply",
        Command::Directory(_) | Command::Sweep | Command::Restart => "none",
    };
    name.to_owned()
}

// Commands. Request `n` has digest `n`, and a grant that comes of it is grant `n`.

pub fn digest(id: u128) -> Digest {
    let mut bytes = [0; 32];
    bytes[16..].copy_from_slice(&id.to_be_bytes());
    Digest(bytes)
}

pub fn access(role: &str, minutes: i64) -> Ask {
    Ask::Access { role: RoleId::new(role), lasting: Span::minutes(minutes) }
}

pub fn act(session: u128, grant: u128, action: &str) -> Ask {
    Ask::Act {
        session: SessionId(session),
        grant: GrantId(grant),
        resource: ResourceId::new("shop"),
        action: ActionName::new(action),
        bounds: Bounds { rows: RowBound::AtMost(12) },
        reach: None,
    }
}

/// A script of so many steps, of which step `n` has digest `100 + n`.
pub fn script(grant: u128, steps: u128) -> Ask {
    let step = |number| Step { digest: digest(100 + number), bounds: Bounds { rows: RowBound::AtMost(12) } };
    Ask::Script {
        grant: GrantId(grant),
        resource: ResourceId::new("shop"),
        steps: (0..steps).map(step).collect(),
    }
}

pub fn apply(number: u8) -> Ask {
    Ask::Apply { bundle: bundle_hash(number) }
}

pub fn ask(id: u128, by: &str, ask: Ask) -> Command {
    Command::Request(request::Command::Ask {
        request: RequestId(id),
        by: who(by),
        ask,
        digest: digest(id),
        content: None,
        grant: GrantId(id),
        holds_up: HoldsUp::Nothing,
    })
}

pub fn approve(id: u128, by: &str) -> Command {
    approve_seeing(id, by, digest(id))
}

pub fn approve_seeing(id: u128, by: &str, digest: Digest) -> Command {
    approve_saying(id, by, digest, Terms::default())
}

pub fn approve_saying(id: u128, by: &str, digest: Digest, terms: Terms) -> Command {
    Command::Request(request::Command::Approve {
        request: RequestId(id),
        by: who(by),
        digest,
        comment: None,
        signature: None,
        terms,
        grant: GrantId(id),
    })
}

pub fn deny(id: u128, by: &str) -> Command {
    Command::Request(request::Command::Deny { request: RequestId(id), by: who(by), comment: None })
}

pub fn withdraw(id: u128, why: Withdrawal) -> Command {
    Command::Request(request::Command::Withdraw { request: RequestId(id), why })
}

pub fn use_receipt(id: u128, session: u128) -> Command {
    use_for(id, session, digest(id))
}

pub fn use_for(id: u128, session: u128, digest: Digest) -> Command {
    use_claiming(id, session, Claim { digest, reach: None, rows: None })
}

pub fn use_claiming(id: u128, session: u128, claim: Claim) -> Command {
    Command::Request(request::Command::Use { request: RequestId(id), session: SessionId(session), claim })
}

pub fn settle(id: u128, outcome: Outcome) -> Command {
    Command::Request(request::Command::Settle { request: RequestId(id), outcome, transaction: None })
}

/// It is done, in a transaction that goes on.
pub fn settle_open(id: u128, rows: u64) -> Command {
    let transaction = Some(Transaction::Open);
    Command::Request(request::Command::Settle { request: RequestId(id), outcome: done(rows), transaction })
}

pub fn conclude(id: u128, session: u128, from: u32, fate: Fate) -> Command {
    let (request, session) = (RequestId(id), SessionId(session));
    Command::Request(request::Command::Conclude { request, session, from, fate })
}

pub fn void(id: u128, why: Voidance) -> Command {
    Command::Request(request::Command::Void { request: RequestId(id), why })
}

pub fn open(session: u128, by: &str, role: &str, resource: &str) -> Command {
    Command::Session(session::Command::Open(opening(session, by, role, resource)))
}

pub fn opening(session: u128, by: &str, role: &str, resource: &str) -> Opening {
    Opening {
        session: SessionId(session),
        principal: who(by),
        resource: ResourceId::new(resource),
        role: RoleId::new(role),
        door: "postgres".into(),
        content: None,
    }
}

pub fn close(session: u128, why: Ending) -> Command {
    Command::Session(session::Command::Close { session: SessionId(session), why })
}

pub fn end(session: u128, by: &str) -> Command {
    Command::Session(session::Command::End { session: SessionId(session), by: who(by) })
}

pub fn pause(session: u128, by: &str) -> Command {
    Command::Session(session::Command::Pause { session: SessionId(session), by: who(by), reason: None })
}

pub fn resume(session: u128, by: &str) -> Command {
    Command::Session(session::Command::Resume { session: SessionId(session), by: who(by), reason: None })
}

pub fn revoke(grant: u128, by: &str) -> Command {
    Command::Grant(grant::Command::Revoke { grant: GrantId(grant), by: who(by), reason: None })
}

pub fn relinquish(grant: u128, by: &str) -> Command {
    Command::Grant(grant::Command::Relinquish { grant: GrantId(grant), by: who(by) })
}

pub fn disable(principal: &str, by: &str) -> Command {
    let command = principal::Command::Disable { principal: who(principal), by: who(by), reason: None };
    Command::Principal(command)
}

pub fn enable(principal: &str, by: &str) -> Command {
    Command::Principal(principal::Command::Enable { principal: who(principal), by: who(by) })
}

/// The catalogue is filled in by the house.
pub fn activate(number: u8, by: &str, request: Option<u128>) -> Command {
    Command::Bundle(bundle::Command::Activate {
        bundle: bundle_hash(number),
        catalogue: Arc::default(),
        by: who(by),
        request: request.map(RequestId),
    })
}

// Events.

pub fn approved(id: u128, by: &str) -> Event {
    Event::Request(request::Event::Approved {
        request: RequestId(id),
        by: who(by),
        person: person(by),
        comment: None,
        signature: None,
        terms: Terms::default(),
    })
}

pub fn quorum(id: u128, uses: u32, valid_until: At) -> Event {
    let request = RequestId(id);
    Event::Request(request::Event::QuorumReached { request, uses, valid_until, envelope: None })
}

pub fn denied(id: u128, by: &str) -> Event {
    Event::Request(request::Event::Denied { request: RequestId(id), by: who(by), comment: None })
}

pub fn lapsed(id: u128) -> Event {
    Event::Request(request::Event::Lapsed { request: RequestId(id) })
}

pub fn escalated(id: u128, step: u32) -> Event {
    Event::Request(request::Event::Escalated { request: RequestId(id), step })
}

pub fn withdrawn(id: u128, why: Withdrawal) -> Event {
    Event::Request(request::Event::Withdrawn { request: RequestId(id), why })
}

pub fn voided(id: u128, why: Voidance) -> Event {
    Event::Request(request::Event::Voided { request: RequestId(id), why })
}

pub fn used(id: u128, session: u128) -> Event {
    Event::Request(request::Event::Used { request: RequestId(id), session: SessionId(session), rows: None })
}

pub fn settled(id: u128, outcome: Outcome) -> Event {
    Event::Request(request::Event::Settled { request: RequestId(id), outcome, transaction: None })
}

pub fn concluded(id: u128, session: u128, from: u32, fate: Fate) -> Event {
    let (request, session) = (RequestId(id), SessionId(session));
    Event::Request(request::Event::Concluded { request, session, from, fate })
}

pub fn issued(id: u128, principal: &str, role: &str, from: At, minutes: i64) -> Event {
    Event::Grant(grant::Event::Issued {
        grant: GrantId(id),
        request: RequestId(id),
        principal: who(principal),
        person: person(principal),
        role: RoleId::new(role),
        not_before: from,
        not_after: from.plus(Span::minutes(minutes)),
    })
}

pub fn expired(grant: u128) -> Event {
    Event::Grant(grant::Event::Expired { grant: GrantId(grant) })
}

pub fn revoked(grant: u128, by: &str) -> Event {
    Event::Grant(grant::Event::Revoked { grant: GrantId(grant), by: who(by), reason: None })
}

pub fn relinquished(grant: u128) -> Event {
    Event::Grant(grant::Event::Relinquished { grant: GrantId(grant) })
}

pub fn closed(session: u128, why: Ending) -> Event {
    Event::Session(session::Event::Closed { session: SessionId(session), why })
}

pub fn locked(session: u128, by: &str) -> Event {
    Event::Session(session::Event::Locked { session: SessionId(session), by: who(by), reason: None })
}

pub fn unlocked(session: u128, by: &str) -> Event {
    Event::Session(session::Event::Unlocked { session: SessionId(session), by: who(by), reason: None })
}

pub fn disabled(principal: &str, by: &str) -> Event {
    Event::Principal(principal::Event::Disabled { principal: who(principal), by: who(by), reason: None })
}

pub fn minutes(n: i64) -> At {
    At(0).plus(Span::minutes(n))
}

/// Whether `principal` holds `role` at `now`.
pub fn holds(book: &Book, principal: &str, role: &str, now: At) -> bool {
    book.live_grant(&who(principal), &RoleId::new(role), now).is_some()
}

/// The receipt of an approved request.
pub fn receipt(request: &Request) -> &request::Receipt {
    match &request.state {
        State::Approved(receipt) => receipt,
        other => panic!("there is no receipt, but {other:?}"),
    }
}

/// Done, with so many rows.
pub fn done(rows: u64) -> Outcome {
    Outcome::Done { rows: Some(rows) }
}
