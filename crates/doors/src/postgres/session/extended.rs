//! The extended protocol: `Parse` and `Describe` pass once they are understood, `Bind` and `Execute` are one action.
//!
//! A `Bind` may already run code (constants are folded when a plan is made), so it waits here for its `Execute` and
//! both are judged, held and forwarded together. If something else comes first, the `Bind` is an action by itself, and
//! so is each later `Execute` of its portal. An approval is of a `Bind` with its `Execute`, and of one `Execute`: a `Bind`
//! alone can't wait for one (FETCH could run what it made, and nobody would count), and more rows of a portal are asked
//! for anew.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use countersign_engine::Parameter;
use countersign_wire::postgres::encode::client as to_server;
use countersign_wire::postgres::frontend::{Bind, Body, Execute, Message, Parse};
use countersign_wire::postgres::track::{Known, Route, Sent as Kind};
use countersign_wire::postgres::{Format, Frame, Limits, Phase, Target};

use super::super::classify::Statement;
use super::super::wording;
use super::action::{Action, Granted};
use super::acts::ActId;
use super::cursors::{Meant, has_open_types};
use super::said::{is_ours, ours_alone};
use super::sent::{Sent, Show};
use super::{End, Portal, Session};

/// How long a `Describe` and an `Execute` of a portal with a short name are, in bytes.
const FOLLOWING_BYTES: usize = 32;

/// A `Bind`, and perhaps a `Describe` of its portal, that waits for its `Execute`.
pub(super) struct Deferred {
    name: Bytes,
    portal: Arc<Portal>,
    bytes: BytesMut,
    /// Where the messages in `bytes` end.
    ends: Vec<usize>,
}

/// What is done with a portal at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// It is bound.
    Binds,
    /// It is bound and executed, perhaps in portions.
    Executes { portions: bool },
}

impl Session {
    pub(super) async fn parse(&mut self, raw: &Bytes, parse: &Parse<'_>) -> Result<(), End> {
        self.release_deferred().await?;
        if self.tracker.is_skipping() {
            return Ok(());
        }
        let text = raw.slice_ref(parse.text);
        self.ascertain().await?;
        let types = parse.types.iter().collect();
        let statement = Arc::new(Statement::new(text, types, self.known.shared_session()));
        let understood = self.understand(&statement).await?;
        if is_ours(&understood.facts) {
            return self.refuse(ours_alone(), false).await;
        }
        if understood.unparsed().is_some() || self.is_denied(&statement, &understood, raw) {
            // Not understood, so it is an action already to hand it to the server's parser; or denied, and that is recorded.
            let action = Action::new(&statement, understood, raw.clone());
            let Some(granted) = self.permit(action, false).await? else { return Ok(()) };
            return self.forward_parse(&granted.bytes.clone(), statement, Some(granted)).await;
        }
        self.forward_parse(raw, statement, None).await
    }

    async fn forward_parse(
        &mut self,
        raw: &Bytes,
        statement: Arc<Statement>,
        granted: Option<Granted>,
    ) -> Result<(), End> {
        let routed = self
            .route(|session| with_parse(raw, |parse| session.tracker.parse(parse, Arc::clone(&statement))))
            .await?;
        let act = granted.map(|granted| self.begin(granted));
        let Some(number) = routed else {
            self.abandon(act);
            return Ok(());
        };
        self.batch_open = true;
        if let Some(Body::Parse(parse)) = decoded(raw) {
            self.forget_prepared(parse.statement);
        }
        let sent = act.map_or_else(Self::passing, |act| Self::of_act(act, true, Show::Client));
        self.put(number, raw, sent);
        Ok(())
    }

    pub(super) async fn bind(&mut self, raw: &Bytes, bind: &Bind<'_>) -> Result<(), End> {
        self.release_deferred().await?;
        if self.tracker.is_skipping() {
            return Ok(());
        }
        let Some(statement) = self.statement(bind.statement).await? else { return Ok(()) };
        let mut parameters = Vec::with_capacity(bind.parameters.len());
        for (index, value) in bind.parameters.iter().enumerate() {
            let binary = bind.formats.of(index) == Some(Format::Binary);
            parameters.push(value.map(|bytes| Parameter { binary, bytes: raw.slice_ref(bytes) }));
        }
        let prepared = raw.slice_ref(bind.statement);
        let portal = Arc::new(Portal {
            statement,
            prepared,
            parameters: parameters.into(),
            formats: bind.result_formats.iter().collect(),
            understood: OnceLock::new(),
            types: OnceLock::new(),
        });
        let mut bytes = BytesMut::with_capacity(raw.len() + FOLLOWING_BYTES);
        bytes.extend_from_slice(raw);
        let mut ends = Vec::with_capacity(3);
        ends.push(bytes.len());
        self.deferred = Some(Deferred { name: raw.slice_ref(bind.portal), portal, ends, bytes });
        Ok(())
    }

