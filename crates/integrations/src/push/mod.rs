//! Web Push: what waits for somebody is told on the devices that they have added (RFC 8030, 8188, 8291, 8292).
//!
//! The push service of a browser is somebody else's server, and its address comes from a browser: it is https, of a public
//! host unless the operator says otherwise, never followed elsewhere, and reads nothing, because what is sent is encrypted
//! for the device and of one length. A device that its service does not know any more is taken away. What can't be sent
//! now is tried a few times and then given up: it is in the inbox.

mod cipher;
mod net;
#[cfg(test)]
mod tests;
mod vapid;

use std::sync::Arc;
use std::time::Duration;

use countersign_engine::people::devices::{Notice, Notices, PushKey, Test, Tested};
use countersign_engine::{Engine, Entropy, Refused};
use reqwest::{Client, StatusCode};
use tokio::sync::Semaphore;

pub use cipher::{Ephemeral, Unsealable, seal};
pub use net::endpoint;
pub use vapid::authorization;

/// How many are sent at once.
const AT_ONCE_MAX: usize = 16;
/// How many may wait to be sent; what is more is not told.
const WAITING_MAX: usize = 1_024;
/// How long a push service may take.
const CALL: Duration = Duration::from_secs(10);
/// After how many seconds one is tried again that could not be taken.
const AGAIN_S: [u64; 2] = [3, 20];

/// What differs between installations.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// Whom the operators of push services may write to: `mailto:` or `https:` (RFC 8292, section 2.1).
    pub contact: String,
    /// Also addresses that are not public are sent to.
    pub private: bool,
}

/// Push can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The contact is of no use to anybody.
    #[error("`{0}` is not a contact; write `mailto:` and an address, or a page that begins with `https://`")]
    Contact(String),
    /// The program for sending can't be made.
    #[error("no client for push services can be made")]
    Client(#[source] reqwest::Error),
    /// The gateway's key can't be made or read.
    #[error("the gateway has no key for push services")]
    Key(#[source] Refused),
}

/// Tells people on their devices.
pub struct Pusher {
    notices: Notices,
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    http: Client,
    key: PushKey,
    settings: PushSettings,
    entropy: Arc<dyn Entropy>,
}

impl Pusher {
    /// Ready to tell; from here on people may add devices.
    ///
    /// # Errors
    /// [`PushError`].
    pub async fn new(
        engine: Engine,
        settings: PushSettings,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, PushError> {
        let is_contact = ["mailto:", "https://"].iter().any(|form| settings.contact.starts_with(form));
        if !is_contact || settings.contact.len() > 256 {
            return Err(PushError::Contact(settings.contact));
        }
        let http = net::client(settings.private, CALL).map_err(PushError::Client)?;
        let key = engine.push_key().await.map_err(PushError::Key)?;
        let notices = engine.notices();
        Ok(Self { notices, shared: Arc::new(Shared { engine, http, key, settings, entropy }) })
    }

    /// Tells, until the engine stops.
    pub async fn run(mut self) {
        let (sending, waiting) =
            (Arc::new(Semaphore::new(AT_ONCE_MAX)), Arc::new(Semaphore::new(WAITING_MAX)));
        let mut tests = self.shared.engine.device_tests();
        loop {
            let found = tokio::select! {
                found = self.notices.next() => found,
                Some(test) = tests.recv() => {
                    let (shared, sending) = (Arc::clone(&self.shared), Arc::clone(&sending));
                    tokio::spawn(async move { shared.test(test, &sending).await });
                    continue;
                }
            };
            let Some(found) = found else { return };
            for notice in found {
                let Ok(place) = Arc::clone(&waiting).try_acquire_owned() else {
                    tracing::warn!(?notice, "too much is to be told; this is not");
                    continue;
                };
                let (shared, sending) = (Arc::clone(&self.shared), Arc::clone(&sending));
                tokio::spawn(async move {
                    shared.tell(&notice, &sending).await;
                    drop(place);
                });
            }
        }
    }
}

impl std::fmt::Debug for Pusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pusher({:?})", self.shared.settings)
    }
}

/// What became of one try.
enum Sent {
    Taken,
    /// The device is not there any more.
    Gone,
    /// It may be taken later.
    Later(String),
    /// It never will be.
    Refused(String),
}

impl Shared {
    async fn tell(&self, notice: &Notice, sending: &Semaphore) {
        for again_s in AGAIN_S.into_iter().map(Some).chain([None]) {
            let sent = {
                let Ok(_place) = sending.acquire().await else { return };
                self.send(notice).await
            };
            match (sent, again_s) {
                (Sent::Taken, _) => return,
                (Sent::Gone, _) => {
                    // That it can't be recorded now shows itself at the next try.
                    let _kept = self.engine.drop_device(&notice.principal, notice.device).await;
                    return;
                }
                (Sent::Later(_), Some(again_s)) => tokio::time::sleep(Duration::from_secs(again_s)).await,
                (Sent::Later(why) | Sent::Refused(why), _) => {
                    tracing::warn!(?notice, %why, "somebody could not be told on a device");
                    return;
                }
            }
        }
    }

    /// Sends a test once: whoever asked for it waits, and may ask again.
    async fn test(&self, test: Test, sending: &Semaphore) {
        let Ok(_place) = sending.acquire().await else { return };
        let tested = match self.send(&test.notice).await {
            Sent::Taken => Tested::Taken,
            Sent::Gone => Tested::Gone,
            Sent::Later(why) | Sent::Refused(why) => Tested::Failed(why),
        };
        test.answer(tested);
    }

    async fn send(&self, notice: &Notice) -> Sent {
        let Some(url) = endpoint(&notice.endpoint, self.settings.private) else {
            return Sent::Refused("its address is not one that is sent to".to_owned());
        };
        let made = Ephemeral::new(self.entropy.as_ref());
        let body = made.and_then(|made| seal(&notice.payload, (&notice.key, &notice.secret), &made));
        let proof = authorization(&url, &self.settings.contact, (&self.key, self.engine.now()));
        let (Ok(body), Some(proof)) = (body, proof) else {
            return Sent::Refused("it can't be encrypted for the device".to_owned());
        };
        let request =
            self.http.post(url).header("authorization", proof).header("content-encoding", "aes128gcm");
        let request = request.header("content-type", "application/octet-stream").header("urgency", "high");
        let request = request.header("ttl", notice.lasts_s).header("topic", topic(&notice.topic)).body(body);
        match request.send().await {
            Ok(answer) => answered(answer.status()),
            Err(error) if error.is_timeout() => {
                Sent::Later("its push service does not answer in time".to_owned())
            }
            // What went wrong may hold the address; only the kind of it is told.
            Err(_) => Sent::Later("its push service can't be reached".to_owned()),
        }
    }
}

fn answered(status: StatusCode) -> Sent {
    match status.as_u16() {
        200..=299 => Sent::Taken,
        404 | 410 => Sent::Gone,
        429 | 500..=599 => Sent::Later(format!("its push service answered {}", status.as_u16())),
        other => Sent::Refused(format!("its push service answered {other}")),
    }
}

/// At most 32 letters of base64url (RFC 8030, section 5.4): identifiers of requests fit but for their separator.
fn topic(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}
