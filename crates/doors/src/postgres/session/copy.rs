//! The data of a `COPY ... FROM STDIN`, on its way to the server: passed on as it comes, at the pace of the server.

use bytes::Bytes;
use countersign_wire::postgres::track::Sent as Kind;

use super::pump::FORWARD_BYTES_MAX;
use super::{End, Session};

impl Session {
    /// A copy message, or the head of a long one.
    pub(super) async fn copy_data(&mut self, raw: &Bytes) -> Result<(), End> {
        let routed = self.route(|session| session.tracker.send(Kind::CopyData)).await?;
        self.long_copy = routed.is_some();
        self.copy_body(raw).await
    }

    /// Some of the body of a long copy message, which goes where its head went.
    pub(super) async fn copy_body(&mut self, raw: &Bytes) -> Result<(), End> {
        if self.long_copy {
            self.server.output.extend_from_slice(raw);
        }
        while self.server.output.len() > FORWARD_BYTES_MAX {
            self.turn().await?;
        }
        Ok(())
    }

    /// The end of the data, or the client's giving up.
    pub(super) async fn copy_end(&mut self, raw: &Bytes) -> Result<(), End> {
        self.forward(Kind::CopyEnd, raw, Self::passing()).await
    }
}
