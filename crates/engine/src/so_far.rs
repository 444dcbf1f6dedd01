//! What came before a question: what somebody did in the session in which an action waits, and what became of the same
//! action when it was asked for before.
//!
//! The first is put forward with the question and kept with it: whoever is asked sees what was so then. The second is found
//! by a keyed digest of what makes an action the same, whoever asks and whenever; the digest of the request itself is salted and
//! tells nothing.

use std::collections::BTreeMap;

use countersign_core::action::Action;
use countersign_core::request::{Outcome, State, Transaction};
use countersign_core::{At, GrantId, PersonId, PrincipalId, RequestId, SessionId};
use serde::{Deserialize, Serialize};

use crate::audit::{EndedView, EventView};
use crate::engine::Engine;
use crate::index::{request_key, same_key, session_key};
use crate::line::{Line, read};
use crate::store::{Drawer, Order, Put, Scan};

/// How many statements of a session are put forward with a question.
const STATEMENTS_MAX: usize = 10;
/// How many lines of the ledger are looked through for them. A busy house writes so many in a moment.
const LINES_MAX: u64 = 4_000;
/// How many lines are read at a time.
const READ_MAX: u64 = 250;
/// How many bytes of texts are put forward; a statement whose text would be beyond is named by its line.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// How many earlier requests are looked at.
const EARLIER_MAX: usize = 100;
/// How many of them are shown.
const SHOWN_MAX: usize = 5;

/// What was done in a session so far, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoFar {
    /// There is more than is told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Since when the session is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_us: Option<i64>,
    /// The statements.
    pub statements: Vec<Done>,
}

/// One statement of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// What it is called: `sql.select`.
    pub action: String,
    /// When it was judged, in microseconds since 1970.
    pub at_us: i64,
    /// The target's error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its line in the ledger.
    pub line: u64,
    /// The request that it was allowed by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// How it ended, in one word; nothing if that was not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Rows touched or given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Its full text; nothing if it is too long to be put forward, or gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `allow`, `deny`; `hold` if somebody said yes first.
    pub verdict: String,
}

/// What became of the same action before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// How often it was asked for by the same person, of the last hundred times.
    pub by_person: usize,
    /// How often by anybody.
    pub by_anybody: usize,
    /// The last times, newest first.
    pub last: Vec<Time>,
}

/// One of the times that the same was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// The request.
    pub id: RequestId,
    /// Who asked.
    pub by: PrincipalId,
    /// Who answers for them.
    pub person: PersonId,
    /// When.
    pub at: At,
    /// Where it stands, in one word.
    pub state: &'static str,
    /// Who said yes, or no.
    pub answered: Vec<PrincipalId>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Where its transaction stands, if there is one.
    pub transaction: Option<Transaction>,
}

