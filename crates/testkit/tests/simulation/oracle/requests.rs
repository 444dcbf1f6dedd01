//! What lines about requests must be: asked under the right gates, answered by whoever is asked, used as they may be.

use std::collections::BTreeSet;

use countersign_core::At;
use countersign_engine::line::Line;
use serde_json::Value;

use super::{Checked, Oracle, Request, Violation, must, stamp, text};
use crate::bundles::{ESCALATED_AFTER, Verdict, person, stages, uses};

impl Oracle {
    pub(super) fn asked(&mut self, line: &Line) -> Checked {
        let id = line.request.ok_or_else(|| Violation::new("lines are whole", "no request"))?;
        let rules = line.data.get("gates").and_then(Value::as_array).into_iter().flatten();
        let gates = rules.filter_map(|gate| gate.get("rule")?.as_str().map(str::to_owned)).collect();
        let action = line.data.get("action").and_then(Value::as_str).unwrap_or_default().to_owned();
        let request = Request {
            line: line.index,
            asked_at: line.at,
            by: text(line.actor.as_ref()),
            gates,
            session: line.session.filter(|_| line.kind == "action.held"),
            grant: line.grant.filter(|_| line.kind == "action.held"),
            approvers: Vec::new(),
            receipt: None,
            used: 0,
            running: None,
            closed: false,
            action,
            resource: text(line.resource.as_ref()),
        };
        if let Some(session) = request.session {
            self.stands(session, line, None)?;
            let verdict = self.variant()?.verdict(&request.action, &request.resource);
            let gates: BTreeSet<&str> = request.gates.iter().map(String::as_str).collect();
            let expected = matches!(&verdict, Verdict::Hold(rules) if *rules == gates);
            must(expected, "gates hold what they should", || format!("{verdict:?}, held by {gates:?}"))?;
        }
        must(self.requests.insert(id, request).is_none(), "requests are new", || id.to_string())
    }

    pub(super) fn approved(&mut self, line: &Line) -> Checked {
        let actor = text(line.actor.as_ref());
        self.answers(line, &actor)?;
        let found = self.request_of(line)?;
        must(!found.closed && found.receipt.is_none(), "decided is decided", || {
            "it had an answer already".into()
        })?;
        found.approvers.push(actor);
        Ok(())
    }

    /// Whether somebody is asked, and not about what they ask for themselves.
    pub(super) fn answers(&mut self, line: &Line, actor: &str) -> Checked {
        must(!self.disabled.contains(actor), "the disabled do nothing", || actor.to_owned())?;
        let found = self.request_of(line)?;
        must(person(&found.by) != person(actor), "nobody approves their own", || actor.to_owned())?;
        let asked = found.places(line.at).iter().any(|place| place.contains(&actor));
        must(asked, "whoever is asked answers", || format!("{actor} is not asked by {:?}", found.gates))
    }

    pub(super) fn quorum(&mut self, line: &Line) -> Checked {
        let until = stamp(line, "valid_until")?;
        let count = line.data.get("uses").and_then(Value::as_u64).unwrap_or_default();
        let found = self.request_of(line)?;
        let people: BTreeSet<&str> = found.approvers.iter().map(|name| person(name)).collect();
        let people: Vec<&str> = people.into_iter().collect();
        let places = found.places(line.at);
        must(matched(&places, &people), "a quorum is distinct people", || {
            format!("{:?} do not satisfy {:?}", found.approvers, found.gates)
        })?;
        let most = if found.session.is_some() { found.uses() as u64 } else { 1 };
        must(count == most, "a yes has its bounds", || format!("{count} uses instead of {most}"))?;
        found.receipt = Some(until);
        Ok(())
    }

    pub(super) fn closed(&mut self, line: &Line) -> Checked {
        let found = self.request_of(line)?;
        must(!found.closed && found.running.is_none(), "ended is ended", || "it was over, or in use".into())?;
        found.closed = true;
        Ok(())
    }

    /// A statement that was approved, about to run.
    pub(super) fn used_now(&mut self, line: &Line) -> Checked {
        let variant = self.variant()?;
        let found = self.request_of(line)?;
        let (session, grant) = (found.session, found.grant);
        let until = found.receipt.filter(|_| !found.closed);
        let until = until.ok_or_else(|| Violation::new("what runs was approved", "there was no yes"))?;
        must(found.running.is_none() && found.used < found.uses(), "a yes is used up", || {
            format!("used for the {}. time", found.used + 1)
        })?;
        must(line.at < until, "a yes ends", || "it was used too late".into())?;
        let (single, by, resource) = (found.uses() == 1, found.by.clone(), found.resource.clone());
        must(line.session == session || !single, "a yes is bound to its session", || {
            format!("used in {:?}, not {session:?}", line.session)
        })?;
        let lifted = match variant.verdict(&found.action, &found.resource) {
            Verdict::Allow => true,
            Verdict::Deny => false,
            Verdict::Hold(rules) => rules.iter().all(|rule| found.gates.contains(*rule)),
        };
        must(lifted, "the stricter policy wins", || {
            format!("{} ran under {variant:?}, approved under {:?}", found.action, found.gates)
        })?;
        found.used += 1;
        found.running = Some(line.index);
        self.elsewhere += u64::from(line.session != session);
        let session = line.session.ok_or_else(|| Violation::new("lines are whole", "no session"))?;
        let own =
            self.sessions.get(&session).is_some_and(|one| one.principal == by && one.resource == resource);
        must(own, "a yes is bound to its principal", || format!("{by}'s was used in {session}"))?;
        self.stands(session, line, grant)
    }
}

impl Request {
    /// Who may fill each place that has to be filled, escalation included.
    fn places(&self, at: At) -> Vec<Vec<&'static str>> {
        let escalated = self.asked_at.plus(ESCALATED_AFTER) <= at;
        let stages = self.gates.iter().flat_map(|rule| stages(rule, escalated));
        stages.flat_map(|(need, from)| std::iter::repeat_n(from, need)).collect()
    }

    pub(super) fn uses(&self) -> usize {
        self.gates.iter().map(|rule| uses(rule)).min().unwrap_or(1)
    }
}

/// Whether every place can be filled by a person of its own.
fn matched(places: &[Vec<&str>], people: &[&str]) -> bool {
    let Some((first, rest)) = places.split_first() else { return true };
    people.iter().enumerate().filter(|(_, who)| first.contains(who)).any(|(at, _)| {
        let mut others = people.to_vec();
        others.remove(at);
        matched(rest, &others)
    })
}
