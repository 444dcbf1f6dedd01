//! What a client reads in its own tool: every sentence that this door says.
//!
//! Messages say why in lower case without a full stop; the hint says what to do next. SQLSTATEs are those that
//! PostgreSQL itself would use for the like, so that drivers do the right thing.

use countersign_core::{At, RequestId};
use countersign_engine::{Covered, Paused, Refused, Waiting};
use countersign_wire::postgres::encode::{Report, Severity};

use crate::flow::Apart;
pub(crate) use crate::words::clock;
use crate::words::{hint, left};

/// insufficient_privilege.
pub(crate) const NOT_PERMITTED: &str = "42501";
/// query_canceled.
pub(crate) const CANCELED: &str = "57014";
/// admin_shutdown: the session is ended by somebody.
pub(crate) const ENDED: &str = "57P01";
/// cannot_connect_now, and: the ledger takes no record.
pub(crate) const UNAVAILABLE: &str = "57P03";
/// invalid_authorization_specification.
pub(crate) const NO_ACCESS: &str = "28000";
/// invalid_password.
pub(crate) const NO_PROOF: &str = "28P01";
/// connection_failure: the server is not there.
pub(crate) const NO_SERVER: &str = "08006";
/// feature_not_supported.
pub(crate) const NOT_SUPPORTED: &str = "0A000";
/// protocol_violation.
pub(crate) const PROTOCOL: &str = "08P01";
/// program_limit_exceeded.
pub(crate) const LIMIT: &str = "54000";
/// Configuration limit exceeded: the budget of a grant or a session is used up.
pub(crate) const SPENT: &str = "53400";
/// syntax_error.
pub(crate) const SYNTAX: &str = "42601";
/// successful_completion, for notices.
pub(crate) const NOTICE: &str = "00000";

/// An error that the statement fails with.
pub(crate) fn error(code: &str, message: impl AsRef<str>) -> Report {
    Report::new(Severity::Error, code, clean(message.as_ref()))
}

/// An error that the session ends with.
pub(crate) fn fatal(code: &str, message: impl AsRef<str>) -> Report {
    Report::new(Severity::Fatal, code, clean(message.as_ref()))
}

/// A notice.
pub(crate) fn notice(message: impl AsRef<str>) -> Report {
    Report::new(Severity::Notice, NOTICE, clean(message.as_ref()))
}

/// The client waits from now on.
pub(crate) fn waits(waiting: &Waiting, now: At) -> Report {
    let lapses = waiting.lapses_at();
    let until = format!("until {} ({} left)", clock(lapses), left(lapses.since(now)));
    notice(format!("this waits for an approval by {}, {until}", waiting.asked()))
        .detail(clean(&format!("held by {}; nothing has run yet", waiting.reason())))
        .hint(clean(&format!("{}  (Ctrl-C withdraws it)", waiting.link())))
}

/// The client still waits.
pub(crate) fn still_waits(waiting: &Waiting, now: At) -> Report {
    let left = left(waiting.lapses_at().since(now));
    notice(format!("still waiting for {}; it lapses in {left}", waiting.asked())).hint(clean(&waiting.link()))
}

/// It runs under a yes that was given before.
pub(crate) fn covered(covered: &Covered) -> Report {
    let uses = match covered.uses_left {
        0 => "none is left".to_owned(),
        1 => "1 use is left".to_owned(),
        left => format!("{left} uses are left"),
    };
    let until = clock(covered.valid_until);
    notice(format!("this runs under the approval of {}; {uses}, until {until}", covered.request))
}

/// A script begins.
pub(crate) fn begins(request: RequestId, of: usize) -> Report {
    let steps = if of == 1 { "its one statement".to_owned() } else { format!("its {of} statements") };
    notice(format!("this begins the approved script {request}: {steps}, in order, each once"))
        .hint("anything but a read in between ends it, and so does a statement that fails")
}

/// A script comes to its end.
pub(crate) fn ends(request: RequestId) -> Report {
    notice(format!("this is the last statement of the approved script {request}"))
}

/// What comes is no step of a script.
pub(crate) fn apart(apart: &Apart) -> Report {
    let Apart { request, number, of, why, stopped } = apart;
    let words = if *stopped {
        format!("the script {request} has stopped before statement {number} of {of}: {why}")
    } else {
        format!("this is not run as statement {number} of the script {request}: {why}")
    };
    notice(clean(&words)).hint("what is left of it needs an approval of its own")
}

/// The session is paused, and the client waits for the end of that.
pub(crate) fn paused(paused: &Paused) -> Report {
    notice(crate::words::paused(paused))
        .detail("what is sent waits here until somebody resumes the session; nothing of it has run yet")
        .hint("Ctrl-C gives it up")
}

/// The session was paused before what was read could be recorded.
pub(crate) fn answer_paused(paused: &Paused) -> Report {
    notice(crate::words::paused(paused))
        .detail("the answer to what was sent waits here until somebody resumes the session")
        .hint("Ctrl-C gives it up, and ends the session")
}

/// The engine's no, with its hint and link.
pub(crate) fn refused(severity: Severity, code: &str, refused: &Refused) -> Report {
    let report = Report::new(severity, code, clean(&refused.message));
    match hint(refused.hint.as_deref(), refused.link.as_deref()) {
        Some(hint) => report.hint(clean(&hint)),
        None => report,
    }
}

/// Wire texts end with a NUL: one inside would end them early.
pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
