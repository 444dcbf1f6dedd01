//! A place on this machine by which any tool connects without a password: `connect --listen`, and what `run` gives its command.
//!
//! A tool connects as to a server that asks for nothing. For each connection this goes to the door over TLS, with a fresh
//! credential that is bound to a key made here (the key of a TLS client certificate, which stays in this process), and then
//! passes bytes on both ways. What a tool, a log or a core dump of another program's holds opens nothing.
//!
//! Whoever reaches the place is let in as whoever started this, so that only their own processes do: a socket is in a folder
//! that nobody else enters, and of whoever comes to a port the system is asked whose it is. What not: nothing is judged here,
//! and no byte is changed once the door has let in.

mod door;
mod owner;

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::{Buf as _, BytesMut};
use countersign_wire::postgres::encode::server as to_tool;
use countersign_wire::postgres::encode::{Report, Severity};
use countersign_wire::postgres::startup::Opening;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::output::note;
use door::Door;

/// How many tools may be connected at a time.
const TOOLS_MAX: usize = 256;

/// How many packets a tool may send before the one that says what it wants: it asks for encryption twice at most.
const PACKETS_MAX: usize = 4;

/// How long a tool may take to say what it wants.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// The SQLSTATE of a server that can't be connected to.
const NOT_CONNECTED: &str = "08001";

/// The name that libpq gives a socket in a folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// Where tools connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// This port of this machine; 0 lets the system choose.
    Port(u16),
    /// A socket in this folder.
    Folder(PathBuf),
}

/// What tools are led to.
pub struct Wanted {
    /// The gateway, and who we are to it.
    pub client: Client,
    /// The resource.
    pub resource: String,
    /// The role, where several are held.
    pub role: Option<String>,
    /// The agent that it is for, if it is for one.
    pub agent: Option<String>,
}

/// A place that tools connect to.
pub struct Local {
    place: Place,
    door: Arc<Door>,
}

enum Place {
    Port(TcpListener),
    Socket(UnixListener, PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(port) = text.parse() {
            return Ok(Self::Port(port));
        }
        if text.contains('/') {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        Err(format!("`{text}` is neither a port nor a folder; write 5433, or ./socket"))
    }
}

impl Local {
    /// Takes the place, and sees that the gateway gives a credential.
    ///
    /// # Errors
    /// The place is taken or open to others, or the gateway refuses.
    pub async fn open(listen: &Listen, wanted: Wanted) -> Result<Self> {
        let door = Arc::new(Door::new(wanted)?);
        if door.credential().await?.get("token").is_some() {
            bail!("`--listen` is for databases; a server of tools is carried without it");
        }
        let place = match listen {
            Listen::Port(port) => {
                let listener = TcpListener::bind(("127.0.0.1", *port)).await;
                Place::Port(
                    listener.with_context(|| format!("could not listen on port {port} of this machine"))?,
                )
            }
            Listen::Folder(folder) => {
                let path = private(folder)?.join(SOCKET);
                let listener = UnixListener::bind(&path);
                let listener =
                    listener.with_context(|| format!("could not make the socket `{}`", path.display()))?;
                Place::Socket(listener, path)
            }
        };
        Ok(Self { place, door })
    }

    /// What tools that read URLs of libpq's are given. It holds no secret.
    pub async fn url(&self) -> Result<String> {
        let database = super::people::encoded(&self.door.database().await?);
        Ok(match &self.place {
            Place::Port(listener) => {
                format!("postgresql://127.0.0.1:{}/{database}?sslmode=disable", listener.local_addr()?.port())
            }
            Place::Socket(_, path) => {
                let folder = path.parent().unwrap_or(path).display().to_string();
                format!("postgresql:///{database}?host={}", super::people::encoded(&folder))
            }
        })
    }

