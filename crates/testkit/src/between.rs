//! What may stand between two ends of a connection: a relay, also one that decrypts, and a server that never answers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::BytesMut;
use countersign_wire::postgres::encode::client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::authority::Issued;
use crate::peer;

/// Something that listens until it is dropped.
#[derive(Debug)]
pub struct Between {
    /// Where.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Between {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Between {
    /// A relay at this address of loopback that passes on what it gets.
    ///
    /// # Errors
    /// It can't listen.
    pub async fn relay(at: IpAddr, to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((at, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((mut one, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut other = TcpStream::connect(to).await?;
                    copy_bidirectional(&mut one, &mut other).await
                });
            }
        });
        Ok(Self { address, task })
    }

    /// One that decrypts: it shows this certificate to whoever asks for TLS, and speaks TLS to the other end.
    ///
    /// # Errors
    /// It can't listen, or show the certificate.
    pub async fn eavesdropper(to: SocketAddr, shown: &Issued) -> Result<Self> {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(shown.server_config()?));
        let connector = tokio_rustls::TlsConnector::from(Arc::new(peer::client_config(&[])?));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(overhear(socket, to, acceptor.clone(), connector.clone()));
            }
        });
        Ok(Self { address, task })
    }

    /// One that takes connections and says nothing.
    ///
    /// # Errors
    /// It can't listen.
    pub async fn silence() -> Result<Self> {
        Self::answering(&[]).await
    }

    /// One that says this to whatever is said first, and nothing else.
    ///
    /// # Errors
    /// It can't listen.
    pub async fn answering(answer: &'static [u8]) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut first = [0; 8];
                if !answer.is_empty() && socket.read_exact(&mut first).await.is_ok() {
                    let _gone = socket.write_all(answer).await;
                }
                kept.push(socket);
            }
        });
        Ok(Self { address, task })
    }
}

async fn overhear(
    mut socket: TcpStream,
    to: SocketAddr,
    acceptor: tokio_rustls::TlsAcceptor,
    connector: tokio_rustls::TlsConnector,
) -> Result<()> {
    let mut request = BytesMut::new();
    client::ssl_request(&mut request);
    let mut asked = [0; 8];
    socket.read_exact(&mut asked).await?;
    ensure!(asked == request[..], "it does not ask for TLS");
    let mut other = TcpStream::connect(to).await?;
    other.write_all(&request).await?;
    ensure!(other.read_u8().await? == b'S', "no TLS at the other end");
    socket.write_all(b"S").await?;
    let mut one = acceptor.accept(socket).await?;
    let mut other = connector.connect("localhost".try_into()?, other).await?;
    copy_bidirectional(&mut one, &mut other).await?;
    Ok(())
}
