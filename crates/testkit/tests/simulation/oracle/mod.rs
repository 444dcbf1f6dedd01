//! What must be so, read off the lines alone.
//!
//! The oracle knows nothing of the book, of Cedar or of the writer. It reads the ledger as an auditor would, line by
//! line, keeps its own small account of grants, requests and sessions, and says which line could not have been
//! written by a gateway that keeps its word.

mod requests;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::{At, GrantId, RequestId, SessionId, Span};
use countersign_engine::line::{Line, read};
use countersign_ledger::{Frontier, Hash};
use serde_json::Value;

use crate::bundles::{DBAS, Variant, Verdict, person};

/// Something that must never be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which promise, in a word.
    pub rule: &'static str,
    /// What happened instead.
    pub what: String,
}

/// The account.
#[derive(Default)]
pub struct Oracle {
    lines: Vec<Line>,
    frontier: Frontier,
    roots: Vec<Hash>,
    bundle: Option<(Variant, String)>,
    disabled: BTreeSet<String>,
    grants: BTreeMap<GrantId, Grant>,
    requests: BTreeMap<RequestId, Request>,
    sessions: BTreeMap<SessionId, Session>,
    completed: BTreeSet<u64>,
    /// The line of the last start.
    begun: u64,
    /// How many receipts were used in another session than the one that waited.
    elsewhere: u64,
    said: BTreeSet<Said>,
}

/// What a line says happened, as somebody who was told so would look for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    kind: String,
    about: Option<u128>,
    by: Option<String>,
}

struct Grant {
    principal: String,
    role: String,
    not_before: At,
    not_after: At,
    ended: bool,
}

struct Request {
    line: u64,
    asked_at: At,
    by: String,
    gates: BTreeSet<String>,
    session: Option<SessionId>,
    grant: Option<GrantId>,
    approvers: Vec<String>,
    /// What each of them said of what it covers.
    terms: Vec<Terms>,
    receipt: Option<At>,
    /// How often it may be used, once that is decided.
    most: usize,
    /// Rows for a statement and in all, if it covers bounds.
    envelope: Option<(u64, u64)>,
    /// Rows of it that are gone or may be.
    spent: u64,
    /// Rows of it that the use under way may still turn out to have spent.
    aside: u64,
    /// How many uses went by its bounds.
    enveloped: u64,
    used: usize,
    /// Since which line a use is under way.
    running: Option<u64>,
    closed: bool,
    action: String,
    resource: String,
    /// How many steps it has, if it is a script.
    steps: usize,
    /// Where it is run.
    begun: Option<SessionId>,
    /// A step of it has not ended well.
    failed: bool,
}

/// What somebody said with a yes.
#[derive(Default)]
struct Terms {
    uses: Option<usize>,
    minutes: Option<Span>,
    envelope: Option<(u64, u64)>,
}

struct Session {
    principal: String,
    role: String,
    resource: String,
    ordered: bool,
    /// Who has paused it.
    paused: Option<String>,
}

impl Said {
    /// That something of this type was said by somebody, about a request, grant or session.
    pub fn new(kind: &str, about: Option<u128>, by: Option<&str>) -> Self {
        Self { kind: kind.to_owned(), about, by: by.map(str::to_owned) }
    }
}

impl Violation {
    /// It.
    pub fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

type Checked = Result<(), Violation>;

/// What must hold, and what to say if it does not.
pub fn must(holds: bool, rule: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation::new(rule, what())) }
}

impl Oracle {
    /// How many lines it has read.
    pub fn size(&self) -> u64 {
        self.lines.len() as u64
    }

    /// A line.
    pub fn line(&self, index: u64) -> Option<&Line> {
        self.lines.get(usize::try_from(index).ok()?)
    }

    /// All lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The root over the first so many lines.
    pub fn root(&self, size: u64) -> Option<Hash> {
        let before = usize::try_from(size).ok()?.checked_sub(1)?;
        self.roots.get(before).copied()
    }

    /// Whether the ledger says this.
    pub fn says(&self, said: &Said) -> bool {
        self.said.contains(said)
    }

    /// Where a request was asked.
    pub fn asked_at(&self, request: RequestId) -> Option<u64> {
        self.requests.get(&request).map(|found| found.line)
    }

    /// How often a request was used.
    pub fn used(&self, request: RequestId) -> usize {
        self.requests.get(&request).map_or(0, |found| found.used)
    }

    /// The bounds that a request's yes covers, if it covers bounds: rows for a statement, and in all.
    pub fn envelope(&self, request: RequestId) -> Option<(u64, u64)> {
        self.requests.get(&request)?.envelope
    }

    /// How many uses there were within bounds.
    pub fn used_within_bounds(&self) -> u64 {
        self.requests.values().map(|found| found.enveloped).sum()
    }

