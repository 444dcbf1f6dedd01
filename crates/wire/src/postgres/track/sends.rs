//! The client's direction: what to do with a message, and what it will change.

use super::names::Known;
use super::queue::{Flow, Kind};
use super::{NAME_BYTES_MAX, Refused, Route, Tracker};
use crate::postgres::Target;
use crate::postgres::frontend::{Bind, Body, Parse};

/// What an entry weighs beside its texts, in bytes.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// A client message as far as the protocol's state is concerned; `Parse` and `Bind` carry something of the
/// gateway and have [`Tracker::parse`] and [`Tracker::bind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent<'a> {
    /// `Query`.
    Query,
    /// `Describe`.
    Describe(Target<'a>),
    /// `Execute`.
    Execute,
    /// `Close`.
    Close(Target<'a>),
    /// `Flush`.
    Flush,
    /// `Sync`.
    Sync,
    /// `FunctionCall`.
    FunctionCall,
    /// `CopyData`, or the head of a long one: the rest of it goes the same way.
    CopyData,
    /// `CopyDone` or `CopyFail`.
    CopyEnd,
    /// `Terminate`.
    Terminate,
}

impl<'a> Sent<'a> {
    /// The message as the tracker takes it; `None` for `Parse`, `Bind`, and answers to authentication.
    #[must_use]
    pub const fn of(body: &Body<'a>) -> Option<Self> {
        Some(match body {
            Body::Query(_) => Self::Query,
            Body::Describe(target) => Self::Describe(*target),
            Body::Execute(_) => Self::Execute,
            Body::Close(target) => Self::Close(*target),
            Body::Flush => Self::Flush,
            Body::Sync => Self::Sync,
            Body::FunctionCall(_) => Self::FunctionCall,
            Body::CopyData(_) => Self::CopyData,
            Body::CopyDone | Body::CopyFail(_) => Self::CopyEnd,
            Body::Terminate => Self::Terminate,
            Body::Parse(_) | Body::Bind(_) | Body::Login(_) => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::Describe(_) => "Describe",
            Self::Execute => "Execute",
            Self::Close(_) => "Close",
            Self::Flush => "Flush",
            Self::Sync => "Sync",
            Self::FunctionCall => "FunctionCall",
            Self::CopyData => "CopyData",
            Self::CopyEnd => "CopyDone",
            Self::Terminate => "Terminate",
        }
    }
}

impl<S: Clone, P: Clone> Tracker<S, P> {
    /// A `Parse` is about to be forwarded, with what the gateway knows of its statement. Nothing has changed
    /// unless the route is [`Route::Forward`].
    ///
    /// # Errors
    /// [`Refused`]: the client may not do this now.
    pub fn parse(&mut self, parse: &Parse<'_>, statement: S) -> Result<Route, Refused> {
        if let Some(route) = self.not_now("Parse")? {
            return Ok(route);
        }
        is_short(parse.statement)?;
        let bytes = parse.statement.len() + parse.text.len() + parse.types.len() * 4;
        let made = (statement, bytes + ENTRY_OVERHEAD_BYTES);
        let change = self.statements.make(parse.statement, made, self.portals.weight_bytes())?;
        Ok(self.forward(Kind::Parse(change)))
    }

    /// A `Bind` is about to be forwarded, with what the gateway knows of the portal. Nothing has changed
    /// unless the route is [`Route::Forward`].
    ///
    /// # Errors
    /// [`Refused`]: the client may not do this now.
    pub fn bind(&mut self, bind: &Bind<'_>, portal: P) -> Result<Route, Refused> {
        if let Some(route) = self.not_now("Bind")? {
            return Ok(route);
        }
        is_short(bind.portal)?;
        is_short(bind.statement)?;
        let formats = (bind.formats.len() + bind.result_formats.len()) * 2;
        let bytes = bind.portal.len() + bind.statement.len() + bind.parameters.byte_len() + formats;
        let made = (portal, bytes + ENTRY_OVERHEAD_BYTES);
        let change = self.portals.make(bind.portal, made, self.statements.weight_bytes())?;
        Ok(self.forward(Kind::Bind(change)))
    }

    /// Any other message is about to be forwarded. Nothing has changed unless the route is [`Route::Forward`]
    /// or, for a `Sync`, [`Route::Drop`].
    ///
    /// # Errors
    /// [`Refused`]: the client may not do this now.
    pub fn send(&mut self, sent: Sent<'_>) -> Result<Route, Refused> {
        match sent {
            Sent::Terminate => return Ok(Route::Forward(None)),
            Sent::CopyData | Sent::CopyEnd => return Ok(self.copy(sent)),
            Sent::Sync => return Ok(self.sync()),
            // The server ignores it while it waits for copy data.
            Sent::Flush if self.is_copying_in() => return Ok(Route::Drop),
            _ => {}
        }
        if let Some(route) = self.not_now(sent.name())? {
            return Ok(route);
        }
        if let Sent::Describe(target) | Sent::Close(target) = sent {
            let (Target::Statement(name) | Target::Portal(name)) = target;
            is_short(name)?;
        }
        let kind = match sent {
            Sent::Describe(Target::Statement(_)) => Kind::DescribeStatement,
            Sent::Describe(Target::Portal(_)) => Kind::Describe,
            Sent::Close(Target::Statement(name)) => Kind::CloseStatement(self.statements.close(name)),
            Sent::Close(Target::Portal(name)) => Kind::ClosePortal(self.portals.close(name)),
            Sent::Execute => Kind::Execute(Flow::Start),
            Sent::FunctionCall => Kind::FunctionCall(Flow::Start),
            Sent::Query => Kind::Query(Flow::Start, self.statements.close(b""), self.portals.close(b"")),
            Sent::Flush | Sent::Sync | Sent::CopyData | Sent::CopyEnd | Sent::Terminate => {
                return Ok(Route::Forward(None));
            }
        };
        Ok(self.forward(kind))
    }

    /// What a `Bind` or `Describe` sent now would find under this name.
    #[must_use]
    pub fn statement(&self, name: &[u8]) -> Known<'_, S> {
        self.statements.known(name)
    }

    /// What an `Execute` or `Describe` sent now would find under this name.
    #[must_use]
    pub fn portal(&self, name: &[u8]) -> Known<'_, P> {
        self.portals.known(name)
    }

    /// A refusal that the gateway answers alone, without the server. For anything but a simple `Query` the
    /// rest of the batch is dropped until its `Sync`; after a refused `Query` the gateway says
    /// `ReadyForQuery` itself.
    ///
    /// Returns false, and changes nothing, unless the session [is quiet](Tracker::is_quiet): then forward a
    /// stand-in that fails instead.
    #[must_use]
    pub fn refuse_alone(&mut self, simple: bool) -> bool {
        let quiet = self.is_quiet();
        self.skipping |= quiet && !simple;
        quiet
    }

    /// What holds for every message that starts something.
    fn not_now(&self, name: &'static str) -> Result<Option<Route>, Refused> {
        if self.ended || self.skipping {
            return Ok(Some(Route::Drop));
        }
        if self.is_copying_in() {
            return Err(Refused::DuringCopy(name));
        }
        Ok(self.queue.is_full().then_some(Route::Wait))
    }

    fn forward(&mut self, kind: Kind<S, P>) -> Route {
        self.batch_open = !matches!(kind, Kind::Query(..) | Kind::FunctionCall(_) | Kind::Sync);
        Route::Forward(Some(self.queue.push(kind)))
    }

    fn sync(&mut self) -> Route {
        if self.ended || self.is_copying_in() {
            return Route::Drop;
        }
        if self.queue.is_full() {
            return Route::Wait;
        }
        self.skipping = false;
        self.statements.next_batch();
        self.portals.next_batch();
        self.forward(Kind::Sync)
    }

    fn copy(&mut self, sent: Sent<'_>) -> Route {
        if self.ended || self.skipping {
            return Route::Drop;
        }
        if !self.is_copying_in() {
            // The server ignores copy data that belongs to no copy; whether this does is not known before
            // what runs has answered.
            return if self.queue.may_start_copy() { Route::Wait } else { Route::Drop };
        }
        if sent == Sent::CopyEnd
            && let Some(Kind::Execute(flow) | Kind::Query(flow, ..)) =
                self.queue.head().map(|head| &mut head.kind)
        {
            *flow = Flow::CopyInEnded;
        }
        Route::Forward(None)
    }
}

const fn is_short(name: &[u8]) -> Result<(), Refused> {
    if name.len() > NAME_BYTES_MAX { Err(Refused::NameLength) } else { Ok(()) }
}