    /// The statement that a `Bind` means. What SQL may have replaced since is made anew first; what is not known is refused.
    async fn statement(&mut self, name: &[u8]) -> Result<Option<Arc<Statement>>, End> {
        loop {
            match self.tracker.statement(name) {
                Known::Certain(statement) => return Ok(Some(Arc::clone(statement))),
                Known::Doubtful(statement) => {
                    let statement = Arc::clone(statement);
                    self.ascertain().await?;
                    let statement = statement.read_again(self.known.shared_session());
                    self.remake(name, &statement).await?;
                    return Ok(Some(statement));
                }
                Known::Unsettled => self.settle_or_wait().await?,
                Known::Unknown => break,
            }
        }
        let shown = name.escape_ascii().to_string();
        let report = wording::error("26000", format!("prepared statement \"{shown}\" does not exist"))
            .hint("statements prepared with SQL are run with EXECUTE; otherwise prepare it again");
        self.refuse(report, false).await?;
        Ok(None)
    }

    /// Closes a name and prepares its statement again under it, unseen by the client unless it fails.
    async fn remake(&mut self, name: &[u8], statement: &Arc<Statement>) -> Result<(), End> {
        let quiet = || Sent { act: None, ends: false, show: Show::Quiet };
        let (mut close, mut parse) = (BytesMut::new(), BytesMut::new());
        let written = to_server::close(&mut close, Target::Statement(name))
            .and_then(|()| to_server::parse(&mut parse, name, &statement.raw, &statement.types));
        if written.is_err() {
            return Err(End::Broken(Box::new(wording::fatal(wording::LIMIT, "the statement is too long"))));
        }
        self.batch_open = true;
        self.forward(Kind::Close(Target::Statement(name)), &close, quiet()).await?;
        let parse = parse.freeze();
        let routed = self
            .route(|session| {
                with_parse(&parse, |decoded| session.tracker.parse(decoded, Arc::clone(statement)))
            })
            .await?;
        if let Some(number) = routed {
            self.put(number, &parse, quiet());
        }
        Ok(())
    }

    pub(super) async fn describe(&mut self, raw: &Bytes, target: Target<'_>) -> Result<(), End> {
        // One Describe is what clients send; more would be kept without end.
        if let (Target::Portal(name), Some(deferred)) = (target, &mut self.deferred)
            && deferred.name == name
            && deferred.ends.len() == 1
        {
            deferred.bytes.extend_from_slice(raw);
            deferred.ends.push(deferred.bytes.len());
            return Ok(());
        }
        self.release_deferred().await?;
        self.pass(Kind::Describe(target), raw).await
    }

    pub(super) async fn close(&mut self, raw: &Bytes, target: Target<'_>) -> Result<(), End> {
        self.release_deferred().await?;
        if let Target::Statement(name) = target {
            self.forget_prepared(name);
        }
        self.pass(Kind::Close(target), raw).await
    }

    pub(super) async fn flush(&mut self, raw: &Bytes) -> Result<(), End> {
        self.release_deferred().await?;
        self.forward(Kind::Flush, raw, Self::passing()).await?;
        self.flushed = true;
        Ok(())
    }

    pub(super) async fn sync(&mut self, raw: &Bytes) -> Result<(), End> {
        self.release_deferred().await?;
        self.forward(Kind::Sync, raw, Self::passing()).await?;
        self.batch_open = false;
        Ok(())
    }

    async fn pass(&mut self, kind: Kind<'_>, raw: &Bytes) -> Result<(), End> {
        if !self.tracker.is_skipping() {
            self.batch_open = true;
        }
        self.forward(kind, raw, Self::passing()).await
    }

    pub(super) async fn execute(&mut self, raw: &Bytes, execute: &Execute<'_>) -> Result<(), End> {
        match self.deferred.take() {
            Some(mut deferred) if deferred.name == execute.portal => {
                deferred.bytes.extend_from_slice(raw);
                deferred.ends.push(deferred.bytes.len());
                let portions = execute.rows_max != 0;
                return self.run_portal(deferred, Runs::Executes { portions }).await;
            }
            other => self.deferred = other,
        }
        self.release_deferred().await?;
        if self.tracker.is_skipping() {
            return Ok(());
        }
        self.ascertain().await?;
        let meant = self.portal(execute.portal).await?;
        let action = self.more_of(&raw.slice_ref(execute.portal), meant, raw).await?;
        let statement = action.statement();
        let Some(granted) = self.permit(action, false).await? else { return Ok(()) };
        let understood = granted.understood();
        let act = self.send_execute(granted).await?;
        self.remember_names(&statement, &understood.facts, act).await
    }

    /// The portal that an `Execute` means.
    async fn portal(&mut self, name: &[u8]) -> Result<Meant, End> {
        loop {
            match self.tracker.portal(name) {
                Known::Certain(portal) => return Ok(Meant::Bound(Arc::clone(portal))),
                Known::Doubtful(portal) => return Ok(Meant::Unsure(Some(Arc::clone(portal)))),
                Known::Unknown => return Ok(Meant::Unsure(None)),
                Known::Unsettled => self.settle_or_wait().await?,
            }
        }
    }