    /// How many scripts were run to their end.
    pub fn scripts(&self) -> u64 {
        let run = |found: &&Request| found.steps > 0 && found.used == found.steps && !found.failed;
        self.requests.values().filter(run).count() as u64
    }

    /// How many receipts were used in another session than the one that waited.
    pub fn used_elsewhere(&self) -> u64 {
        self.elsewhere
    }

    /// Whether the ledger says how what this line allowed ended.
    pub fn is_completed(&self, line: u64) -> bool {
        self.completed.contains(&line)
    }

    /// Whether somebody may be in this role at this instant.
    pub fn holds(&self, principal: &str, role: &str, at: At) -> bool {
        let live = |grant: &Grant| !grant.ended && grant.not_before <= at && at < grant.not_after;
        let of = |grant: &&Grant| grant.principal == principal && grant.role == role;
        let shut_out = self.disabled.contains(principal) || self.disabled.contains(person(principal));
        !shut_out && self.grants.values().filter(of).any(live)
    }

    /// The sessions that are open, with whose and in which role.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &str, &str)> {
        self.sessions.iter().map(|(id, open)| (*id, open.principal.as_str(), open.role.as_str()))
    }

    /// Requests for actions of which something may still come, and uses without an outcome.
    pub fn waiting(&self) -> impl Iterator<Item = RequestId> {
        let open = |found: &Request| {
            let spent = found.is_spent() && found.running.is_none();
            let waits = found.running.is_some() || (!found.closed && !spent && !found.outlives());
            // A script that has not begun waits for no session; what is asked about it is in memory alone.
            let script = found.begun.is_some() || found.receipt.is_none();
            let script = found.steps > 0 && script && (found.running.is_some() || (!found.closed && !spent));
            script || (found.session.is_some() && waits)
        };
        self.requests.iter().filter(move |(_, found)| open(found)).map(|(id, _)| *id)
    }

    /// Grants that nobody ended although their hour has come.
    pub fn overdue(&self, now: At) -> impl Iterator<Item = GrantId> {
        self.grants.iter().filter(move |(_, grant)| !grant.ended && grant.not_after <= now).map(|(id, _)| *id)
    }

    /// Takes the next line.
    pub fn take(&mut self, index: u64, bytes: Vec<u8>) -> Checked {
        let leaf = Hash::leaf(&bytes);
        let line = read(bytes).map_err(|bad| Violation::new("lines are whole", format!("{bad}")))?;
        let last = self.lines.last();
        let place = self.size() == index && line.index == index;
        must(place, "lines have no gap", || format!("line {index} calls itself {}", line.index))?;
        let follows = line.prev == last.map_or(Hash::empty(), |last| Hash::leaf(&last.bytes));
        must(follows, "lines are chained", || format!("line {index} does not follow the one before"))?;
        let later = last.is_none_or(|last| last.at <= line.at);
        must(later, "time never goes back", || format!("line {index} is older than the one before"))?;
        self.judge(&line).map_err(|violation| Violation {
            rule: violation.rule,
            what: format!("line {index}, {}: {}", line.kind, violation.what),
        })?;
        self.frontier.push(leaf, |_| {});
        self.roots.push(self.frontier.root());
        self.note(&line);
        self.lines.push(line);
        Ok(())
    }

    fn note(&mut self, line: &Line) {
        let about = [line.request.map(|id| id.0), line.grant.map(|id| id.0), line.session.map(|id| id.0)];
        let by = line.actor.as_ref().or(line.subject.as_ref()).map(ToString::to_string);
        for about in about.into_iter().flatten() {
            self.said.insert(Said { kind: line.kind.clone(), about: Some(about), by: by.clone() });
            self.said.insert(Said { kind: line.kind.clone(), about: Some(about), by: None });
        }
        let subject = line.subject.as_ref().map(ToString::to_string);
        self.said.insert(Said { kind: line.kind.clone(), about: None, by: subject });
    }

    fn judge(&mut self, line: &Line) -> Checked {
        match line.kind.as_str() {
            "system.started" => self.started(line),
            "policy.activated" => self.activated(line),
            "identity.disabled" | "identity.enabled" if !by_a_dba(line) => {
                Err(Violation::new("policy is asked now", text(line.actor.as_ref())))
            }
            "identity.disabled" => {
                self.disabled.insert(text(line.subject.as_ref()));
                Ok(())
            }
            "identity.enabled" => {
                self.disabled.remove(&text(line.subject.as_ref()));
                Ok(())
            }
            "request.created" | "action.held" => self.asked(line),
            "decision.approved" => self.approved(line),
            "decision.quorum_reached" => self.quorum(line),
            "decision.denied" | "request.expired" | "request.withdrawn" | "request.voided" => {
                self.closed(line)
            }
            "grant.issued" => self.issued(line),
            "grant.expired" | "grant.revoked" | "grant.relinquished" => self.ended(line),
            "session.opened" => self.opened(line),
            "session.locked" => self.locked(line),
            "session.unlocked" => self.unlocked(line),
            "session.terminated" => self.terminated(line),
            "action.allowed" if line.request.is_some() => self.used_now(line),
            "action.allowed" => self.allowed(line),
            "action.completed" => self.outcome(line),
            _ => Ok(()),
        }
    }

    /// A start after a crash says so, and since when nothing is certain.
    fn started(&mut self, line: &Line) -> Checked {
        self.begun = line.index;
        let last = self.lines.last();
        let abrupt = last.is_some_and(|last| last.kind != "system.stopped");
        let says = line.data.get("why").is_some();
        must(says == abrupt, "what a crash may have cost is said", || format!("after {last:?}"))?;
        let since = line.data.get("since").map(|_| stamp(line, "since")).transpose()?;
        must(
            since == last.filter(|_| abrupt).map(|last| last.at),
            "what a crash may have cost is said",
            || format!("since {since:?}"),
        )
    }

    fn activated(&mut self, line: &Line) -> Checked {
        let name = bundle_in(line);
        let hash = name.parse().ok();
        let variant = hash.as_ref().and_then(Variant::of);
        let variant = variant.ok_or_else(|| Violation::new("bundles are known", name.clone()))?;
        if let (Some(request), Some(_)) = (line.request, &self.bundle) {
            let found = self.request(request)?;
            let gated = found.gates.contains("policy-change");
            must(gated && found.receipt.is_some() && found.used == 0, "policy is gated", || {
                format!("request {request} did not allow it")
            })?;
            found.used += 1;
        } else {
            must(self.bundle.is_none(), "policy is gated", || "nobody was asked".into())?;
        }
        self.bundle = Some((variant, name));
        Ok(())
    }

    fn issued(&mut self, line: &Line) -> Checked {
        let id = line.grant.ok_or_else(|| Violation::new("lines are whole", "no grant"))?;
        let (not_before, not_after) = (stamp(line, "not_before")?, stamp(line, "not_after")?);
        let (principal, role) = (text(line.subject.as_ref()), text(line.role.as_ref()));
        let found = self.request_of(line)?;
        must(found.receipt.is_some() && found.used == 0, "a grant follows from a yes", || id.to_string())?;
        must(found.by == principal && !found.closed, "a grant follows from a yes", || principal.clone())?;
        must(role.starts_with("metrics") == found.gates.is_empty(), "shop roles are gated", || role.clone())?;
        found.used += 1;
        must(not_before == line.at, "a clock starts when it is granted", || id.to_string())?;
        let grant = Grant { principal, role, not_before, not_after, ended: false };
        must(self.grants.insert(id, grant).is_none(), "grants are new", || id.to_string())
    }

    fn ended(&mut self, line: &Line) -> Checked {
        let id = line.grant.ok_or_else(|| Violation::new("lines are whole", "no grant"))?;
        let found = self.grants.get_mut(&id);
        let found = found.ok_or_else(|| Violation::new("grants are new", format!("no grant {id}")))?;
        must(!found.ended, "ended is ended", || format!("grant {id} was over"))?;
        let by = text(line.actor.as_ref());
        let may =
            line.kind != "grant.revoked" || DBAS.contains(&by.as_str()) || by == person(&found.principal);
        must(may, "policy is asked now", || format!("{by} revoked it"))?;
        let early = line.kind == "grant.expired" && line.at < found.not_after;
        must(!early, "grants end when they should", || format!("grant {id} expired too early"))?;
        found.ended = true;
        Ok(())
    }

    /// A statement that nobody had to approve.
    fn allowed(&mut self, line: &Line) -> Checked {
        let action = line.data.get("action").and_then(Value::as_str).unwrap_or_default().to_owned();
        let recorded = line.data.get("recorded").and_then(Value::as_str).unwrap_or_default();
        let name = bundle_in(line);
        let variant = name.parse().ok().and_then(|hash| Variant::of(&hash));
        let variant = variant.ok_or_else(|| Violation::new("bundles are known", name.clone()))?;
        let resource = text(line.resource.as_ref());
        must(variant.verdict(&action, &resource) == Verdict::Allow, "gates hold what they should", || {
            format!("{action} on {resource} ran under {variant:?} without a yes")
        })?;
        if recorded != "first" && line.data.get("ended").is_some() {
            self.completed.insert(line.index);
        }
        if recorded == "alongside" {
            let may = action == "sql.select" && resource == "metrics";
            return must(may, "only reads are recorded alongside", || format!("{action} on {resource}"));
        }
        let current = self.bundle.as_ref().is_some_and(|(_, in_force)| *in_force == name);
        must(current, "policy is asked now", || "it was judged under another bundle".into())?;
        let session = line.session.ok_or_else(|| Violation::new("lines are whole", "no session"))?;
        must(line.grant.is_some(), "lines are whole", || "no grant".into())?;
        // A read that is under way is answered if its session stands on another grant meanwhile.
        self.stands(session, line, line.grant.filter(|_| recorded == "first"))?;
        self.goes_on(session)
    }

    fn outcome(&mut self, line: &Line) -> Checked {
        if line.request.is_some() {
            let begun = self.begun;
            let found = self.request_of(line)?;
            let since = found.running.take();
            let since =
                since.ok_or_else(|| Violation::new("one outcome for one use", "it was not in use"))?;
            let unknown = line.data.get("result").and_then(Value::as_str) == Some("unknown");
            must(unknown || since > begun, "nobody knows what a crash interrupted", || {
                format!("used in line {since}, before the start in line {begun}")
            })?;
            let spent = match line.data.get("result").and_then(Value::as_str) {
                Some("done") => {
                    line.data.get("rows").and_then(Value::as_u64).unwrap_or(found.aside).min(found.aside)
                }
                Some("unknown") => found.aside,
                _ => 0,
            };
            found.failed |= line.data.get("result").and_then(Value::as_str) != Some("done");
            found.spent -= std::mem::take(&mut found.aside) - spent;
            self.completed.insert(since);
            return Ok(());
        }
        let of = line.data.get("of").and_then(Value::as_u64);
        let told = of.and_then(|of| self.line(of));
        let whose = told.is_some_and(|told| {
            told.kind == "action.allowed" && told.request.is_none() && told.session == line.session
        });
        must(whose, "an outcome is of something", || format!("of line {of:?}"))?;
        let first = self.completed.insert(of.unwrap_or_default());
        must(first, "one outcome for one use", || format!("a second one of line {of:?}"))
    }

    /// Whether a session is open and stands on a live grant: of its principal's in its role, or on this very one.
    fn stands(&self, session: SessionId, line: &Line, grant: Option<GrantId>) -> Checked {
        let found = self.sessions.get(&session);
        let found =
            found.ok_or_else(|| Violation::new("an end is an end", format!("{session} was closed")))?;
        must(!found.ordered, "an end is an end", || format!("{session} was to end"))?;
        let resource = line.resource.as_ref().is_none_or(|resource| resource.as_str() == found.resource);
        must(resource, "an end is an end", || format!("{session} is on another resource"))?;
        must(self.holds(&found.principal, &found.role, line.at), "access is live grants", || {
            format!("{} holds no live grant of {}", found.principal, found.role)
        })?;
        let Some(id) = grant else { return Ok(()) };
        let of = |grant: &Grant| grant.principal == found.principal && grant.role == found.role;
        let live = |grant: &Grant| of(grant) && !grant.ended && line.at < grant.not_after;
        must(self.grants.get(&id).is_some_and(live), "an end is an end", || {
            format!("it stands on grant {id}, which is over")
        })
    }

    fn variant(&self) -> Result<Variant, Violation> {
        let found = self.bundle.as_ref().map(|(variant, _)| *variant);
        found.ok_or_else(|| Violation::new("bundles are known", "none is in force"))
    }

    fn request_of(&mut self, line: &Line) -> Result<&mut Request, Violation> {
        let id = line.request.ok_or_else(|| Violation::new("lines are whole", "no request"))?;
        self.request(id)
    }

    fn request(&mut self, id: RequestId) -> Result<&mut Request, Violation> {
        self.requests
            .get_mut(&id)
            .ok_or_else(|| Violation::new("requests are new", format!("no request {id}")))
    }
}

/// Whether a DBA did it; nobody lets themselves in again.
fn by_a_dba(line: &Line) -> bool {
    let by = text(line.actor.as_ref());
    let own = line.subject.as_ref().is_some_and(|subject| person(subject.as_str()) == by);
    DBAS.contains(&by.as_str()) && !(own && line.kind == "identity.enabled")
}

fn text(id: Option<&impl ToString>) -> String {
    id.map(ToString::to_string).unwrap_or_default()
}

fn stamp(line: &Line, member: &'static str) -> Result<At, Violation> {
    let found = line.data.get(member).and_then(Value::as_str);
    let ts = found.and_then(|found| found.parse::<countersign_ledger::line::Ts>().ok());
    ts.map(|ts| At(ts.micros())).ok_or_else(|| Violation::new("lines are whole", format!("no {member}")))
}

fn bundle_in(line: &Line) -> String {
    let whole: Value = serde_json::from_slice(&line.bytes).unwrap_or_default();
    whole.get("bundle").and_then(Value::as_str).unwrap_or_default().to_owned()
}
