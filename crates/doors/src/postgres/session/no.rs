//! What a client reads when nothing is forwarded.

use countersign_core::request::{Voidance, Withdrawal};
use countersign_engine::{Refused, RefusedCode};
use countersign_wire::postgres::encode::{Report, Severity};

use super::super::classify::Understood;
use super::super::wording;
use super::cancelling::cancelled;
use crate::flow::No;

/// What the server says too, of whatever comes in a transaction that has failed.
pub(super) const ABORTED: &str =
    "current transaction is aborted, commands ignored until end of transaction block";

/// Why something can't wait for anybody.
pub(super) fn no_wait(message: &str, hint: &str) -> Refused {
    Refused::new(RefusedCode::Invalid, message).hint(hint)
}

/// What the client reads when the answer is no.
pub(super) fn refusal(no: &No, understood: &Understood) -> Report {
    match no {
        No::Refused(refused) => wording::refused(Severity::Error, code(refused, understood), refused),
        No::Denied { by, comment } => {
            let said = comment.as_deref().map(|comment| format!(": {comment}")).unwrap_or_default();
            wording::error(wording::NOT_PERMITTED, format!("denied by {by}{said}"))
                .hint("nothing was run; the statement may be changed and tried again")
        }
        No::Lapsed => {
            wording::error(wording::NOT_PERMITTED, "nobody answered in time, so it was not approved")
                .hint("nothing was run; try again when somebody is there to approve it")
        }
        No::Void(why) => {
            wording::error(wording::NOT_PERMITTED, void(*why)).hint("nothing was run; try again")
        }
        No::Cancelled => cancelled(),
        No::Withdrawn(Withdrawal::Cancelled) => wording::error(
            wording::CANCELED,
            "canceling statement due to user request; the request was withdrawn",
        ),
        No::Withdrawn(_) => wording::error(wording::CANCELED, "the request was withdrawn; nothing was run"),
        No::Restless => {
            wording::error(wording::UNAVAILABLE, "policy or grants are changing; nothing was run")
                .hint("try again")
        }
    }
}

fn code(refused: &Refused, understood: &Understood) -> &'static str {
    match refused.code {
        RefusedCode::Invalid if understood.unparsed().is_some() => wording::SYNTAX,
        RefusedCode::Invalid if refused.message == ABORTED => "25P02",
        RefusedCode::Invalid => wording::NOT_SUPPORTED,
        RefusedCode::TooLarge => wording::LIMIT,
        RefusedCode::Unavailable => wording::UNAVAILABLE,
        RefusedCode::Spent => wording::SPENT,
        RefusedCode::NotPermitted
        | RefusedCode::Unsigned
        | RefusedCode::NoGrant
        | RefusedCode::NotFound
        | RefusedCode::Conflict
        | RefusedCode::Ended => wording::NOT_PERMITTED,
    }
}

pub(super) const fn void(why: Voidance) -> &'static str {
    match why {
        Voidance::PolicyStricter => "policy has become stricter, so the approval no longer holds",
        Voidance::ApproverNotEligible => "an approver may no longer approve this",
        Voidance::GrantOver => "the grant behind it is over",
        Voidance::MeaningChanged => "what the statement means has changed since it was approved",
        Voidance::PrincipalDisabled => "the account is disabled",
        Voidance::Stopped => "the script has stopped",
    }
}
