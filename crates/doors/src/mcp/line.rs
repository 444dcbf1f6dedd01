//! The client's side of a session: by what its calls are known, what is under way, and where it hears of that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use countersign_core::session::Ending;
use countersign_core::{PrincipalId, ResourceId};
use countersign_wire::mcp::Id;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::entry::Proved;

/// How many requests of one client may be under way at once.
const FLIGHTS_MAX: usize = 64;
/// What identifiers of the gateway's own requests begin with.
const OWN: &str = "countersign:";
/// How often it is looked whether a session is used, in seconds.
const IDLE_LOOK_S: u64 = 15;
/// How often it is looked whether a session's client is still let in, in milliseconds: it is cut within a second.
const LET_IN_LOOK_MS: u64 = 500;

/// Something for the client, in what answers one of its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// It takes a while: the answer begins as a stream.
    Open,
    /// A message that is not the answer.
    Interim(String),
    /// The answer. Nothing comes behind it.
    Final(String),
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Where its client hears of it.
    pub(crate) out: mpsc::Sender<Out>,
    /// The client wants it no longer.
    pub(crate) cancelled: CancellationToken,
    /// Under which token progress of it is told, as JSON.
    pub(crate) progress: Option<String>,
    /// It has been handed to the server.
    pub(crate) is_sent: AtomicBool,
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
}

/// What came of a request: the server's message, or why none comes.
pub(crate) type Answer = Result<Vec<u8>, String>;

/// One client at one endpoint, from its greeting on.
pub(crate) struct Line {
    /// What the client calls the session.
    pub(crate) name: String,
    pub(crate) shared: Arc<Shared>,
    /// By what its calls are known.
    pub(crate) proved: Proved,
    /// Who.
    pub(crate) principal: PrincipalId,
    /// Before what.
    pub(crate) resource: ResourceId,
    /// The revision of the protocol.
    pub(crate) revision: OnceLock<&'static str>,
    pub(crate) over: CancellationToken,
    ending: OnceLock<Ending>,
    flights: Mutex<BTreeMap<Id, Arc<Flight>>>,
    listener: Mutex<Option<mpsc::Sender<Out>>>,
    is_used: AtomicBool,
    own: AtomicU64,
}

/// Why a request can't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoFlight {
    #[error("a request with this identifier is under way")]
    Twice,
    #[error("{FLIGHTS_MAX} requests are under way, which is all that one session may have")]
    Many,
    #[error("identifiers that begin with `{OWN}` are the gateway's own")]
    Own,
}

impl Flight {
    pub(crate) fn new(out: mpsc::Sender<Out>, progress: Option<String>) -> Self {
        let (cancelled, is_sent) = (CancellationToken::new(), AtomicBool::new(false));
        Self { out, cancelled, progress, is_sent, answer: Mutex::default() }
    }

    /// Its answer, when it comes.
    pub(crate) fn expect(&self) -> oneshot::Receiver<Answer> {
        let (into, from) = oneshot::channel();
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(into);
        from
    }

    fn is_answered(&self, answer: Answer) {
        let waits = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _nobody_waits = waits.map(|waits| waits.send(answer));
    }
}

impl Line {
    pub(crate) fn new(
        shared: Arc<Shared>,
        proved: Proved,
        (principal, resource): (PrincipalId, ResourceId),
    ) -> Self {
        Self {
            name: shared.name(),
            shared,
            proved,
            principal,
            resource,
            revision: OnceLock::new(),
            over: CancellationToken::new(),
            ending: OnceLock::new(),
            flights: Mutex::default(),
            listener: Mutex::default(),
            is_used: AtomicBool::new(true),
            own: AtomicU64::new(0),
        }
    }

    /// Waits until it is over for a reason of its own, and says for which.
    pub(crate) async fn ended(&self) -> Ending {
        tokio::select! {
            biased;
            () = self.over.cancelled() => self.ending(),
            () = self.shared.stopping.cancelled() => Ending::Gateway,
            () = self.unused() => Ending::Idle,
            () = self.let_in_no_more() => Ending::Kill,
        }
    }

    /// Ends it, unless it has ended.
    pub(crate) fn end(&self, ending: Ending) {
        let _first = self.ending.set(ending);
        self.over.cancel();
    }

