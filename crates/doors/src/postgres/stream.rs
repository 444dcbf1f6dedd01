//! One connection: the socket, with TLS or without, and what was read from it or is to be written to it.
//!
//! Everything is polled: a session drives both of its connections from one task, reading and writing whenever the
//! other side is ready, so that neither direction can block the other. A [`Link`] writes what it has, keeps what it
//! could not, and grows its read buffer only while the peer fills it: an idle connection holds no buffer.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

/// How much is read at once from a connection that says little, in bytes.
const READ_BYTES_MIN: usize = 8 * 1024;
/// What a busy connection's read buffer grows to, in bytes: large reads are what makes rows cheap.
const READ_BYTES_MAX: usize = 64 * 1024;
/// What was read in one go and is no longer than this is cut into messages as it is, in bytes: whoever keeps a message keeps
/// all of it.
const SHARED_BYTES_MAX: usize = 1_024;
/// Of what is longer, messages up to this length are copied, longer ones cut off, in bytes.
const COPIED_BYTES_MAX: usize = 4_096;
/// How a client's goodbye begins (`Terminate`).
pub(crate) const GOODBYE: u8 = b'X';
/// An empty write buffer larger than this is given back, in bytes.
const WRITE_BYTES_KEPT: usize = 4 * 1024;

/// A socket, inside TLS or not.
pub(crate) enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// TLS, towards a client.
    Server(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// TLS, towards a server.
    Client(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// A pipe within this program.
    Inside(DuplexStream),
}

impl Stream {
    /// Whether what is sent is encrypted.
    pub(crate) const fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_) | Self::Inside(_))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Server(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Self::Client(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Self::Inside(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Server(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            Self::Client(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            Self::Inside(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Server(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::Client(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::Inside(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Server(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Client(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Inside(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// How long a connection may be silent until the system asks whether the other end is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How long it waits for an answer before it asks again.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// How often it asks before it gives the connection up.
const KEEPALIVE_TIMES: u32 = 6;

/// Makes a socket ready for what a session does with it: what is written goes at once, and an end that has gone without a
/// word is noticed.
pub(crate) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let asked = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TIMES);
    SockRef::from(socket).set_tcp_keepalive(&asked)
}

/// A socket with its two buffers.
pub(crate) struct Link {
    stream: Stream,
    /// Read and not yet taken.
    pub(crate) input: BytesMut,
    /// To be written.
    pub(crate) output: BytesMut,
    read_bytes: usize,
    read_bytes_max: usize,
    /// All that is in `input`, and no more, is what one short read has brought.
    short: bool,
    unflushed: bool,
    eof: bool,
}

impl Link {
    /// A connection from which nothing was read.
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            read_bytes_max: READ_BYTES_MAX,
            short: false,
            unflushed: false,
            eof: false,
        }
    }

    /// From here on no read takes more than so many bytes.
    pub(crate) fn read_at_most(&mut self, bytes: usize) {
        self.read_bytes_max = bytes.clamp(1, READ_BYTES_MAX);
    }

    /// Whether what is sent is encrypted.
    pub(crate) const fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// Whether the peer has said that nothing more comes.
    pub(crate) const fn is_eof(&self) -> bool {
        self.eof
    }

    /// The application protocol that the client named inside TLS.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match &self.stream {
            Stream::Server(stream) => stream.get_ref().1.alpn_protocol(),
            Stream::Plain(_) | Stream::Client(_) | Stream::Inside(_) => None,
        }
    }

    /// SHA-256 of the certificate that the client showed inside TLS, whose key it has.
    pub(crate) fn certificate_shown(&self) -> Option<[u8; 32]> {
        let Stream::Server(stream) = &self.stream else { return None };
        let shown = stream.get_ref().1.peer_certificates()?.first()?;
        Some(Sha256::digest(shown.as_ref()).into())
    }

    /// The socket and what was read from it beyond what was taken.
    pub(crate) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.input)
    }

    /// Reads once. Ready with the number of bytes; 0 at the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        let read = if self.input.is_empty() && self.read_bytes == READ_BYTES_MIN {
            self.poll_fill_little(cx)
        } else {
            self.short = false;
            self.input.reserve(self.read_bytes);
            let mut into = (&mut self.input).limit(self.read_bytes_max);
            poll_read_buf(&mut self.stream, cx, &mut into)
        };
        if read.is_pending() && self.input.is_empty() {
            // Thousands of connections that do nothing hold no buffer.
            self.input = BytesMut::new();
        }
        let count = ready!(read).inspect_err(|_| self.eof = true)?;
        if count == 0 {
            self.eof = true;
        } else if count >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if count < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
        Poll::Ready(Ok(count))
    }

    /// Reads what is probably little, by way of the stack: a buffer is made when it is known how much has come.
    fn poll_fill_little(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES_MIN];
        let limit = self.read_bytes_max.min(READ_BYTES_MIN);
        let mut into = ReadBuf::uninit(space.get_mut(..limit).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut into))?;
        self.input = BytesMut::from(into.filled());
        self.short = into.filled().len() <= SHARED_BYTES_MAX;
        Poll::Ready(Ok(into.filled().len()))
    }

    /// Takes so many bytes off the front of what was read.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        let count = count.min(self.input.len());
        if count == self.input.len() && self.short {
            return std::mem::take(&mut self.input).freeze();
        }
        if self.short || count > COPIED_BYTES_MAX {
            return self.input.split_to(count).freeze();
        }
        let bytes = Bytes::copy_from_slice(self.input.get(..count).unwrap_or_default());
        self.input.advance(count);
        bytes
    }

    /// Whether nothing has come, the end neither.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.input.is_empty() && self.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Writes as much as goes. Ready when nothing is left, the TLS layer's own buffer included.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(count);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
            if self.output.capacity() > WRITE_BYTES_KEPT {
                self.output = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether something waits to be written.
    pub(crate) fn has_output(&self) -> bool {
        self.unflushed || !self.output.is_empty()
    }

    /// Forgets what was to be written, and reads no more: nobody is there.
    pub(crate) fn abandon(&mut self) {
        self.output.clear();
        self.unflushed = false;
        self.eof = true;
    }

    /// Resolves when the peer, a client, has left without having said anything but goodbye. What else it says is kept, and read
    /// only up to a limit; then it can't be told.
    pub(crate) async fn left(&mut self) {
        while self.input.len() < READ_BYTES_MIN {
            match self.fill().await {
                Ok(0) if self.input.first().is_some_and(|first| *first != GOODBYE) => break,
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    /// Reads once.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Writes everything.
    pub(crate) async fn drain(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_drain(cx)).await
    }

    /// Says goodbye to the peer and closes. Errors are of no interest: the connection is over either way.
    pub(crate) async fn close(&mut self) {
        let _ = self.drain().await;
        let _ = std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await;
    }
}

fn poll_read_buf(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    into: &mut Limit<&mut BytesMut>,
) -> Poll<io::Result<usize>> {
    let future = tokio::io::AsyncReadExt::read_buf(stream, into);
    let mut future = std::pin::pin!(future);
    std::future::Future::poll(future.as_mut(), cx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[tokio::test]
    async fn an_end_that_has_gone_without_a_word_is_asked_for() {
        let (one, _other) = pair().await;
        prepare(&one).unwrap();
        let socket = SockRef::from(&one);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
    }

    #[tokio::test]
    async fn what_is_taken_is_what_was_read_however_much_that_is() {
        let (one, mut other) = pair().await;
        let mut link = Link::new(Stream::Plain(one));
        let text: Vec<u8> = (0..200_000_u32).map(|n| n.to_be_bytes()[3]).collect();
        let (mut sent, mut taken) = (0, 0);
        for (write, take) in [(10, 3), (1_024, 1_031), (5_000, 5_000), (60_000, 100), (20, 59_920)] {
            other.write_all(&text[sent..sent + write]).await.unwrap();
            sent += write;
            while link.input.len() < take {
                link.fill().await.unwrap();
            }
            assert_eq!(&link.take(take)[..], &text[taken..taken + take]);
            taken += take;
        }
        assert_eq!((sent, &link.take(usize::MAX)[..]), (taken, &b""[..]));
    }

    #[tokio::test]
    async fn what_is_written_arrives_and_the_end_is_seen() {
        let (one, mut other) = pair().await;
        let mut link = Link::new(Stream::Plain(one));
        link.output.extend_from_slice(b"hello");
        link.drain().await.unwrap();
        let mut got = [0; 5];
        other.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
        assert!(link.is_quiet());
        link.read_at_most(1);
        other.write_all(b"there").await.unwrap();
        assert_eq!(link.fill().await.unwrap(), 1);
        drop(other);
        while link.fill().await.unwrap() > 0 {}
        assert_eq!(&link.input[..], b"there");
        assert!(link.is_eof() && !link.is_quiet());
    }
}
