//! What ought to be, written from the design alone and as plainly as possible: lists, recursion, trying
//! everything. It learns the events and shares no code with the book, so the two can disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::catalogue::{Catalogue, Place, PrincipalKind};
use countersign_core::request::{self, Ask};
use countersign_core::ruling::{Gate, Ruling};
use countersign_core::session::Opening;
use countersign_core::{
    At, BundleHash, Digest, Event, GrantId, PersonId, PrincipalId, RequestId, ResourceId, RoleId, SessionId,
    bundle, grant, principal, session,
};

#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub bundle: Option<BundleHash>,
    pub catalogue: Arc<Catalogue>,
    pub disabled: BTreeSet<PrincipalId>,
    pub requests: BTreeMap<RequestId, Asked>,
    pub grants: BTreeMap<GrantId, Given>,
    pub sessions: BTreeMap<SessionId, Opened>,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub by: PrincipalId,
    pub person: PersonId,
    pub ask: Ask,
    pub digest: Digest,
    pub gates: Arc<[Gate]>,
    pub asked_at: At,
    pub lapses_at: At,
    pub approvals: Vec<(PrincipalId, PersonId)>,
    pub state: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Waits,
    Yes { uses: u32, used: u32, until: At, running: bool },
    Over,
}

#[derive(Clone, Debug)]
pub struct Given {
    pub principal: PrincipalId,
    pub person: PersonId,
    pub role: RoleId,
    pub from: At,
    pub until: At,
    pub ended: bool,
}

#[derive(Clone, Debug)]
pub struct Opened {
    pub opening: Opening,
    pub person: PersonId,
    pub ending: bool,
    pub paused: Option<PrincipalId>,
}

impl Oracle {
    pub fn learn(&mut self, event: &Event, at: At) {
        match event {
            Event::Request(event) => self.learn_request(event, at),
            Event::Grant(grant::Event::Issued {
                grant,
                request,
                principal,
                person,
                role,
                not_before,
                not_after,
            }) => {
                let given = Given {
                    principal: principal.clone(),
                    person: person.clone(),
                    role: role.clone(),
                    from: *not_before,
                    until: *not_after,
                    ended: false,
                };
                assert!(self.grants.insert(*grant, given).is_none(), "{grant} is given twice");
                self.answer(*request, Answer::Over);
            }
            Event::Grant(
                grant::Event::Expired { grant }
                | grant::Event::Revoked { grant, .. }
                | grant::Event::Relinquished { grant },
            ) => {
                let given = self.grants.get_mut(grant).expect("what ends was given");
                assert!(!given.ended, "{grant} ends twice");
                given.ended = true;
            }
            Event::Session(session::Event::Opened { opening, person, .. }) => {
                let opened =
                    Opened { opening: opening.clone(), person: person.clone(), ending: false, paused: None };
                self.sessions.insert(opening.session, opened);
            }
            Event::Session(session::Event::EndOrdered { session, .. }) => {
                self.sessions.get_mut(session).expect("what ends is open").ending = true;
            }
            Event::Session(session::Event::Locked { session, by, .. }) => {
                self.sessions.get_mut(session).expect("what is paused is open").paused = Some(by.clone());
            }
            Event::Session(session::Event::Unlocked { session, .. }) => {
                let found = self.sessions.get_mut(session).expect("what goes on is open");
                assert!(found.paused.take().is_some(), "{session} goes on and was not paused");
            }
            Event::Session(session::Event::Closed { session, .. }) => {
                self.sessions.remove(session).expect("what closes is open");
            }
            Event::Principal(principal::Event::Disabled { principal, .. }) => {
                self.disabled.insert(principal.clone());
            }
            Event::Principal(principal::Event::Enabled { principal, .. }) => {
                self.disabled.remove(principal);
            }
            // The walks know of no directory; what directories do is tried by itself.
            Event::Directory(_) => {}
            Event::Bundle(bundle::Event::Activated { bundle, catalogue, request, .. }) => {
                self.bundle = Some(*bundle);
                self.catalogue = Arc::clone(catalogue);
                if let Some(request) = request {
                    self.answer(*request, Answer::Over);
                }
            }
        }
    }

