//! The server's direction: which message an answer belongs to, and what it confirms.

use super::queue::{Flow, Kind, Pending};
use super::{Answer, Desync, SETTING_BYTES_MAX, SETTINGS_MAX, Tracker};
use crate::postgres::ErrorFields;
use crate::postgres::TransactionStatus;
use crate::postgres::backend::{Body, ParameterStatus};

/// What the head of the queue makes of a message.
enum Step {
    /// More will come.
    Part,
    /// That was its last.
    Last,
    /// It can't be.
    No,
}

impl<S: Clone, P: Clone> Tracker<S, P> {
    /// The server has said this; call it before it is released to the client.
    ///
    /// # Errors
    /// [`Desync`]: it answers nothing; release nothing more and end the session.
    pub fn answer(&mut self, body: &Body<'_>) -> Result<Answer, Desync> {
        if self.ended {
            return Err(Desync::AfterEnd);
        }
        match body {
            Body::NoticeResponse(_) | Body::NotificationResponse(_) => Ok(Answer::Unrelated),
            Body::ParameterStatus(status) => self.report_setting(status),
            Body::ErrorResponse(fields) => self.error(fields),
            Body::ReadyForQuery(status) => self.ready(*status),
            other => self.part(other.name(), |kind| step(kind, other)),
        }
    }

    /// The server has said a row (`D`), copy data (`d`) or a function's result (`V`), one or several of them,
    /// which were not decoded.
    ///
    /// # Errors
    /// As [`Tracker::answer`].
    pub fn passed(&mut self, tag: u8) -> Result<Answer, Desync> {
        if self.ended {
            return Err(Desync::AfterEnd);
        }
        match tag {
            b'D' => self.part("DataRow", step_row),
            b'd' => self.part("CopyData", step_copy_data),
            b'V' => self.part("FunctionCallResponse", step_function),
            _ => Err(Desync::Unexpected { got: "message that was not decoded" }),
        }
    }

    fn part(
        &mut self,
        got: &'static str,
        step: impl FnOnce(&mut Kind<S, P>) -> Step,
    ) -> Result<Answer, Desync> {
        let head = self.queue.head().ok_or(Desync::Unexpected { got })?;
        let ticket = head.ticket;
        let starts = head_flow(&head.kind) != Some(Flow::CopyIn);
        match step(&mut head.kind) {
            Step::No => return Err(Desync::Unexpected { got }),
            Step::Last => {
                if let Some(done) = self.queue.pop() {
                    self.confirm(done);
                }
                return Ok(Answer::Last(ticket));
            }
            Step::Part => {}
        }
        if starts && self.queue.copying_in() {
            // The server ignored those `Sync`s, so the batch goes on; anything else would have ended the
            // connection.
            self.batch_open |= self.queue.swallow_syncs().ok_or(Desync::SentIntoCopy)?;
        }
        Ok(Answer::Part(ticket))
    }

    fn confirm(&mut self, done: Pending<S, P>) {
        match done.kind {
            Kind::Parse(change) | Kind::CloseStatement(change) => self.statements.confirm(change),
            Kind::Bind(change) | Kind::ClosePortal(change) => self.portals.confirm(change),
            Kind::Query(_, statement, portal) => {
                self.statements.confirm(statement);
                self.portals.confirm(portal);
            }
            Kind::DescribeStatement
            | Kind::Describe
            | Kind::Execute(_)
            | Kind::FunctionCall(_)
            | Kind::Sync => {}
        }
    }

    fn abandon(&mut self, lost: &Pending<S, P>) {
        match &lost.kind {
            Kind::Parse(change) | Kind::CloseStatement(change) => self.statements.abandon(change),
            Kind::Bind(change) | Kind::ClosePortal(change) => self.portals.abandon(change),
            Kind::Query(_, statement, portal) => {
                self.statements.abandon(statement);
                self.portals.abandon(portal);
            }
            Kind::DescribeStatement
            | Kind::Describe
            | Kind::Execute(_)
            | Kind::FunctionCall(_)
            | Kind::Sync => {}
        }
    }

    fn error(&mut self, fields: &ErrorFields<'_>) -> Result<Answer, Desync> {
        if fields.is_fatal() {
            self.ended = true;
            return Ok(Answer::Ended);
        }
        let head = self.queue.head().ok_or(Desync::Unexpected { got: "ErrorResponse" })?;
        let ticket = head.ticket;
        let next = ticket.number() + 1;
        match &mut head.kind {
            Kind::Query(flow, ..) | Kind::FunctionCall(flow) => *flow = Flow::Failed,
            Kind::Sync => {}
            _ => return Ok(self.fail_batch()),
        }
        Ok(Answer::Failed { ticket, skipped: next..next })
    }

    /// The head has failed: the server skips everything to the next `Sync`.
    fn fail_batch(&mut self) -> Answer {
        let ticket = super::Ticket(self.queue.head_number());
        while let Some(lost) = self.queue.pop_in_batch() {
            self.abandon(&lost);
        }
        self.skipping = self.queue.is_empty();
        Answer::Failed { ticket, skipped: ticket.number() + 1..self.queue.head_number() }
    }

