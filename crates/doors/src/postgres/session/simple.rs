//! The simple protocol: one text, one or several statements, judged and held as a whole; unless they are the next steps of a
//! script ([`super::steps`]).

use std::sync::Arc;

use bytes::Bytes;
use countersign_wire::postgres::TransactionStatus;
use countersign_wire::postgres::track::Sent as Kind;

use super::super::classify::Statement;
use super::action::Action;
use super::said::{is_ours, ours_alone};
use super::sent::Show;
use super::{End, Session};

impl Session {
    pub(super) async fn query(&mut self, raw: &Bytes, text: Bytes) -> Result<(), End> {
        self.release_deferred().await?;
        if self.tracker.is_skipping() {
            return Ok(());
        }
        if self.said_to_us(raw, &text).await? {
            return Ok(());
        }
        self.ascertain().await?;
        let statement = Arc::new(Statement::new(text, Vec::new(), self.known.shared_session()));
        let understood = self.understand(&statement).await?;
        if is_ours(&understood.facts) {
            return self.refuse(ours_alone(), true).await;
        }
        if understood.facts.statements > 1 && Box::pin(self.as_steps(&statement)).await? {
            return Ok(());
        }
        let action = Action::new(&statement, understood, raw.clone());
        let Some(granted) = self.permit(action, true).await? else { return Ok(()) };
        if self.batch_open {
            // Something before it may fail yet, and then the server ignores this.
            self.settle().await?;
        }
        if self.tracker.is_skipping() {
            let act = self.begin(granted);
            self.abandon(Some(act));
            return Ok(());
        }
        let (bound, understood) = (granted.rows_max(), granted.understood());
        let raw = granted.bytes.clone();
        let act = self.begin(granted);
        match bound {
            None => {
                self.forward(Kind::Query, &raw, Self::of_act(act, true, Show::Client)).await?;
                self.batch_open = false;
            }
            Some(rows_max) if self.tracker.status() == TransactionStatus::Idle => {
                self.run_bounded(act, &raw, rows_max).await?;
            }
            Some(rows_max) => self.run_bounded_inside(act, &raw, rows_max).await?,
        }
        self.remember_names(&statement, &understood.facts, act).await
    }
}
