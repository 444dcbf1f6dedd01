//! Commands: decided on the working book, written as lines, applied.

use std::sync::Arc;

use countersign_core::request::{Command as RequestCommand, Event as RequestEvent};
use countersign_core::{ActionName, At, Command, Event, PrincipalId, Refusal, decide};
use countersign_ledger::line::LINE_BYTES_MAX;
use serde_json::value::RawValue;

use super::work::{Deed, Done, NotDone, Note, Reply, Standing};
use super::{Desk, Draft, Writer, content};
use crate::index::history_puts;
use crate::line::{BadLine, Envelope, Place, Refusing, Sealed, Topic, encode_event, read_event};
use crate::seal::Field;

/// How much longer a line may get when its final place is written into it.
const PLACE_BYTES_MAX: usize = 64;

impl Writer {
    pub(super) fn deed(&mut self, deed: &Deed, draft: &mut Draft) -> Reply {
        let now = self.now();
        let facts = {
            let (live, standing, house) = (&self.live, &self.standing, &self.house);
            let desk = Desk { book: &live.book, policy: live.policy.as_deref(), now };
            let mut find = |request| {
                let found = desk.book.request(request)?;
                let standing = standing
                    .get(&request)
                    .cloned()
                    .or_else(|| draft.asked.iter().find(|(id, _)| *id == request).map(|(_, it)| it.clone()))
                    .or_else(|| house.standing(found).map(Arc::new))?;
                let proposed = match &*standing {
                    Standing::Apply { bundle, .. } => Some(house.compiled(bundle)?),
                    Standing::Access { .. } | Standing::Act { .. } | Standing::Script(_) => None,
                };
                desk.rule_standing(&found.by, &standing, proposed.as_deref())
            };
            desk.facts(deed, &mut find)
        };
        let decided = decide(&self.live.book, deed.command.clone(), &facts);
        #[cfg(any(test, feature = "testing"))]
        let decided = match self.mistake {
            Some(mistake) => mistake.instead(&self.live.book, &deed.command, decided),
            None => decided,
        };
        let events = match decided {
            Ok(events) => events,
            Err(refusal) => return self.refused(deed, refusal, draft),
        };
        let lines = self.encode(&events, deed, now)?;
        if !deed.fields.is_empty() {
            // Made ready first: once a line of this command is appended, nothing may fail.
            self.contents.key(&self.house, &deed.key, &mut draft.batch.puts)?;
        }
        let index = (!lines.is_empty()).then_some(self.live.index);
        for (event, line) in events.iter().zip(lines) {
            self.append_decision(event, line, deed, draft)?;
        }
        draft.batch.puts.extend_from_slice(&deed.puts);
        if let Some(statement) = &deed.spent {
            draft.spend(statement);
        }
        if let (Command::Request(RequestCommand::Ask { request, .. }), Some(standing)) =
            (&deed.command, &deed.standing)
        {
            draft.asked.push((*request, Arc::clone(standing)));
        }
        Ok(Done { index, events })
    }

    /// A no to somebody who may sign in is recorded too, with its reason.
    fn refused(&mut self, deed: &Deed, refusal: Refusal, draft: &mut Draft) -> Reply {
        if let Some((actor, action)) = said_by(&deed.command) {
            let reason =
                Field::new(&self.ports, "/data/content", "refusal", refusal.to_string().into_bytes());
            let content = Sealed(reason.commitment());
            let topic = Topic::Refusing(Refusing { action: Some(action), content, unwritten: 0 });
            let mut note = Note::new("decision.evaluated", topic).failed();
            note.line.actor = Some(actor.clone());
            note.line.person = self.live.book.person(actor).cloned();
            note.key = format!("principal:{actor}").into();
            note.fields = vec![reason];
            self.note(&note, draft)?;
        }
        Err(NotDone::Refused(refusal))
    }

