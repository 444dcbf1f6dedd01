//! What lines about requests must be: asked under the right gates, answered by whoever is asked, used as they may be.

use std::collections::BTreeSet;

use countersign_core::{At, Span};
use countersign_engine::line::Line;
use serde_json::Value;

use super::{Checked, Oracle, Request, Terms, Violation, must, stamp, text};
use crate::bundles::{ESCALATED_AFTER, Verdict, envelope, person, stages, uses};
use crate::scripts::ACTION;

impl Oracle {
    pub(super) fn asked(&mut self, line: &Line) -> Checked {
        let id = line.request.ok_or_else(|| Violation::new("lines are whole", "no request"))?;
        let rules = line.data.get("gates").and_then(Value::as_array).into_iter().flatten();
        let gates = rules.filter_map(|gate| gate.get("rule")?.as_str().map(str::to_owned)).collect();
        let steps = line.data.get("steps").and_then(Value::as_array).map_or(0, Vec::len);
        let action = line.data.get("action").and_then(Value::as_str);
        let action = action.unwrap_or(if steps > 0 { ACTION } else { "" }).to_owned();
        let request = Request {
            line: line.index,
            asked_at: line.at,
            by: text(line.actor.as_ref()),
            gates,
            session: line.session.filter(|_| line.kind == "action.held"),
            grant: line.grant.filter(|_| line.kind == "action.held" || steps > 0),
            approvers: Vec::new(),
            terms: Vec::new(),
            receipt: None,
            most: 1,
            envelope: None,
            spent: 0,
            aside: 0,
            enveloped: 0,
            used: 0,
            running: None,
            closed: false,
            action,
            resource: text(line.resource.as_ref()),
            steps,
            begun: None,
            failed: false,
        };
        if let Some(session) = request.session {
            self.stands(session, line, None)?;
        }
        if steps > 0 {
            let live = |grant: &super::Grant| grant.principal == request.by && !grant.ended;
            let stands = request.grant.and_then(|id| self.grants.get(&id)).is_some_and(live);
            must(stands, "access is live grants", || format!("{} holds nothing", request.by))?;
        }
        if request.session.is_some() || steps > 0 {
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
        found.terms.push(terms(line));
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
        let (most, lasting, envelope) = found.given();
        must(count == most as u64, "a yes has its bounds", || format!("{count} uses instead of {most}"))?;
        let said = line.data.get("envelope").and_then(bounds);
        must(said == envelope, "a yes has its bounds", || format!("{said:?} instead of {envelope:?}"))?;
        let lasts = lasting.is_none_or(|lasting| until <= line.at.plus(lasting));
        must(lasts, "a yes has its bounds", || format!("until {until:?}"))?;
        (found.receipt, found.most, found.envelope) = (Some(until), most, envelope);
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
        must(found.running.is_none() && !found.is_spent(), "a yes is used up", || {
            format!("used for the {}. time", found.used + 1)
        })?;
        let aside = line.data.get("rows").and_then(Value::as_u64);
        let left = found.envelope.map(|(rows, total)| rows.min(total - found.spent));
        must(aside == left, "rows stay in their bounds", || format!("{aside:?} set aside of {left:?}"))?;
        found.aside = aside.unwrap_or(0);
        found.spent += found.aside;
        found.enveloped += u64::from(aside.is_some());
        must(line.at < until, "a yes ends", || "it was used too late".into())?;
        let (single, by, resource) = (!found.outlives(), found.by.clone(), found.resource.clone());
        let single = single && found.steps == 0;
        must(found.steps == 0 || !found.failed, "a step that fails ends a script", || by.clone())?;
        let begun = found.begun.is_none() || found.begun == line.session;
        must(begun, "a script stays where it began", || format!("it began in {:?}", found.begun))?;
        found.begun = line.session.filter(|_| found.steps > 0);
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
        self.elsewhere += u64::from(session.is_some() && line.session != session);
        let session = line.session.ok_or_else(|| Violation::new("lines are whole", "no session"))?;
        let own =
            self.sessions.get(&session).is_some_and(|one| one.principal == by && one.resource == resource);
        must(own, "a yes is bound to its principal", || format!("{by}'s was used in {session}"))?;
        self.stands(session, line, grant)?;
        self.goes_on(session)
    }
}

impl Request {
    /// Who may fill each place that has to be filled, escalation included.
    fn places(&self, at: At) -> Vec<Vec<&'static str>> {
        let escalated = self.asked_at.plus(ESCALATED_AFTER) <= at;
        let stages = self.gates.iter().flat_map(|rule| stages(rule, escalated));
        stages.flat_map(|(need, from)| std::iter::repeat_n(from, need)).collect()
    }

    /// Uses, time if anybody named one, and bounds: of everything that was said the least, and what rules allow.
    fn given(&self) -> (usize, Option<Span>, Option<(u64, u64)>) {
        if self.steps > 0 {
            return (self.steps, self.terms.iter().filter_map(|terms| terms.minutes).min(), None);
        }
        let least = |one: (u64, u64), other: (u64, u64)| (one.0.min(other.0), one.1.min(other.1));
        let said = self.terms.iter().map(|terms| terms.envelope);
        let said = said.reduce(|one, other| Some(least(one?, other?))).flatten();
        let ceilings = self.gates.iter().map(|rule| envelope(rule));
        let uses = match said {
            Some(_) => ceilings.map(|ceiling| ceiling.map_or(0, |(_, _, uses)| uses)).min(),
            None if self.session.is_some() => self.gates.iter().map(|rule| uses(rule)).min(),
            None => Some(1),
        };
        let fewer = self.terms.iter().filter_map(|terms| terms.uses);
        let shorter = self.terms.iter().filter_map(|terms| terms.minutes).min();
        (fewer.fold(uses.unwrap_or(1), usize::min), shorter, said)
    }

    pub(super) fn is_spent(&self) -> bool {
        self.used >= self.most || self.envelope.is_some_and(|(_, total)| self.spent >= total)
    }

    pub(super) fn outlives(&self) -> bool {
        self.most > 1 || self.envelope.is_some()
    }
}

/// Rows for a statement and in all.
fn bounds(value: &Value) -> Option<(u64, u64)> {
    Some((value.get("rows")?.as_u64()?, value.get("total")?.as_u64()?))
}

/// What a yes says of what it covers.
fn terms(line: &Line) -> Terms {
    let said = line.data.get("terms");
    let number = |member: &str| said.and_then(|said| said.get(member)?.as_i64());
    Terms {
        uses: number("uses").and_then(|uses| usize::try_from(uses).ok()),
        minutes: number("valid_for_us").map(Span),
        envelope: said.and_then(|said| bounds(said.get("envelope")?)),
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
