//! The commands that talk to a gateway: each is a call or two of the HTTP API and a way to print the answer.

pub mod audit;
pub mod bundle;
pub mod identity;
mod in_full;
pub mod local;
pub mod login;
pub mod people;
pub mod policy;
pub mod requests;
pub mod run;
pub mod secrets;
pub mod sessions;
mod tools;

use serde_json::Value;

use crate::output::text_at;

/// When something happened or ends, short: the API's RFC 3339 without fractions, and how far it is away.
pub(crate) fn when(value: &Value, pointer: &str) -> String {
    let text = text_at(value, pointer);
    let Ok(at) = text.parse::<jiff::Timestamp>() else { return text };
    let seconds = at.as_second().saturating_sub(jiff::Timestamp::now().as_second());
    let span = countersign_core::Span::seconds(coarse(seconds.abs()));
    match seconds {
        0 => "now".into(),
        ahead if ahead > 0 => format!("in {span}"),
        _ => format!("{span} ago"),
    }
}

/// An instant in full, to the second, and how far it is away.
pub(crate) fn clock(value: &Value, pointer: &str) -> String {
    let text = text_at(value, pointer);
    let Ok(at) = text.parse::<jiff::Timestamp>() else { return text };
    format!("{} UTC ({})", at.strftime("%Y-%m-%d %H:%M:%S"), when(value, pointer))
}

/// Seconds to the precision that people want: minutes above ten minutes, hours above a day.
fn coarse(seconds: i64) -> i64 {
    match seconds {
        ..600 => seconds,
        600..86_400 => seconds / 60 * 60,
        _ => seconds / 3_600 * 3_600,
    }
}