    /// Lets tools through, for as long as this is waited for.
    pub async fn serve(self) {
        let (mut tools, room) = (JoinSet::new(), Arc::new(Semaphore::new(TOOLS_MAX)));
        loop {
            while tools.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let door = Arc::clone(&self.door);
            match &self.place {
                Place::Port(listener) => {
                    let Ok((socket, from)) = listener.accept().await else { continue };
                    let here = socket.local_addr();
                    if !here.is_ok_and(|here| owner::is_ours(from, here)) {
                        note("somebody else's program came to the port and was turned away");
                        continue;
                    }
                    tools.spawn(async move {
                        tool(socket, &door).await;
                        drop(place);
                    });
                }
                Place::Socket(listener, _) => {
                    let Ok((socket, _)) = listener.accept().await else { continue };
                    tools.spawn(async move {
                        tool(socket, &door).await;
                        drop(place);
                    });
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Socket(_, path) = self {
            let _gone_already = std::fs::remove_file(path);
        }
    }
}

/// A folder that nobody else enters.
fn private(folder: &Path) -> Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    if !folder.exists() {
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("could not make the folder `{}`", folder.display()))?;
    }
    let found = std::fs::metadata(&folder)?;
    let is_ours = found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw();
    if !is_ours || found.permissions().mode() & 0o077 != 0 {
        bail!(
            "others may enter `{}`; name a folder of yours that only you enter (mode 0700)",
            folder.display()
        );
    }
    Ok(folder)
}

/// One tool, from its first byte to its last.
async fn tool<S: AsyncRead + AsyncWrite + Unpin>(mut tool: S, door: &Door) {
    if let Err(error) = through(&mut tool, door).await {
        note(&crate::output::harmless(&format!("a tool could not be let through: {error:#}")));
        let mut said = BytesMut::new();
        let report =
            Report::new(Severity::Fatal, NOT_CONNECTED, crate::output::harmless(&format!("{error:#}")));
        if report.encode(&mut said).is_ok() {
            let _gone = tool.write_all(&said).await;
        }
    }
    let _gone = tool.shutdown().await;
}

async fn through<S: AsyncRead + AsyncWrite + Unpin>(tool: &mut S, door: &Door) -> Result<()> {
    let mut input = BytesMut::with_capacity(1_024);
    let started = tokio::time::timeout(STARTS_WITHIN, start(tool, &mut input));
    let Some(wish) = started.await.context("it did not say what it wants")?? else { return Ok(()) };
    match wish {
        Wish::Cancel { process, key } => door.cancel(process, &key).await,
        Wish::Session(parameters) => {
            let (mut server, said) = door.enter(&parameters).await?;
            tool.write_all(&said).await?;
            if !server.is_let_in {
                return Ok(());
            }
            server.stream.write_all(&input).await?;
            server.stream.flush().await?;
            let _ended = tokio::io::copy_bidirectional(tool, &mut server.stream).await;
            Ok(())
        }
    }
}

/// What a tool wants.
enum Wish {
    Cancel { process: u32, key: Vec<u8> },
    Session(door::Parameters),
}

/// Reads what a tool wants. What it sent behind that stays in `input`. Nothing, if it went away.
async fn start<S: AsyncRead + AsyncWrite + Unpin>(
    tool: &mut S,
    input: &mut BytesMut,
) -> Result<Option<Wish>> {
    for _ in 0..PACKETS_MAX {
        let (wish, used) = loop {
            if let Some((opening, used)) =
                Opening::decode(input).context("it does not speak PostgreSQL's protocol")?
            {
                let wish = match opening {
                    Opening::Ssl | Opening::Gss => None,
                    Opening::Cancel(request) => {
                        Some(Wish::Cancel { process: request.process, key: request.key.to_vec() })
                    }
                    Opening::Startup(startup) => Some(Wish::Session(door::Parameters::of(&startup))),
                };
                break (wish, used);
            }
            if tool.read_buf(input).await? == 0 {
                return Ok(None);
            }
        };
        input.advance(used);
        if wish.is_some() {
            return Ok(wish);
        }
        // On this machine nothing is encrypted: there is nobody in between.
        tool.write_all(&[to_tool::ENCRYPTION_REFUSED]).await?;
    }
    bail!("it asks for encryption again and again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_port_or_a_folder() {
        assert_eq!("0".parse(), Ok(Listen::Port(0)));
        assert_eq!("5433".parse(), Ok(Listen::Port(5433)));
        assert_eq!("./socket".parse(), Ok(Listen::Folder("./socket".into())));
        for bad in ["", "localhost:5433", "65536", "socket", "-1"] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_that_others_enter_is_none() {
        let folder = tempfile::TempDir::new().unwrap();
        let inner = folder.path().join("socket");
        assert_eq!(private(&inner).unwrap(), inner);
        assert_eq!(std::fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(private(&inner).unwrap_err().to_string().contains("others may enter"));
        assert!(private(&folder.path().join("no/such/folder")).is_err());
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(private(&folder.path().join("file")).is_err());
    }

    /// A tool may ask for encryption first; whatever else it begins with is told, and nothing is waited for beyond it.
    #[tokio::test]
    async fn a_tool_says_what_it_wants() {
        let begin = async |bytes: &[u8]| {
            let (mut near, mut far) = tokio::io::duplex(4_096);
            near.write_all(bytes).await.unwrap();
            near.shutdown().await.unwrap();
            let mut input = BytesMut::new();
            let wish = start(&mut far, &mut input).await;
            (wish, input)
        };
        let ssl = [0, 0, 0, 8, 4, 210, 22, 47];
        let startup = b"\0\0\0\x13\0\x03\0\0user\0alice\0\0";
        let mut startup = startup.to_vec();
        startup[3] = u8::try_from(startup.len()).unwrap();
        let (wish, rest) = begin(&[&ssl[..], &startup, b"behind"].concat()).await;
        assert!(matches!(wish, Ok(Some(Wish::Session(_)))));
        assert_eq!(&rest[..], b"behind");
        assert!(matches!(begin(b"").await.0, Ok(None)));
        assert!(begin(&ssl.repeat(PACKETS_MAX + 1)).await.0.is_err());
        for bad in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\0\xff", b"\xff\xff\xff\xff"] {
            assert!(begin(bad).await.0.is_err(), "{bad:?}");
        }
    }
}
