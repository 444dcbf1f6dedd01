//! The server itself, over sockets: plain and TLS, both versions of HTTP, and an orderly stop.

use std::sync::Arc;
use std::time::Duration;

use countersign_portal::serve;
use futures_util::StreamExt as _;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::house::House;

const SOON: Duration = Duration::from_secs(20);

struct Served {
    port: u16,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn served(house: &House, tls: Option<Arc<ServerConfig>>) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { drop(stopped.await) };
    let task = tokio::spawn(serve(listener, house.router.clone(), tls, shutdown));
    Served { port, stop, task }
}

impl Served {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(SOON, self.task).await.expect("it stops").unwrap().unwrap();
    }
}

fn certificate() -> (String, Arc<ServerConfig>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (cert.pem(), Arc::new(config))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_tls_and_both_versions_of_http() {
    let house = House::open().await;
    let (pem, tls) = certificate();
    let served = served(&house, Some(tls)).await;
    let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let url = format!("https://localhost:{}/api/v1/health", served.port);
    let client = || reqwest::Client::builder().tls_certs_only([trusted.clone()]);
    let modern = client().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!((modern.status().as_u16(), modern.version()), (200, reqwest::Version::HTTP_2));
    let older = client().http1_only().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!((older.status().as_u16(), older.version()), (200, reqwest::Version::HTTP_11));
    let stranger = reqwest::Client::builder().build().unwrap().get(&url).send().await;
    assert!(stranger.is_err(), "an unknown authority is not trusted");
    let mut plain = TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _reset = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "nothing is said in the clear");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_streams_and_refuses_newcomers() {
    let house = House::open().await;
    let served = served(&house, None).await;
    let port = served.port;
    let url = format!("http://127.0.0.1:{port}/api/v1/events");
    let stream = reqwest::Client::new().get(url).bearer_auth(house.token("bob")).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let mut frames = stream.bytes_stream();
    assert!(frames.next().await.unwrap().is_ok());
    served.stop().await;
    let rest = tokio::time::timeout(SOON, async { while frames.next().await.is_some() {} }).await;
    assert!(rest.is_ok(), "the stream ends");
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let house = House::open().await;
    let served = served(&house, None).await;
    let mut socket = TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    // The server may have hung up before all of it was written.
    let _reset = socket.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _reset = socket.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_hung_up_on() {
    let house = House::open().await;
    let served = served(&house, None).await;
    for garbage in
        [&b"\x16\x03\x01\x00\x05hello\r\n\r\n"[..], b"\0\0\0\x08\x04\xd2\x16\x2f\r\n\r\n", b"GET\r\n\r\n"]
    {
        let mut socket = TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
        socket.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(SOON, socket.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "it does not hang");
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    served.stop().await;
}
