//! A client of this door that lives inside the gateway: the workbench of whoever is signed in to the console.
//!
//! Its bytes go through a pipe in memory into the very code that serves sockets, from the startup packet's wish on: the
//! same grant, the same judge, the same holds, masks, budgets and records. What it does not do is prove a credential,
//! because its sign-in has proved more. This module is the client's half: it says what is to be run ([`run`]) and tells
//! what comes back, bounded and without trusting a byte of it ([`line`]).
//!
//! What not: no way around the session. Nothing here reaches the server, the judge or the ledger.

mod line;
mod run;

use std::sync::Arc;

use countersign_engine::workbench::{Begun, Order, Said, Transaction, Wish};
use countersign_engine::{Refused, RefusedCode, Session};
use countersign_wire::postgres::backend::{Body, Message};
use countersign_wire::postgres::startup::ProtocolVersion;
use countersign_wire::postgres::{Limits, Phase};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use super::listen::{Arrived, enter};
use super::startup;
use super::stream::{Link, Stream};
use super::{KIND, Shared};
use line::{Line, Next};

/// How much may lie between the two halves, in bytes, each way: what a fast server is ahead of a slow browser.
const PIPE_BYTES: usize = 64 * 1024;

/// Takes in whoever wants to work from inside, until the door closes.
pub(super) async fn keep(shared: Arc<Shared>, places: Arc<Semaphore>, sessions: TaskTracker) {
    let mut wishes = shared.engine.workbench_wishes(KIND);
    loop {
        let wish = tokio::select! {
            () = shared.stopping.cancelled() => return,
            wish = wishes.recv() => wish,
        };
        let Some(wish) = wish else { return };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let full = Refused::new(RefusedCode::Unavailable, "the door has no place for one more session");
            drop(wish.answer(Err(full.hint("close a session that you no longer need, or try again later"))));
            continue;
        };
        let shared = Arc::clone(&shared);
        sessions.spawn(async move {
            serve(wish, shared).await;
            drop(place);
        });
    }
}

/// Both halves, until both are over.
async fn serve(wish: Wish, shared: Arc<Shared>) {
    let found = {
        let snapshot = shared.engine.snapshot();
        snapshot
            .book
            .catalogue
            .resources
            .get(&wish.entry.resource)
            .filter(|found| found.kind == KIND)
            .cloned()
    };
    let Some(described) = found else {
        let gone = format!("the resource `{}` is not there any more", wish.entry.resource);
        drop(wish.answer(Err(Refused::new(RefusedCode::NotFound, gone))));
        return;
    };
    let (inner, outer) = tokio::io::duplex(PIPE_BYTES);
    let (entered, entering) = oneshot::channel();
    let arrived = Arrived {
        link: Link::new(Stream::Inside(outer)),
        wish: wished(&wish),
        version: ProtocolVersion::V3_0,
        principal: wish.entry.principal.clone(),
        resource: wish.entry.resource.clone(),
        described,
        client: wish.entry.client.clone(),
        entered: Some(entered),
    };
    let bench = Bench {
        line: Line::new(Link::new(Stream::Inside(inner))),
        shared: Arc::clone(&shared),
        cancel: None,
        transaction: Transaction::None,
        principal: wish.entry.principal.clone(),
    };
    tokio::join!(Box::pin(enter(arrived, shared)), Box::pin(bench.work(wish, entering)));
}

/// What a startup packet would have said.
fn wished(wish: &Wish) -> startup::Wish {
    startup::Wish {
        user: wish.entry.principal.to_string(),
        database: wish.entry.resource.to_string(),
        application: wish.entry.client.application.clone(),
        role: wish.entry.role.clone(),
        reason: wish.entry.reason.clone(),
        ticket: wish.entry.ticket.clone(),
        ask: None,
        lasting: None,
        wait: None,
        settings: vec![("client_encoding".to_owned(), "UTF8".to_owned())],
    }
}

/// The client's half.
struct Bench {
    line: Line,
    shared: Arc<Shared>,
    /// How to cancel.
    cancel: Option<(u32, Vec<u8>)>,
    transaction: Transaction,
    principal: countersign_core::PrincipalId,
}

/// It is over: whoever works here has left, or the session has ended.
struct Over(Option<Said>);

