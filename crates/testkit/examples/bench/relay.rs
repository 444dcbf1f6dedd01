//! The blind relay: what a hop costs that copies bytes and understands nothing. The bench starts itself as one.

use std::io;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};

use crate::stats::Process;
use countersign_testkit::leash::{Dog, Leash, free_port};

/// A running relay.
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    leash: Leash,
}

impl Relay {
    /// Starts one in front of a port.
    pub fn start(upstream: u16) -> Result<Self> {
        let port = free_port()?;
        let own = std::env::current_exe()?;
        let program = [
            own.to_str().context("the bench's path is not UTF-8")?,
            "relay",
            &port.to_string(),
            &upstream.to_string(),
        ]
        .map(str::to_owned)
        .to_vec();
        let log = std::env::temp_dir().join(format!("countersign-bench-relay-{port}.log"));
        let dog =
            Dog { program, unprivileged: false, signal: "TERM", folder: Some(&log), log: &log, env: &[] };
        let leash = Leash::start(&dog)?;
        leash.listens(port, &log)?;
        Ok(Self { port, leash })
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.leash.pid())
    }
}

/// Is a relay.
pub fn run(listen: &str, upstream: &str) -> Result<()> {
    let (listen, upstream): (u16, u16) = (listen.parse()?, upstream.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", listen)).await?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(relay(client, upstream));
        }
    })
}

async fn relay(mut client: TcpStream, upstream: u16) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