    fn ready(&mut self, status: TransactionStatus) -> Result<Answer, Desync> {
        let got = "ReadyForQuery";
        let head = self.queue.head().ok_or(Desync::Unexpected { got })?;
        match head.kind {
            Kind::Sync
            | Kind::Query(Flow::Done | Flow::Failed, ..)
            | Kind::FunctionCall(Flow::Done | Flow::Failed) => {}
            _ => return Err(Desync::Unexpected { got }),
        }
        let ticket = head.ticket;
        if let Some(done) = self.queue.pop() {
            self.confirm(done);
        }
        self.status = status;
        if status == TransactionStatus::Idle {
            self.portals.forget_confirmed();
        }
        Ok(Answer::Ready { ticket, status })
    }

    fn report_setting(&mut self, status: &ParameterStatus<'_>) -> Result<Answer, Desync> {
        let known = self.settings.contains_key(status.name);
        let too_many = !known && self.settings.len() >= SETTINGS_MAX;
        if too_many || status.name.len() + status.value.len() > SETTING_BYTES_MAX {
            return Err(Desync::Settings);
        }
        self.settings.insert(status.name.to_vec(), status.value.to_vec());
        Ok(Answer::Unrelated)
    }
}

const fn head_flow<S, P>(kind: &Kind<S, P>) -> Option<Flow> {
    match kind {
        Kind::Execute(flow) | Kind::Query(flow, ..) => Some(*flow),
        _ => None,
    }
}

fn step<S, P>(kind: &mut Kind<S, P>, body: &Body<'_>) -> Step {
    match (body, kind) {
        (Body::ParseComplete, Kind::Parse(_))
        | (Body::BindComplete, Kind::Bind(_))
        | (Body::CloseComplete, Kind::CloseStatement(_) | Kind::ClosePortal(_))
        | (Body::RowDescription(_) | Body::NoData, Kind::Describe)
        | (Body::PortalSuspended, Kind::Execute(Flow::Start | Flow::Rows)) => Step::Last,
        (Body::ParameterDescription(_), kind @ Kind::DescribeStatement) => {
            *kind = Kind::Describe;
            Step::Part
        }
        (Body::RowDescription(_), Kind::Query(flow @ (Flow::Start | Flow::Done), ..)) => {
            advance(flow, Flow::Rows)
        }
        (Body::DataRow(_), kind) => step_row(kind),
        (Body::CopyData(_), kind) => step_copy_data(kind),
        (Body::FunctionCallResponse(_), kind) => step_function(kind),
        (Body::CommandComplete(_), kind) => step_complete(kind),
        (Body::EmptyQueryResponse, Kind::Execute(Flow::Start)) => Step::Last,
        (Body::EmptyQueryResponse, Kind::Query(flow @ Flow::Start, ..)) => advance(flow, Flow::Done),
        (Body::CopyInResponse(_), kind) => step_copy_start(kind, Flow::CopyIn),
        (Body::CopyOutResponse(_), kind) => step_copy_start(kind, Flow::CopyOut),
        (Body::CopyDone, Kind::Execute(flow @ Flow::CopyOut) | Kind::Query(flow @ Flow::CopyOut, ..)) => {
            advance(flow, Flow::CopyOutEnded)
        }
        _ => Step::No,
    }
}

const fn advance(flow: &mut Flow, to: Flow) -> Step {
    *flow = to;
    Step::Part
}

fn step_row<S, P>(kind: &mut Kind<S, P>) -> Step {
    match kind {
        Kind::Execute(flow @ (Flow::Start | Flow::Rows)) | Kind::Query(flow @ Flow::Rows, ..) => {
            advance(flow, Flow::Rows)
        }
        _ => Step::No,
    }
}

fn step_copy_data<S, P>(kind: &mut Kind<S, P>) -> Step {
    match kind {
        Kind::Execute(Flow::CopyOut) | Kind::Query(Flow::CopyOut, ..) => Step::Part,
        _ => Step::No,
    }
}

fn step_function<S, P>(kind: &mut Kind<S, P>) -> Step {
    match kind {
        Kind::FunctionCall(flow @ Flow::Start) => advance(flow, Flow::Done),
        _ => Step::No,
    }
}

fn step_copy_start<S, P>(kind: &mut Kind<S, P>, to: Flow) -> Step {
    match kind {
        Kind::Execute(flow @ Flow::Start) | Kind::Query(flow @ (Flow::Start | Flow::Done), ..) => {
            advance(flow, to)
        }
        _ => Step::No,
    }
}

/// A statement is done unless a copy is: that ends with its data, and data ends before the statement does.
fn step_complete<S, P>(kind: &mut Kind<S, P>) -> Step {
    match kind {
        Kind::Execute(Flow::Start | Flow::Rows | Flow::CopyInEnded | Flow::CopyOutEnded) => Step::Last,
        Kind::Query(
            flow @ (Flow::Start | Flow::Done | Flow::Rows | Flow::CopyInEnded | Flow::CopyOutEnded),
            ..,
        ) => advance(flow, Flow::Done),
        _ => Step::No,
    }
}