    /// Why it is over.
    pub(crate) fn ending(&self) -> Ending {
        self.ending.get().copied().unwrap_or(Ending::Error)
    }

    /// That its client is there.
    pub(crate) fn used(&self) {
        self.is_used.store(true, Ordering::Relaxed);
    }

    /// Waits until the client that it belongs to is let in no more. Never, if it was opened with a credential.
    async fn let_in_no_more(&self) {
        let Proved::Client(client) = &self.proved else { return std::future::pending().await };
        while self.shared.engine.still_stands(client) {
            tokio::time::sleep(Duration::from_millis(LET_IN_LOOK_MS)).await;
        }
    }

    async fn unused(&self) {
        let most = self.shared.settings.idle_s_max;
        let mut unused_s = 0;
        while unused_s < most {
            let nap = IDLE_LOOK_S.min(most);
            tokio::time::sleep(Duration::from_secs(nap)).await;
            let is_listening = self.listener().as_ref().is_some_and(|one| !one.is_closed());
            let is_busy = !self.flights().is_empty();
            let was_used = self.is_used.swap(false, Ordering::Relaxed);
            unused_s = if was_used || is_busy || is_listening { 0 } else { unused_s + nap };
        }
    }

    /// Begins a request of the client's.
    pub(crate) fn begin(&self, id: &Id, flight: &Arc<Flight>) -> Result<(), NoFlight> {
        if matches!(id, Id::Text(text) if text.starts_with(OWN)) {
            return Err(NoFlight::Own);
        }
        self.put(id, flight)
    }

    fn put(&self, id: &Id, flight: &Arc<Flight>) -> Result<(), NoFlight> {
        let mut flights = self.flights();
        if flights.contains_key(id) {
            return Err(NoFlight::Twice);
        }
        if flights.len() >= FLIGHTS_MAX {
            return Err(NoFlight::Many);
        }
        flights.insert(id.clone(), Arc::clone(flight));
        Ok(())
    }

    /// Begins a request of the gateway's own. Nobody hears of it.
    pub(crate) fn begin_own(&self) -> Result<(Id, Arc<Flight>), NoFlight> {
        let (nobody, _) = mpsc::channel(1);
        let id = Id::Text(format!("{OWN}{}", self.own.fetch_add(1, Ordering::Relaxed)));
        let flight = Arc::new(Flight::new(nobody, None));
        self.put(&id, &flight)?;
        Ok((id, flight))
    }

    /// A request is over.
    pub(crate) fn done(&self, id: &Id) {
        self.flights().remove(id);
    }

    /// A request that is under way.
    pub(crate) fn flight(&self, id: &Id) -> Option<Arc<Flight>> {
        self.flights().get(id).cloned()
    }

    /// What came of a request. One that nobody waits for is forgotten.
    pub(crate) fn answered(&self, id: &Id, answer: Answer) {
        if let Some(flight) = self.flight(id) {
            flight.is_answered(answer);
        }
    }

    /// Where the client hears of progress under this token.
    pub(crate) fn progress_of(&self, token: &str) -> Option<mpsc::Sender<Out>> {
        let flights = self.flights();
        let mut found = flights.values().filter(|flight| flight.progress.as_deref() == Some(token));
        found.next().map(|flight| flight.out.clone())
    }

    /// Where the client hears what is about no request, or about `of`: in what answers that, in its stream, or in what
    /// answers any other.
    pub(crate) fn ears(&self, of: Option<&Id>) -> Option<mpsc::Sender<Out>> {
        let own = of.and_then(|id| self.flight(id)).map(|flight| flight.out.clone());
        let listener = || self.listener().clone();
        let any = || {
            let flights = self.flights();
            let sent = flights.values().filter(|flight| flight.is_sent.load(Ordering::Relaxed));
            sent.map(|flight| flight.out.clone()).find(|out| !out.is_closed())
        };
        let open = |out: &mpsc::Sender<Out>| !out.is_closed();
        own.filter(open).or_else(|| listener().filter(open)).or_else(any)
    }

    /// The client listens from now on in this stream, and in no earlier one.
    pub(crate) fn listens(&self, out: mpsc::Sender<Out>) {
        *self.listener() = Some(out);
    }

    fn flights(&self) -> MutexGuard<'_, BTreeMap<Id, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listener(&self) -> MutexGuard<'_, Option<mpsc::Sender<Out>>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
