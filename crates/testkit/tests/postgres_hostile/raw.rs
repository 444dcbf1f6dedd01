//! A client that says exactly what a test wants to say, message by message, whatever a driver would think of it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot say it has failed")]

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BytesMut};
use countersign_testkit::House;
use countersign_wire::postgres::encode::client::{self, Binding};
use countersign_wire::postgres::scram::{Client as Scram, ClientBinding};
use countersign_wire::postgres::startup::ProtocolVersion;
use countersign_wire::postgres::{Format, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a test waits for an answer.
const SOON: std::time::Duration = std::time::Duration::from_secs(10);

/// A message of the server's: its tag and its body.
pub(crate) type Message = (u8, Vec<u8>);

/// A connection.
pub(crate) struct Raw {
    socket: TcpStream,
    input: BytesMut,
    output: BytesMut,
    /// Process and key, for a cancel request.
    key: (u32, Vec<u8>),
}

impl Raw {
    /// Connects to the door, with settings.
    pub(crate) async fn start(house: &House, person: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let credential = house.credential(person).await?;
        let socket = TcpStream::connect(house.door).await?;
        let mut raw = Self { socket, input: BytesMut::new(), output: BytesMut::new(), key: (0, Vec::new()) };
        let mut parameters: Vec<(&[u8], &[u8])> =
            vec![(b"user", credential.user.as_bytes()), (b"database", b"shop")];
        parameters.extend(settings.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        client::startup(&mut raw.output, ProtocolVersion::V3_0, &parameters)?;
        raw.prove(credential.password.as_bytes()).await?;
        let said = raw.ready().await?;
        ensure!(errors(&said).is_empty(), "not let in: {:?}", errors(&said));
        let key = said.iter().find(|(tag, _)| *tag == b'K').context("no key to cancel with")?;
        raw.key = ((&key.1[..]).get_u32(), key.1[4..].to_vec());
        Ok(raw)
    }

    /// Asks to cancel, on a connection of its own, and waits until the gateway has taken it in.
    pub(crate) async fn cancel(&self) -> Result<()> {
        let peer = self.socket.peer_addr()?;
        let mut socket = TcpStream::connect(peer).await?;
        let mut request = BytesMut::new();
        client::cancel_request(&mut request, self.key.0, &self.key.1)?;
        socket.write_all(&request).await?;
        tokio::time::timeout(SOON, socket.read_to_end(&mut Vec::new())).await??;
        Ok(())
    }

    async fn prove(&mut self, password: &[u8]) -> Result<()> {
        self.expect_authentication(10).await?;
        let (exchange, first) = Scram::start(ClientBinding::Unsupported, "a-nonce-of-this-test")?;
        client::sasl_initial(&mut self.output, b"SCRAM-SHA-256", Some(&first))?;
        let challenge = exchange.challenge(&self.expect_authentication(11).await?)?;
        let keys = challenge.keys(password)?;
        let (_, answer) = challenge.answer(&keys);
        client::sasl_response(&mut self.output, &answer)?;
        self.expect_authentication(12).await?;
        Ok(())
    }

    async fn expect_authentication(&mut self, kind: u32) -> Result<Vec<u8>> {
        let (tag, body) = self.message().await?;
        ensure!(tag == b'R', "not let in: {}", String::from_utf8_lossy(&body));
        let mut body = &body[..];
        ensure!(body.get_u32() == kind, "another step of authentication");
        Ok(body.to_vec())
    }

    /// Writes what was said so far.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        Ok(self.socket.write_all(&output).await?)
    }

    /// Says that it says no more, and goes on reading.
    pub(crate) async fn half_close(&mut self) -> Result<()> {
        self.flush().await?;
        Ok(self.socket.shutdown().await?)
    }

    /// Says `Query`.
    pub(crate) fn query(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        client::query(&mut self.output, text.as_ref()).unwrap();
        self
    }

    /// Says `Parse`.
    pub(crate) fn parse(&mut self, name: &str, text: impl AsRef<[u8]>) -> &mut Self {
        client::parse(&mut self.output, name.as_bytes(), text.as_ref(), &[]).unwrap();
        self
    }

    /// Says `Bind`, without parameters.
    pub(crate) fn bind(&mut self, portal: &str, statement: &str) -> &mut Self {
        let binding =
            Binding { portal: portal.as_bytes(), statement: statement.as_bytes(), ..Binding::default() };
        client::bind(&mut self.output, &binding).unwrap();
        self
    }

    /// Says `Bind` of the unnamed statement and portal, with parameters in text form.
    pub(crate) fn bind_values(&mut self, parameters: &[Option<&[u8]>]) -> &mut Self {
        let binding = Binding { parameters, ..Binding::default() };
        client::bind(&mut self.output, &binding).unwrap();
        self
    }

    /// Says `Bind` with parameters in binary form.
    pub(crate) fn bind_binary(
        &mut self,
        portal: &str,
        statement: &str,
        parameters: &[Option<&[u8]>],
    ) -> &mut Self {
        let formats = vec![Format::Binary; parameters.len()];
        let (portal, statement) = (portal.as_bytes(), statement.as_bytes());
        let binding = Binding { portal, statement, formats: &formats, parameters, ..Binding::default() };
        client::bind(&mut self.output, &binding).unwrap();
        self
    }

    /// Says `Execute`, for all rows.
    pub(crate) fn execute(&mut self, portal: &str) -> &mut Self {
        self.execute_some(portal, 0)
    }

    /// Says `Execute`, for so many rows.
    pub(crate) fn execute_some(&mut self, portal: &str, rows: u32) -> &mut Self {
        client::execute(&mut self.output, portal.as_bytes(), rows).unwrap();
        self
    }

    /// Says `Describe` of a portal.
    pub(crate) fn describe_portal(&mut self, portal: &str) -> &mut Self {
        client::describe(&mut self.output, Target::Portal(portal.as_bytes())).unwrap();
        self
    }

    /// Says `Parse`, `Bind` and `Execute` of an unnamed statement.
    pub(crate) fn run(&mut self, text: &str) -> &mut Self {
        self.parse("", text).bind("", "").execute("")
    }

    /// Says `Describe` of a statement.
    pub(crate) fn describe(&mut self, statement: &str) -> &mut Self {
        client::describe(&mut self.output, Target::Statement(statement.as_bytes())).unwrap();
        self
    }

    /// Says `Close` of a statement.
    pub(crate) fn close(&mut self, statement: &str) -> &mut Self {
        client::close(&mut self.output, Target::Statement(statement.as_bytes())).unwrap();
        self
    }

    /// Says `Flush`.
    pub(crate) fn flush_server(&mut self) -> &mut Self {
        client::flush(&mut self.output);
        self
    }

    /// Says `Sync`.
    pub(crate) fn sync(&mut self) -> &mut Self {
        client::sync(&mut self.output);
        self
    }

    /// Says some bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.output.extend_from_slice(bytes);
        self
    }

    /// Everything up to `ReadyForQuery`, or to the end of the connection.
    pub(crate) async fn ready(&mut self) -> Result<Vec<Message>> {
        self.until(|tag| tag == b'Z').await
    }

    /// Everything up to a message with such a tag, or to the end of the connection.
    pub(crate) async fn until(&mut self, last: impl Fn(u8) -> bool) -> Result<Vec<Message>> {
        self.flush().await?;
        let mut said = Vec::new();
        loop {
            match self.message().await {
                Ok(message) => {
                    let done = last(message.0);
                    said.push(message);
                    if done {
                        return Ok(said);
                    }
                }
                Err(_) if said.iter().any(|(tag, _)| *tag == b'E') => return Ok(said),
                Err(error) => return Err(error.context(format!("after {said:?}"))),
            }
        }
    }

    async fn message(&mut self) -> Result<Message> {
        self.flush().await?;
        loop {
            if let Some((head, _)) = self.input.split_first_chunk::<5>() {
                let length = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]]))?;
                if self.input.len() > length {
                    let tag = self.input.get_u8();
                    let body = self.input.split_to(length)[4..].to_vec();
                    return Ok((tag, body));
                }
            }
            let read = tokio::time::timeout(SOON, self.socket.read_buf(&mut self.input));
            if read.await.context("no answer")?? == 0 {
                bail!("the connection is over");
            }
        }
    }
}

/// The messages of errors.
pub(crate) fn errors(said: &[Message]) -> Vec<String> {
    let errors = said.iter().filter(|(tag, _)| *tag == b'E');
    errors.map(|(_, body)| field(body, b'M')).collect()
}

/// The tags of commands that were completed.
pub(crate) fn completed(said: &[Message]) -> Vec<String> {
    let completed = said.iter().filter(|(tag, _)| *tag == b'C');
    completed.map(|(_, body)| String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()).collect()
}

fn field(body: &[u8], wanted: u8) -> String {
    let mut fields = body.split(|byte| *byte == 0);
    let found = fields.find(|field| field.first() == Some(&wanted));
    String::from_utf8_lossy(found.and_then(|field| field.get(1..)).unwrap_or_default()).into_owned()
}