    /// A message has come between a `Bind` and its `Execute`: the `Bind` is an action by itself.
    pub(super) async fn release_deferred(&mut self) -> Result<(), End> {
        match self.deferred.take() {
            Some(deferred) => self.run_portal(deferred, Runs::Binds).await,
            None => Ok(()),
        }
    }

    async fn run_portal(&mut self, deferred: Deferred, runs: Runs) -> Result<(), End> {
        if self.tracker.is_skipping() {
            return Ok(());
        }
        let executes = runs != Runs::Binds;
        let Deferred { portal, bytes, ends, .. } = deferred;
        let understood = self.understand(&portal.statement).await?;
        let action = Action::of_portal(&portal, understood, bytes.freeze()).alone(!executes);
        let Some(granted) = self.permit(action, false).await? else { return Ok(()) };
        let (bound, understood) = (granted.rows_max(), granted.understood());
        let _ = portal.understood.set(Arc::clone(&understood));
        let (statement, raw) = (Arc::clone(&portal.statement), granted.bytes.clone());
        let act = self.begin(granted);
        self.batch_open = true;
        if runs != (Runs::Executes { portions: false }) {
            self.keep_types(&portal).await?;
        }
        let mut start = 0;
        for (index, end) in ends.iter().enumerate() {
            let message = raw.slice(start..*end);
            start = *end;
            let last = index + 1 == ends.len();
            // What is captured ends when it is known whether it stands.
            let captured = last && executes && bound.is_some();
            let show = if captured { Show::Capture } else { Show::Client };
            let sent = Self::of_act(act, last && !captured, show);
            let routed = match index {
                0 => {
                    self.route(|session| {
                        with_bind(&message, |bind| session.tracker.bind(bind, Arc::clone(&portal)))
                    })
                    .await?
                }
                _ if last && executes => self.route(|session| session.tracker.send(Kind::Execute)).await?,
                _ => {
                    let target = Target::Portal(b"");
                    self.route(|session| session.tracker.send(Kind::Describe(target))).await?
                }
            };
            match routed {
                Some(number) => self.put(number, &message, sent),
                None => {
                    self.abandon(Some(act));
                    return Ok(());
                }
            }
        }
        if let Some(rows_max) = bound.filter(|_| executes) {
            self.keep_bound(act, rows_max).await?;
        }
        if executes { self.remember_names(&statement, &understood.facts, act).await } else { Ok(()) }
    }

    /// More of a portal may have to be shown to an approver when its statement is long gone, so the types that the server
    /// has given to its parameters are asked for beforehand, without waiting for them.
    async fn keep_types(&mut self, portal: &Arc<Portal>) -> Result<(), End> {
        if !has_open_types(&portal.statement.types, portal.parameters.len()) {
            return Ok(());
        }
        let target = Target::Statement(&portal.prepared);
        let mut message = BytesMut::new();
        if to_server::describe(&mut message, target).is_err() {
            return Ok(());
        }
        let sent = Sent { act: None, ends: false, show: Show::Types(Arc::clone(portal)) };
        self.forward(Kind::Describe(target), &message, sent).await
    }

    async fn send_execute(&mut self, granted: Granted) -> Result<ActId, End> {
        let (bound, raw) = (granted.rows_max(), granted.bytes.clone());
        let act = self.begin(granted);
        self.batch_open = true;
        let Some(number) = self.route(|session| session.tracker.send(Kind::Execute)).await? else {
            self.abandon(Some(act));
            return Ok(act);
        };
        let show = if bound.is_some() { Show::Capture } else { Show::Client };
        self.put(number, &raw, Self::of_act(act, bound.is_none(), show));
        if let Some(rows_max) = bound {
            self.keep_bound(act, rows_max).await?;
        }
        Ok(act)
    }

    /// Waits until what a name or a statement means is settled.
    async fn settle_or_wait(&mut self) -> Result<(), End> {
        if self.tracker.pending() > 0 { self.settle().await } else { self.turn().await }
    }
}

/// Hands a `Parse` message that was read before to the tracker.
fn with_parse<T>(raw: &[u8], then: impl FnOnce(&Parse<'_>) -> Result<Route, T>) -> Result<Route, T> {
    match decoded(raw) {
        Some(Body::Parse(parse)) => then(&parse),
        _ => Ok(Route::Drop),
    }
}

/// Hands a `Bind` message that was read before to the tracker.
fn with_bind<T>(raw: &[u8], then: impl FnOnce(&Bind<'_>) -> Result<Route, T>) -> Result<Route, T> {
    match decoded(raw) {
        Some(Body::Bind(bind)) => then(&bind),
        _ => Ok(Route::Drop),
    }
}

fn decoded(raw: &[u8]) -> Option<Body<'_>> {
    let (frame, _) = Frame::decode(raw, &Limits::new(Phase::Client)).ok()??;
    Message::of(frame).ok().map(|message| *message.body())
}
