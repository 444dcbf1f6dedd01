//! Accepts connections and serves them: plain or TLS, HTTP/1.1 and HTTP/2, within limits, until told to stop.
//!
//! This is written out, rather than left to a ready-made server, because a slow or silent client must not
//! hold a place for ever, and because an event stream must end when the gateway does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// How many connections are served at once; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 4_096;

/// How long a client may take over its TLS handshake.
const HANDSHAKE_MS_MAX: u64 = 10_000;

/// How long a client may take to send the head of a call. It also ends connections that idle.
const HEAD_MS_MAX: u64 = 30_000;

/// How large the head of a call may be.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How many calls one HTTP/2 connection may have under way.
const CALLS_EACH_MAX: u32 = 64;

/// How long calls that are under way may go on once the gateway stops.
const GRACE_MS: u64 = 3_000;

/// How long to wait after an accept failed, most likely because there are no more file descriptors.
const ACCEPT_AGAIN_MS: u64 = 100;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Turns true when the gateway stops. Streams end then.
#[derive(Clone, Debug)]
pub struct Stopping(pub watch::Receiver<bool>);

/// Serves `router` on `listener` until `shutdown` resolves, and then for at most a few seconds more.
///
/// # Errors
/// None once it accepts; an address that is gone from under the listener is one.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<rustls::ServerConfig>>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    listener.local_addr()?;
    let (stop, stopping) = watch::channel(false);
    let house = House { router, tls: tls.map(TlsAcceptor::from), stopping: Stopping(stopping) };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        if let Some((stream, peer, place)) = accepted {
            connections.spawn(house.clone().receive(stream, peer, place));
        }
    }
    drop(listener);
    stop.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_millis(GRACE_MS), all).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection to the console could not be accepted");
            tokio::time::sleep(Duration::from_millis(ACCEPT_AGAIN_MS)).await;
            None
        }
    }
}

#[derive(Clone)]
struct House {
    router: Router,
    tls: Option<TlsAcceptor>,
    stopping: Stopping,
}

impl House {
    async fn receive(self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        // Small answers leave at once; a socket that cannot be told so still works.
        drop(stream.set_nodelay(true));
        match self.tls.clone() {
            None => self.talk(stream, peer).await,
            Some(tls) => {
                let limit = Duration::from_millis(HANDSHAKE_MS_MAX);
                match tokio::time::timeout(limit, tls.accept(stream)).await {
                    Ok(Ok(stream)) => self.talk(stream, peer).await,
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                    Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                }
            }
        }
        drop(place);
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: SocketAddr) {
        let mut stopping = self.stopping.0.clone();
        let service = hyper::service::service_fn(move |mut call: hyper::Request<Incoming>| {
            call.extensions_mut().insert(Peer(peer));
            call.extensions_mut().insert(self.stopping.clone());
            self.router.clone().oneshot(call.map(axum::body::Body::new) as Request)
        });
        let builder = builder();
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, error = %error, "a connection to the console ended badly");
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let patience = Duration::from_millis(HEAD_MS_MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_EACH_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(patience)
        .keep_alive_timeout(Duration::from_millis(HANDSHAKE_MS_MAX));
    builder
}
