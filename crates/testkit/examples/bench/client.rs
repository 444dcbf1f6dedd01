//! A client that does next to nothing with what it is sent, so that what stands in between is what is measured.
//!
//! One blocking connection: start, TLS, SCRAM, a query, a copy in either direction. Rows are counted, not kept.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BytesMut};
use countersign_wire::postgres::encode::client as to_server;
use countersign_wire::postgres::scram::{Client as Scram, ClientBinding, ServerProof};
use countersign_wire::postgres::startup::ProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::load::Login;

/// How long the other end may be silent, in seconds.
const SILENCE_S_MAX: u64 = 120;
/// How much is read at once, in bytes.
const READ_BYTES: usize = 256 * 1024;
/// Messages other than rows are short.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Tag and length of a message.
const HEAD_BYTES: usize = 5;

/// A connection that is ready for queries.
pub struct Client {
    stream: Stream,
    input: BytesMut,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// What came back for a query.
#[derive(Clone, Copy, Debug, Default)]
pub struct Came {
    /// Rows, or lines of a copy.
    pub rows: u64,
    /// All bytes of the answer, as they are before encryption.
    pub bytes: u64,
}

impl Client {
    /// Connects and signs in.
    pub fn connect(port: u16, login: &Login, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(SILENCE_S_MAX)))?;
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let mut ask = BytesMut::new();
                to_server::ssl_request(&mut ask);
                socket.write_all(&ask)?;
                let mut answer = [0];
                socket.read_exact(&mut answer)?;
                ensure!(answer == *b"S", "the other end has no TLS");
                let name = ServerName::try_from("localhost")?;
                let connection = ClientConnection::new(Arc::clone(config), name)?;
                Stream::Tls(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        let mut client = Self { stream, input: BytesMut::with_capacity(READ_BYTES) };
        client.start(login)?;
        Ok(client)
    }

    fn start(&mut self, login: &Login) -> Result<()> {
        let mut out = BytesMut::new();
        let parameters: [(&[u8], &[u8]); 3] = [
            (b"user", login.user.as_bytes()),
            (b"database", login.database.as_bytes()),
            (b"application_name", b"countersign bench"),
        ];
        to_server::startup(&mut out, ProtocolVersion::V3_0, &parameters)?;
        self.stream.write_all(&out)?;
        let (mut scram, mut proof) = (None, None);
        loop {
            let (tag, body) = self.message()?;
            match tag {
                b'R' => self.prove(&body, login, (&mut scram, &mut proof))?,
                b'Z' => return Ok(()),
                b'E' => bail!("no session: {}", said(&body)),
                _ => {}
            }
        }
    }

    fn prove(
        &mut self,
        body: &[u8],
        login: &Login,
        (scram, proof): (&mut Option<Scram>, &mut Option<ServerProof>),
    ) -> Result<()> {
        let (kind, data) = body.split_first_chunk::<4>().context("no kind of proof")?;
        let mut out = BytesMut::new();
        match u32::from_be_bytes(*kind) {
            0 => return Ok(()),
            10 => {
                let nonce = uuid::Uuid::from_u128(u128::from(std::process::id()) << 64 | 1).to_string();
                let (started, first) = Scram::start(ClientBinding::Unsupported, &nonce)?;
                to_server::sasl_initial(&mut out, b"SCRAM-SHA-256", Some(&first))?;
                *scram = Some(started);
            }
            11 => {
                let challenge = scram.take().context("out of order")?.challenge(data)?;
                let keys = challenge.keys(login.password.as_bytes())?;
                let (expected, answer) = challenge.answer(&keys);
                to_server::sasl_response(&mut out, &answer)?;
                *proof = Some(expected);
            }
            12 => return Ok(proof.take().context("out of order")?.verify(data)?),
            other => bail!("an unknown kind of proof: {other}"),
        }
        Ok(self.stream.write_all(&out)?)
    }

    /// Runs a query and reads its answer to the end.
    pub fn query(&mut self, text: &str) -> Result<Came> {
        let mut out = BytesMut::new();
        to_server::query(&mut out, text.as_bytes())?;
        self.stream.write_all(&out)?;
        self.answer()
    }

    /// Copies `piece` so many times into what `text` (`COPY ... FROM STDIN`) names.
    pub fn copy_in(&mut self, text: &str, piece: &[u8], times: u64) -> Result<()> {
        let mut out = BytesMut::new();
        to_server::query(&mut out, text.as_bytes())?;
        self.stream.write_all(&out)?;
        loop {
            match self.message()? {
                (b'G', _) => break,
                (b'E', body) => bail!("no copy: {}", said(&body)),
                _ => {}
            }
        }
        out.clear();
        to_server::copy_data(&mut out, piece)?;
        for _ in 0..times {
            self.stream.write_all(&out)?;
        }
        out.clear();
        to_server::copy_done(&mut out);
        self.stream.write_all(&out)?;
        self.answer().map(|_| ())
    }

    /// The same without a buffer: it reads nothing for a while.
    pub fn at_rest(mut self) -> Self {
        self.input = BytesMut::new();
        self
    }

    /// Says goodbye and waits until the other end has closed.
    pub fn close(mut self) -> Result<()> {
        let mut out = BytesMut::new();
        to_server::terminate(&mut out);
        self.stream.write_all(&out)?;
        let mut rest = [0; 64];
        // However it closes, it is closed.
        while self.stream.read(&mut rest).is_ok_and(|count| count > 0) {}
        Ok(())
    }

    /// Reads up to `ReadyForQuery`, and counts.
    fn answer(&mut self) -> Result<Came> {
        let mut came = Came::default();
        loop {
            while let Some((tag, length)) = head(&self.input)? {
                if self.input.len() < length {
                    break;
                }
                came.bytes += u64::try_from(length)?;
                match tag {
                    b'D' | b'd' => came.rows += 1,
                    b'Z' => {
                        self.input.advance(length);
                        return Ok(came);
                    }
                    b'E' => bail!("{}", said(self.input.get(HEAD_BYTES..length).unwrap_or_default())),
                    _ => {}
                }
                self.input.advance(length);
            }
            self.fill()?;
        }
    }

    fn message(&mut self) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some((tag, length)) = head(&self.input)?
                && self.input.len() >= length
            {
                let message = self.input.split_to(length);
                return Ok((tag, message.get(HEAD_BYTES..).unwrap_or_default().to_vec()));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        let had = self.input.len();
        self.input.resize(had + READ_BYTES, 0);
        let read = self.stream.read(self.input.get_mut(had..).unwrap_or_default());
        self.input.truncate(had + read.as_ref().copied().unwrap_or_default());
        ensure!(read? > 0, "the other end closed the connection");
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Tag and whole length of the message at the front, once its head is there.
fn head(input: &[u8]) -> Result<Option<(u8, usize)>> {
    let [tag, length @ ..] = input else { return Ok(None) };
    let Some((length, _)) = length.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length))? + 1;
    ensure!((HEAD_BYTES..=MESSAGE_BYTES_MAX).contains(&length), "a message of {length} bytes");
    Ok(Some((*tag, length)))
}

/// The words of an error.
fn said(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0);
    let words = fields.filter_map(|field| field.strip_prefix(b"M"));
    words.map(|words| String::from_utf8_lossy(words).into_owned()).collect()
}
