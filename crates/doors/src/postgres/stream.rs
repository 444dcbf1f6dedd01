//! One connection: the socket, with TLS or without, and what was read from it or is to be written to it.
//!
//! Everything is polled: a session drives both of its connections from one task, reading and writing whenever the
//! other side is ready, so that neither direction can block the other. A [`Link`] writes what it has, keeps what it
//! could not, and grows its read buffer only while the peer fills it: an idle connection holds little memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What an idle connection's read buffer has, in bytes.
const READ_BYTES_MIN: usize = 8 * 1024;
/// What a busy connection's read buffer grows to, in bytes: large reads are what makes rows cheap.
const READ_BYTES_MAX: usize = 64 * 1024;
/// An empty write buffer larger than this is given back, in bytes.
const WRITE_BYTES_KEPT: usize = 128 * 1024;

/// A socket, inside TLS or not.
pub(crate) enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// TLS, towards a client.
    Server(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    /// TLS, towards a server.
    Client(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether what is sent is encrypted.
    pub(crate) const fn is_tls(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Server(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Self::Client(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Server(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
            Self::Client(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Server(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::Client(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Server(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Client(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

/// A socket with its two buffers.
pub(crate) struct Link {
    stream: Stream,
    /// Read and not yet taken.
    pub(crate) input: BytesMut,
    /// To be written.
    pub(crate) output: BytesMut,
    read_bytes: usize,
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
            unflushed: false,
            eof: false,
        }
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
            Stream::Plain(_) | Stream::Client(_) => None,
        }
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
        self.input.reserve(self.read_bytes);
        let count =
            ready!(poll_read_buf(&mut self.stream, cx, &mut self.input)).inspect_err(|_| self.eof = true)?;
        if count == 0 {
            self.eof = true;
        } else if count >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if count < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
        Poll::Ready(Ok(count))
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

fn poll_read_buf(stream: &mut Stream, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
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
    async fn what_is_written_arrives_and_the_end_is_seen() {
        let (one, mut other) = pair().await;
        let mut link = Link::new(Stream::Plain(one));
        link.output.extend_from_slice(b"hello");
        link.drain().await.unwrap();
        let mut got = [0; 5];
        other.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
        other.write_all(b"there").await.unwrap();
        drop(other);
        while link.fill().await.unwrap() > 0 {}
        assert_eq!(&link.input[..], b"there");
        assert!(link.is_eof());
    }
}