    fn learn_request(&mut self, event: &request::Event, at: At) {
        use request::Event as E;
        match event {
            E::Asked { request, by, person, ask, digest, gates, lapses_at, .. } => {
                let asked = Asked {
                    by: by.clone(),
                    person: person.clone(),
                    ask: ask.clone(),
                    digest: *digest,
                    gates: gates.as_slice().into(),
                    asked_at: at,
                    lapses_at: *lapses_at,
                    approvals: vec![],
                    state: Answer::Waits,
                };
                assert!(self.requests.insert(*request, asked).is_none(), "{request} is asked twice");
            }
            E::Approved { request, by, person, .. } => {
                let asked = self.requests.get_mut(request).expect("what is approved was asked");
                assert_eq!(asked.state, Answer::Waits);
                asked.approvals.push((by.clone(), person.clone()));
            }
            E::QuorumReached { request, uses, valid_until, .. } => {
                let running = false;
                self.answer(*request, Answer::Yes { uses: *uses, used: 0, until: *valid_until, running });
            }
            E::Used { request, .. } => self.run(*request, true),
            E::Settled { request, .. } => self.run(*request, false),
            E::Denied { request, .. }
            | E::Lapsed { request }
            | E::Withdrawn { request, .. }
            | E::Voided { request, .. } => self.answer(*request, Answer::Over),
            E::Escalated { .. } | E::Concluded { .. } => {}
        }
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        let asked = self.requests.get_mut(&request).expect("what is answered was asked");
        assert_ne!(asked.state, Answer::Over, "{request} is answered after its end");
        asked.state = answer;
    }

    fn run(&mut self, request: RequestId, starts: bool) {
        let asked = self.requests.get_mut(&request).expect("what runs was asked");
        let Answer::Yes { used, running, .. } = &mut asked.state else { panic!("{request} runs unapproved") };
        assert_ne!(*running, starts, "{request} runs twice at once, or ends twice");
        *running = starts;
        *used += u32::from(starts);
    }

    /// Exists, and neither it nor anybody above it is disabled.
    pub fn enabled(&self, principal: &PrincipalId) -> bool {
        let mut name = principal;
        for _ in 0..=self.catalogue.principals.len() {
            let Some(found) = self.catalogue.principals.get(name) else { return false };
            if self.disabled.contains(name) {
                return false;
            }
            match &found.kind {
                PrincipalKind::User => return true,
                PrincipalKind::Service { owner } | PrincipalKind::Agent { owner, .. } => name = owner,
            }
        }
        true
    }

    fn person(&self, principal: &PrincipalId) -> Option<&PersonId> {
        Some(&self.catalogue.principals.get(principal)?.person)
    }

    /// Invariant 2, word for word: a grant that has begun, is not over, was not ended; its principal enabled.
    pub fn holds(&self, principal: &PrincipalId, role: &RoleId, now: At) -> bool {
        self.grants
            .values()
            .any(|given| given.principal == *principal && given.role == *role && self.is_live(given, now))
    }

    fn is_live(&self, given: &Given, now: At) -> bool {
        given.from <= now
            && now < given.until
            && !given.ended
            && self.enabled(&given.principal)
            && self.person(&given.principal) == Some(&given.person)
    }

    /// Whether a session stands: nobody is ending it, its role reaches its resource, it has a live grant.
    pub fn stands(&self, session: &Opened, now: At) -> bool {
        let opening = &session.opening;
        let reaches = self
            .catalogue
            .roles
            .get(&opening.role)
            .is_some_and(|role| role.resources.contains(&opening.resource));
        !session.ending
            && reaches
            && self.catalogue.resources.contains_key(&opening.resource)
            && self.person(&opening.principal) == Some(&session.person)
            && self.holds(&opening.principal, &opening.role, now)
    }

    /// Who may fill a place of this stage of this gate at `now`.
    pub fn may_fill(&self, asked: &Asked, gate: &Gate, stage: usize, now: At) -> BTreeSet<PrincipalId> {
        let mut places: Vec<&Place> = gate.terms.stages[stage].from.iter().collect();
        for step in &gate.terms.escalate {
            if now.0 - asked.asked_at.0 >= step.after.0 {
                places.extend(&step.add);
            }
        }
        let resource = match &asked.ask {
            Ask::Act { resource, .. } | Ask::Script { resource, .. } => Some(resource),
            Ask::Access { .. } | Ask::Apply { .. } => None,
        };
        let named = places.into_iter().flat_map(|place| self.at(place, resource));
        named.filter(|name| self.counts(asked, name)).collect()
    }

    /// Everybody who may fill any place.
    pub fn may_answer(&self, asked: &Asked, now: At) -> BTreeSet<PrincipalId> {
        asked
            .gates
            .iter()
            .flat_map(|gate| {
                (0..gate.terms.stages.len()).flat_map(|stage| self.may_fill(asked, gate, stage, now))
            })
            .collect()
    }

    fn counts(&self, asked: &Asked, name: &PrincipalId) -> bool {
        let Some(found) = self.catalogue.principals.get(name) else { return false };
        let own = found.person == asked.person || Some(&found.person) == self.person(&asked.by);
        found.kind == PrincipalKind::User && self.enabled(name) && !own
    }