impl Engine {
    /// What was done in a session up to now.
    pub(crate) fn so_far(&self, session: SessionId) -> SoFar {
        let house = &self.0.house;
        let named = session.to_string();
        let begin = house.first_told(&session_key(session)).unwrap_or(0);
        let since_us = self.line(begin).filter(|line| line.session == Some(session)).map(|line| line.at.0);
        let mut gathered = Gathered { bytes: TEXT_BYTES_MAX, ..Gathered::default() };
        let end = self.snapshot().index;
        let floor = begin.max(end.saturating_sub(LINES_MAX));
        let mut before = end;
        let mut more = floor > begin;
        'lines: while before > floor {
            let from = floor.max(before.saturating_sub(READ_MAX));
            let count = usize::try_from(before - from).unwrap_or_default();
            let Ok(lines) = house.store.read(from, count) else {
                more = true;
                break;
            };
            before = from;
            for stored in lines.into_iter().rev() {
                // Most lines are of other sessions, and need not be read for that to be seen.
                if !std::str::from_utf8(&stored.bytes).is_ok_and(|text| text.contains(&named)) {
                    continue;
                }
                let Ok(line) = read(stored.bytes) else { continue };
                if line.session != Some(session) {
                    continue;
                }
                if gathered.statements.len() >= STATEMENTS_MAX && gathered.is_statement(&line) {
                    more = true;
                    break 'lines;
                }
                gathered.take(self, line);
            }
        }
        SoFar { more, since_us, statements: gathered.statements }
    }

    /// What is kept with a request so that it is found when the same is asked for again.
    pub(crate) fn same_put(&self, action: &Action, request: RequestId) -> Put {
        let mut key = self.same_prefix(action);
        key.extend_from_slice(&request.0.to_be_bytes());
        Put::set(Drawer::History, key, Vec::new())
    }

    fn same_prefix(&self, action: &Action) -> Vec<u8> {
        same_key(&self.0.house.keyring.mac("countersign/same-action/v1", &[&what(action).canonical()]))
    }

    /// What became of the same action when it was asked for before `request`: by anybody, or by its own person alone.
    pub(crate) fn earlier(&self, action: &Action, request: RequestId, by_anybody: bool) -> Earlier {
        let prefix = self.same_prefix(action);
        let mut after = prefix.clone();
        after.extend_from_slice(&request.0.to_be_bytes());
        let scan = Scan { prefix: &prefix, after: Some(&after), order: Order::Down, count: EARLIER_MAX };
        let found = self.0.house.store.scan(Drawer::History, &scan).unwrap_or_default();
        let mut earlier = Earlier::default();
        for (key, _) in found {
            let Some(id) = key.last_chunk::<16>().map(|id| RequestId(u128::from_be_bytes(*id))) else {
                continue;
            };
            let time = self.time(id).filter(|time| by_anybody || time.person == action.person);
            let Some(time) = time else { continue };
            earlier.by_anybody += 1;
            earlier.by_person += usize::from(time.person == action.person);
            if earlier.last.len() < SHOWN_MAX {
                earlier.last.push(time);
            }
        }
        earlier
    }

    fn time(&self, id: RequestId) -> Option<Time> {
        let snapshot = self.snapshot();
        let request = self.request_told(&snapshot, id)?;
        let mut answered: Vec<PrincipalId> = request.approvals.iter().map(|one| one.by.clone()).collect();
        let mut outcome = None;
        match &request.state {
            State::Denied { by, .. } => answered = vec![by.clone()],
            State::Approved(receipt) => outcome.clone_from(&receipt.outcome),
            State::Pending | State::Lapsed { .. } | State::Withdrawn { .. } | State::Void { .. } => {}
        }
        Some(Time {
            id,
            by: request.by.clone(),
            person: request.person.clone(),
            at: request.asked_at,
            state: request.state.as_str(),
            answered,
            outcome,
            transaction: request.transaction(),
        })
    }

    /// How what a request allowed ended, as the last line about that says: rows, bytes, time, error.
    pub(crate) fn ended_of(&self, request: RequestId) -> Option<EndedView> {
        let told = self.0.house.told(&request_key(request), TOLD_MAX).ok()?;
        told.into_iter().rev().find_map(|index| {
            let line = self.line(index).filter(|line| line.kind == "action.completed")?;
            self.view(line).ended
        })
    }
}

/// How many lines of one request are looked at for its outcome.
const TOLD_MAX: usize = 512;

/// What makes an action the same: not who asks, why, under which grant, or what stands behind the names today.
fn what(action: &Action) -> Action {
    let nobody = (PrincipalId::new("anybody"), PersonId::new("anybody"));
    Action {
        chain: Vec::new(),
        grant: None::<GrantId>,
        principal: nobody.0,
        person: nobody.1,
        purpose: None,
        relations: Vec::new(),
        verbs: Vec::new(),
        ..action.clone()
    }
}

/// Statements as they are found, newest first.
#[derive(Default)]
struct Gathered {
    statements: Vec<Done>,
    /// How those ended whose own line is still to come, by that line.
    ended: BTreeMap<u64, EndedView>,
    /// How those ended that were allowed by a request.
    by_request: BTreeMap<RequestId, EndedView>,
    bytes: usize,
}

impl Gathered {
    fn is_statement(&self, line: &Line) -> bool {
        matches!(line.kind.as_str(), "action.allowed" | "action.blocked")
    }

    fn take(&mut self, engine: &Engine, line: Line) {
        if line.kind == "action.completed" {
            let of = line.data.get("of").and_then(serde_json::Value::as_u64);
            let request = line.request;
            let Some(ended) = engine.view(line).ended else { return };
            match (of, request) {
                (Some(of), _) => _ = self.ended.insert(of, ended),
                (None, Some(request)) => _ = self.by_request.insert(request, ended),
                (None, None) => {}
            }
        } else if self.is_statement(&line) {
            let done = self.done(engine.view(line));
            self.statements.push(done);
        }
    }

    fn done(&mut self, view: EventView) -> Done {
        let EventView { line, text, ended, .. } = view;
        let ended = ended
            .or_else(|| self.ended.remove(&line.index))
            .or_else(|| line.request.and_then(|request| self.by_request.get(&request).cloned()));
        let text = text.filter(|text| text.len() <= self.bytes);
        self.bytes -= text.as_ref().map_or(0, String::len);
        let action = line.data.get("action").and_then(serde_json::Value::as_str).unwrap_or_default();
        let verdict = match (line.kind.as_str(), line.request) {
            ("action.blocked", _) => "deny",
            (_, Some(_)) => "hold",
            _ => "allow",
        };
        let (result, rows, code) = match ended {
            Some(ended) => (Some(ended.result), ended.rows, ended.code),
            None => (None, None, None),
        };
        Done {
            action: action.to_owned(),
            at_us: line.at.0,
            code,
            line: line.index,
            request: line.request,
            result,
            rows,
            text,
            verdict: verdict.to_owned(),
        }
    }
}
