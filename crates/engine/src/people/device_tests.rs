//! Sending a test to a device of one's own: asked of whoever tells people, and what came of it is said and recorded.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign_core::{At, DeviceId, Span};
use tokio::sync::{mpsc, oneshot};

use super::Caller;
use super::devices::Notice;
use crate::engine::Engine;
use crate::words::{Refused, RefusedCode};

/// How many may wait to be sent.
const WAITING_MAX: usize = 16;

/// How long a push service may take to take it, in seconds.
const ANSWER_S_MAX: u64 = 15;

/// How often one device may be sent one.
const EVERY: Span = Span::seconds(5);

/// How long a test is worth being told, in seconds.
const LASTS_S: u32 = 60;

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tested {
    /// The device's push service has taken it.
    Taken,
    /// Its push service does not know the device any more: it is taken away.
    Gone,
    /// It could not be sent.
    Failed(String),
}

/// A test that is to be sent.
#[derive(Debug)]
pub struct Test {
    /// What, and to which device.
    pub notice: Notice,
    answer: oneshot::Sender<Tested>,
}

/// Where tests are asked for, and when each device was sent its last one.
#[derive(Default)]
pub(super) struct Tests {
    teller: Mutex<Option<mpsc::Sender<Test>>>,
    sent: Mutex<BTreeMap<DeviceId, At>>,
}

impl Test {
    /// Says what came of it.
    pub fn answer(self, tested: Tested) {
        // Whoever asked may have given up.
        let _gone = self.answer.send(tested);
    }
}

impl Engine {
    /// For whoever tells people: the tests to send, until the receiver is dropped.
    #[must_use]
    pub fn device_tests(&self) -> mpsc::Receiver<Test> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let teller = &self.0.people.devices.tests.teller;
        *teller.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Sends a test to a device of the caller's.
    ///
    /// # Errors
    /// It is none of theirs, nobody is told on devices here, there was one a moment ago, or it can't be recorded.
    pub async fn test_device(&self, caller: &Caller, id: DeviceId) -> Result<Tested, Refused> {
        let notice = self.test_notice(caller, id)?;
        let unavailable = || {
            Refused::new(RefusedCode::Unavailable, "nobody is told on devices here")
                .hint("whoever runs the gateway can set [push] in its configuration")
        };
        let teller =
            self.0.people.devices.tests.teller.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let teller = teller.ok_or_else(unavailable)?;
        self.0.people.devices.tests.admit(id, self.now())?;
        let (answer, answered) = oneshot::channel();
        let asked = async {
            teller.send(Test { notice, answer }).await.map_err(|_| unavailable())?;
            answered.await.map_err(|_| unavailable())
        };
        let tested = tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), asked).await;
        let late = || Ok(Tested::Failed("its push service does not answer in time".into()));
        let tested = tested.unwrap_or_else(|_| late())?;
        self.note(self.tested_note(caller, id, tested == Tested::Taken)).await?;
        if tested == Tested::Gone {
            self.drop_device(&caller.principal, id).await?;
        }
        Ok(tested)
    }

    fn test_notice(&self, caller: &Caller, id: DeviceId) -> Result<Notice, Refused> {
        let payload = serde_json::json!({
            "title": "A test of Countersign",
            "body": "What waits for your word is told on this device.",
            "link": "/account",
            "tag": "test",
        });
        let payload = payload.to_string().into_bytes();
        self.0
            .people
            .devices
            .notice(&caller.principal, id, (payload, LASTS_S))
            .ok_or_else(|| Refused::new(RefusedCode::NotFound, "there is no such device of yours"))
    }
}

impl Tests {
    /// Lets one through, unless the device was sent one a moment ago.
    fn admit(&self, id: DeviceId, now: At) -> Result<(), Refused> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|_, at| now < at.plus(EVERY));
        if sent.contains_key(&id) {
            return Err(Refused::new(RefusedCode::Conflict, "this device was sent a test a moment ago")
                .hint(format!("wait {EVERY}")));
        }
        sent.insert(id, now);
        Ok(())
    }
}