    fn at(&self, place: &Place, resource: Option<&ResourceId>) -> Vec<PrincipalId> {
        match place {
            Place::User(name) => vec![name.clone()],
            Place::Group(_) => {
                let everybody = self.catalogue.principals.keys();
                everybody.filter(|name| self.within(name, place, 0)).cloned().collect()
            }
            Place::Owner => {
                let owner = resource.and_then(|id| self.catalogue.resources[id].owner.as_ref());
                owner.map(|owner| self.at(owner, None)).unwrap_or_default()
            }
        }
    }

    fn within(&self, name: &PrincipalId, place: &Place, depth: usize) -> bool {
        let Place::Group(group) = place else { return false };
        let Some(group) = self.catalogue.groups.get(group).filter(|_| depth < 8) else { return false };
        let nested =
            || group.groups.iter().any(|inner| self.within(name, &Place::Group(inner.clone()), depth + 1));
        group.members.contains(name) || nested()
    }

    /// Whether every place is filled by another person, found by trying every way to seat them.
    pub fn is_complete(&self, asked: &Asked, now: At) -> bool {
        self.seated(asked, now) == places(asked)
    }

    /// How many places can be filled at best by those who said yes and may say so at `now`.
    pub fn seated(&self, asked: &Asked, now: At) -> usize {
        let classes = self.classes(asked);
        let fits = classes.iter().map(|class| {
            let fits = |open: &BTreeSet<PrincipalId>| class.iter().any(|name| open.contains(name));
            self.stages(asked, now).iter().map(fits).collect()
        });
        best(&mut needs(asked), &fits.collect::<Vec<Vec<bool>>>())
    }

    /// Whether anybody, saying yes whenever they like, could complete it before it lapses.
    pub fn can_be_satisfied(&self, asked: &Asked) -> bool {
        let stages = self.stages(asked, At(asked.lapses_at.0 - 1));
        let persons: BTreeSet<&PersonId> =
            stages.iter().flatten().filter_map(|name| self.person(name)).collect();
        let fits = persons.into_iter().map(|person| {
            let fits =
                |open: &BTreeSet<PrincipalId>| open.iter().any(|name| self.person(name) == Some(person));
            stages.iter().map(fits).collect()
        });
        best(&mut needs(asked), &fits.collect::<Vec<Vec<bool>>>()) == places(asked)
    }

    fn stages(&self, asked: &Asked, now: At) -> Vec<BTreeSet<PrincipalId>> {
        let of = |gate| (0..stages_of(gate)).map(move |stage| self.may_fill(asked, gate, stage, now));
        asked.gates.iter().flat_map(of).collect()
    }

    /// The accounts that said yes, put together while any two share a person, then or at present.
    fn classes(&self, asked: &Asked) -> Vec<Vec<PrincipalId>> {
        let mut classes: Vec<(BTreeSet<PersonId>, Vec<PrincipalId>)> = vec![];
        for (by, person) in &asked.approvals {
            let persons = [Some(person), self.person(by)].into_iter().flatten().cloned().collect();
            classes.push((persons, vec![by.clone()]));
        }
        loop {
            let pairs = (0..classes.len()).flat_map(|a| (a + 1..classes.len()).map(move |b| (a, b)));
            let same = pairs.into_iter().find(|(a, b)| !classes[*a].0.is_disjoint(&classes[*b].0));
            let Some((a, b)) = same else { break };
            let (persons, accounts) = classes.remove(b);
            classes[a].0.extend(persons);
            classes[a].1.extend(accounts);
        }
        classes.into_iter().map(|(_, accounts)| accounts).collect()
    }
}

/// Contract, section 3: held with no gate beyond those that were lifted, and not denied.
pub fn lifts(asked: &Asked, standing: &Ruling) -> bool {
    let lifted: BTreeSet<_> = asked.gates.iter().map(|gate| (&gate.rule, gate.rule_hash)).collect();
    standing.errors.is_empty()
        && !standing.permits.is_empty()
        && standing.forbids.is_empty()
        && standing.gates.iter().all(|gate| lifted.contains(&(&gate.rule, gate.rule_hash)))
}

/// How many candidates can be seated when each stage has room for so many, by trying everything.
pub fn best(needs: &mut [usize], fits: &[Vec<bool>]) -> usize {
    let Some((first, rest)) = fits.split_first() else { return 0 };
    let mut found = best(needs, rest);
    for stage in 0..needs.len() {
        if first[stage] && needs[stage] > 0 {
            needs[stage] -= 1;
            found = found.max(1 + best(needs, rest));
            needs[stage] += 1;
        }
    }
    found
}

fn needs(asked: &Asked) -> Vec<usize> {
    let of = |gate: &Gate| -> Vec<usize> {
        (0..stages_of(gate)).map(|stage| gate.terms.stages[stage].need as usize).collect()
    };
    asked.gates.iter().flat_map(of).collect()
}

fn places(asked: &Asked) -> usize {
    needs(asked).iter().sum()
}

fn stages_of(gate: &Gate) -> usize {
    gate.terms.stages.len()
}