impl Bench {
    async fn work(mut self, mut wish: Wish, entering: oneshot::Receiver<Session>) {
        let begun = tokio::select! {
            begun = self.begin() => begun,
            () = wish.gone() => return,
        };
        let begun = match (begun, entering.await) {
            (Ok(server), Ok(session)) => Ok(Begun { session, server }),
            (Err(Over(said)), _) => Err(refused(said)),
            (Ok(_), Err(_)) => Err(refused(None)),
        };
        let Some((mut orders, mut leave)) = wish.answer(begun) else { return };
        // Whatever ends this ends the pipe, and with it the session: what runs then is run for nobody.
        let _over = self.obey(&mut orders, &mut leave).await;
        self.cancel();
        self.line.leave().await;
    }

    /// Reads up to the first `ReadyForQuery`; says the server's version.
    async fn begin(&mut self) -> Result<String, Over> {
        let (limits, mut server, mut said) = (Limits::new(Phase::ServerLogin), String::new(), None);
        loop {
            let raw = match self.line.ready(&limits) {
                Next::Message(raw) => raw,
                Next::Partial if self.line.fill().await => continue,
                Next::Partial | Next::TooLong | Next::Malformed => return Err(Over(said)),
            };
            let Ok(Some((message, _))) = Message::decode(&raw, &limits) else { return Err(Over(said)) };
            match message.body() {
                Body::ReadyForQuery(_) => return Ok(server),
                Body::ErrorResponse(fields) => said = Some(line::said(fields)),
                Body::BackendKeyData(data) => self.cancel = Some((data.process, data.key.to_vec())),
                Body::ParameterStatus(status) if status.name == b"server_version" => {
                    server = String::from_utf8_lossy(status.value).into_owned();
                }
                _ => {}
            }
        }
    }

    /// Does what is ordered, until nobody orders any more or the session is over.
    async fn obey(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        leave: &mut watch::Receiver<bool>,
    ) -> Result<(), Over> {
        loop {
            let order = tokio::select! {
                biased;
                () = left(leave) => return Ok(()),
                order = orders.recv() => order,
                still = self.line.fill() => {
                    // Between orders a server may say something to everybody; it is over when it says goodbye.
                    if !still || self.idle().is_some() {
                        return Ok(());
                    }
                    continue;
                }
            };
            match order {
                None => return Ok(()),
                Some(Order::Cancel) => {}
                Some(Order::Run { text, rows_max, told }) => {
                    let mut run = run::Run::new(told, rows_max, (orders, leave));
                    run.all(self, &text).await?;
                }
            }
        }
    }

    /// Takes what was said between orders; the words, if they were the last.
    fn idle(&mut self) -> Option<Said> {
        let limits = Limits::new(Phase::Server);
        loop {
            match self.line.ready(&limits) {
                Next::Message(raw) => {
                    if let Ok(Some((message, _))) = Message::decode(&raw, &limits)
                        && let Body::ErrorResponse(fields) = message.body()
                    {
                        return Some(line::said(fields));
                    }
                }
                Next::Partial => return None,
                Next::TooLong | Next::Malformed => return Some(Said::default()),
            }
        }
    }

    /// What a client's cancel request does.
    fn cancel(&self) {
        let now = self.shared.engine.now();
        if let Some((process, key)) = &self.cancel {
            let here = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
            self.shared.cancels.cancel(*process, key, here, now);
        }
    }
}

/// Resolves when whoever works here leaves, or is gone.
async fn left(leave: &mut watch::Receiver<bool>) {
    // An error is that nobody can say it any more.
    let _gone = leave.wait_for(|leave| *leave).await;
}

/// The door's last words, to whoever is not let in.
fn refused(said: Option<Said>) -> Refused {
    let Some(said) = said else {
        return Refused::new(RefusedCode::Unavailable, "the session ended before it had begun")
            .hint("its operators find the reason in the gateway's log");
    };
    let code = match said.code.as_str() {
        super::wording::NO_ACCESS | super::wording::NO_PROOF => RefusedCode::NoGrant,
        super::wording::NO_SERVER | super::wording::UNAVAILABLE => RefusedCode::Unavailable,
        _ => RefusedCode::Conflict,
    };
    let refused = Refused::new(code, said.message);
    match said.hint {
        Some(hint) => refused.hint(hint),
        None => refused,
    }
}
