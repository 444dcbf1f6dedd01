//! Trials: what policy would say. Nothing is changed by any of them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use countersign_core::{At, Span};
use countersign_engine::Via;
use countersign_engine::trial::{Trial, TryAccess, TryStatement, Trying};
use countersign_ledger::line::Ts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::bundle::{BUNDLE_BYTES_MAX, not_applied};
use super::roles::span;
use crate::extract::Json as Body;
use crate::guard::SignedIn;
use crate::problem::{Kind, Problem, Problems};
use crate::rooms::Rooms;
use crate::shapes::bundle::Files;
use crate::shapes::trial::{Attempt, Difference, Replay, ReplayWanted, Trial as Wanted, Tried};

/// How far back a replay goes, in days.
const DAYS_MAX: u32 = 366;

pub(crate) fn router() -> OpenApiRouter<Rooms> {
    OpenApiRouter::new()
        .routes(routes!(simulate))
        .routes(routes!(compare))
        .routes(routes!(replay))
        .layer(DefaultBodyLimit::max(BUNDLE_BYTES_MAX))
}

/// Says what policy would say of one attempt, and who would be asked.
#[utoipa::path(
    post, path = "/bundle/simulate", tag = "bundle", operation_id = "simulate",
    request_body = Wanted,
    responses((status = 200, description = "What policy would say", body = Tried), Problems)
)]
async fn simulate(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Tried>, Problem> {
    let Wanted { principal, attempt, at, source, means, signed_in_ago, files } = wanted;
    let trial = Trial {
        principal: principal.parse().map_err(invalid)?,
        what: trying(attempt)?,
        at: at.as_deref().map(instant).transpose()?,
        source: source.as_deref().map(address).transpose()?,
        via: Via::Console,
        means: means.into_iter().map(|one| one.as_str().to_owned()).collect::<BTreeSet<String>>(),
        proved_ago: signed_in_ago.as_deref().map_or(Ok(Span(0)), span)?,
    };
    let tried = rooms.engine.try_out(&caller, trial, files).await.map_err(not_applied)?;
    Ok(Json(tried.into()))
}

/// Says what would change for everybody if a bundle were applied, and what would end.
#[utoipa::path(
    post, path = "/bundle/compare", tag = "bundle", operation_id = "compare",
    request_body = Files,
    responses((status = 200, description = "What would change", body = Difference), Problems)
)]
async fn compare(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Body(files): Body<Files>,
) -> Result<Json<Difference>, Problem> {
    let difference = rooms.engine.compare(&caller, files.files).await.map_err(not_applied)?;
    Ok(Json(difference.into()))
}

/// Says what a bundle would have made of what was done; reading that is recorded.
#[utoipa::path(
    post, path = "/bundle/replay", tag = "bundle", operation_id = "replay",
    request_body = ReplayWanted,
    responses((status = 200, description = "What would have been otherwise", body = Replay), Problems)
)]
async fn replay(
    State(rooms): State<Rooms>,
    SignedIn(caller): SignedIn,
    Body(wanted): Body<ReplayWanted>,
) -> Result<Json<Replay>, Problem> {
    if !(1..=DAYS_MAX).contains(&wanted.days) {
        return Err(Problem::new(Kind::Invalid, format!("a replay goes back 1 to {DAYS_MAX} days")));
    }
    let back = Span::hours(i64::from(wanted.days).saturating_mul(24));
    let since = rooms.engine.now().plus(Span(-back.0));
    let replay = rooms.engine.replay(&caller, wanted.files, since).await.map_err(not_applied)?;
    Ok(Json(replay.into()))
}

fn trying(attempt: Attempt) -> Result<Trying, Problem> {
    Ok(match attempt {
        Attempt::Access { role, r#for, reason, ticket } => Trying::Access(TryAccess {
            role: role.parse().map_err(invalid)?,
            lasting: span(&r#for)?,
            purpose: reason,
            ticket,
        }),
        Attempt::Statement { role, resource, text, reason, ticket, in_transaction } => {
            Trying::Statement(TryStatement {
                role: role.parse().map_err(invalid)?,
                resource: resource.parse().map_err(invalid)?,
                text,
                purpose: reason,
                ticket,
                in_transaction,
            })
        }
        Attempt::House { action } => Trying::House(action.parse().map_err(invalid)?),
    })
}

fn invalid(bad: impl std::fmt::Display) -> Problem {
    Problem::new(Kind::Invalid, bad.to_string())
}

/// An instant in UTC (RFC 3339), with as many digits of a second as people care to write.
pub(super) fn instant(text: &str) -> Result<At, Problem> {
    let bad = || {
        Problem::new(Kind::Invalid, format!("`{}` is no instant", text.chars().take(40).collect::<String>()))
            .hint("write it in UTC: 2026-03-03T09:30:00Z")
    };
    let plain = text.strip_suffix('Z').ok_or_else(bad)?;
    let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
    if part.len() > 6 {
        return Err(bad());
    }
    let ts: Ts = format!("{whole}.{part:0<6}Z").parse().map_err(|_| bad())?;
    Ok(At(ts.micros()))
}

fn address(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| {
        Problem::new(Kind::Invalid, format!("`{}` is no address", text.chars().take(60).collect::<String>()))
            .hint("write an IP address: 192.0.2.7")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_people_write_them() {
        let whole = instant("2026-03-03T09:30:00Z").unwrap();
        assert_eq!(whole.rfc3339(), "2026-03-03T09:30:00.000000Z");
        assert_eq!(instant("2026-03-03T09:30:00.250Z").unwrap().0 - whole.0, 250_000);
        for bad in
            ["", "now", "2026-03-03T09:30:00", "2026-03-03T09:30:00.1234567Z", "2026-13-03T09:30:00Z", "..Z"]
        {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }
}