    /// The events of one command as lines, each read back before anything is applied: what can't be read at the
    /// next start must not be written now.
    fn encode(
        &self,
        events: &[Event],
        deed: &Deed,
        now: At,
    ) -> Result<Vec<Envelope<Box<RawValue>>>, NotDone> {
        let unwritable = |bad: BadLine| NotDone::Unwritable(crate::line::chain(&bad));
        let mut lines = Vec::with_capacity(events.len());
        for event in events {
            let mut line = encode_event(event, deed.ran).map_err(unwritable)?;
            crate::index::describe(&mut line, &self.live.book, event);
            let place = Place { at: now, ..self.place() };
            let bytes = line.clone().seal(&place).map_err(unwritable)?;
            if bytes.len() + PLACE_BYTES_MAX > LINE_BYTES_MAX {
                return Err(unwritable(BadLine::TooLong(bytes.len())));
            }
            let catalogue = crate::index::catalogue_in(event);
            let (read, _) = read_event(&bytes, &|_| catalogue.clone()).map_err(unwritable)?;
            if read != *event {
                return Err(NotDone::Unwritable(format!(
                    "a line of type `{}` reads back otherwise",
                    line.kind
                )));
            }
            lines.push(line);
        }
        Ok(lines)
    }

    fn append_decision(
        &mut self,
        event: &Event,
        line: Envelope<Box<RawValue>>,
        deed: &Deed,
        draft: &mut Draft,
    ) -> Result<(), NotDone> {
        let index = self.live.index;
        let mut committed = crate::index::commitments_in(event);
        if let Event::Request(RequestEvent::Settled { .. }) = event {
            let of_result = deed.ran.map(|ran| [ran.kept, ran.digest]);
            committed.extend(of_result.into_iter().flatten().flatten());
        }
        let carried = deed.fields.iter().filter(|field| committed.contains(&field.commitment()));
        let fields: Vec<Field> = carried.cloned().collect();
        draft.batch.puts.extend(history_puts(event, &line, index));
        if !fields.is_empty() {
            let sealing = self.contents.key(&self.house, &deed.key, &mut draft.batch.puts)?;
            draft.batch.puts.push(content::sealed(&self.ports, &sealing, &deed.key, index, &fields));
        }
        self.append_line(line, self.now(), true, draft)?;
        self.live.book.apply(event, self.live.at);
        self.live.decided = self.live.index;
        if let Event::Bundle(_) = event {
            self.live.policy.clone_from(&deed.proposed);
        }
        draft.topics.mark(event, self.live.index);
        draft.decisions += 1;
        draft.claims.clear();
        Ok(())
    }
}

/// Who gave a command, and what it is called, for those that a person gives.
fn said_by(command: &Command) -> Option<(&PrincipalId, ActionName)> {
    use countersign_core::{bundle, grant, principal, request, script, session};
    let (by, action) = match command {
        Command::Request(request::Command::Ask { by, ask, .. }) => match ask {
            request::Ask::Access { .. } => (by, "access.request"),
            request::Ask::Apply { .. } => (by, "policy.apply"),
            request::Ask::Script { .. } => (by, script::ACTION),
            request::Ask::Act { .. } => return None,
        },
        Command::Request(request::Command::Approve { by, .. }) => (by, "request.approve"),
        Command::Request(request::Command::Deny { by, .. }) => (by, "request.deny"),
        Command::Grant(grant::Command::Revoke { by, .. }) => (by, "grant.revoke"),
        Command::Grant(grant::Command::Relinquish { by, .. }) => (by, "grant.relinquish"),
        Command::Session(session::Command::End { by, .. }) => (by, "session.end"),
        Command::Session(session::Command::Pause { by, .. }) => (by, "session.pause"),
        Command::Session(session::Command::Resume { by, .. }) => (by, "session.resume"),
        Command::Principal(principal::Command::Disable { by, .. }) => (by, "principal.disable"),
        Command::Principal(principal::Command::Enable { by, .. }) => (by, "principal.enable"),
        Command::Bundle(bundle::Command::Activate { by, .. }) => (by, "policy.apply"),
        Command::Request(
            request::Command::Withdraw { .. }
            | request::Command::Use { .. }
            | request::Command::Settle { .. }
            | request::Command::Conclude { .. }
            | request::Command::Void { .. },
        )
        | Command::Session(session::Command::Open(_) | session::Command::Close { .. })
        | Command::Directory(_)
        | Command::Sweep
        | Command::Restart => return None,
    };
    Some((by, ActionName::new(action)))
}
