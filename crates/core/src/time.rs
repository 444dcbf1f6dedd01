//! Instants and spans, as numbers. Core never asks what time it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct At(pub i64);

/// A length of time in microseconds, never negative when parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(pub i64);

impl At {
    /// The instant `span` later, saturating at the ends of time.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long from `earlier` to this instant; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0).max(0))
    }

    /// Whole milliseconds since the epoch.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// RFC 3339 in UTC with microseconds: `2026-03-03T09:30:00.000000Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let (seconds, micros) = (self.0.div_euclid(MICROS), self.0.rem_euclid(MICROS));
        let (days, rest) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        if !(0..=9_999).contains(&year) {
            return format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
        }
        // Every line of the ledger has one, so it is put together digit by digit.
        let mut text = String::with_capacity(27);
        for (value, digits, behind) in [
            (year, 4, '-'),
            (month, 2, '-'),
            (day, 2, 'T'),
            (hour, 2, ':'),
            (minute, 2, ':'),
            (second, 2, '.'),
            (micros, 6, 'Z'),
        ] {
            for place in (0..digits).rev() {
                let digit = u8::try_from(value / 10_i64.pow(place) % 10).unwrap_or_default();
                text.push(char::from(b'0' + digit));
            }
            text.push(behind);
        }
        text
    }

    /// Hour of the day (0 to 23) and day of the week (1 = Monday, 7 = Sunday), both in UTC.
    #[must_use]
    pub fn hour_and_weekday(self) -> (i64, i64) {
        let seconds = self.0.div_euclid(MICROS);
        let days = seconds.div_euclid(DAY_SECONDS);
        (seconds.rem_euclid(DAY_SECONDS) / 3_600, (days + 3).rem_euclid(7) + 1)
    }
}

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(n: i64) -> Self {
        Self(n.saturating_mul(MICROS))
    }

    /// A span of whole minutes.
    #[must_use]
    pub const fn minutes(n: i64) -> Self {
        Self::seconds(n.saturating_mul(60))
    }

    /// A span of whole hours.
    #[must_use]
    pub const fn hours(n: i64) -> Self {
        Self::minutes(n.saturating_mul(60))
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0 / 1_000
    }
}

/// Why a text is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time; write for example `90s`, `30m`, `1h30m` or `2d`")]
pub struct BadSpan(pub String);

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        parse_span(text).ok_or_else(|| BadSpan(crate::ids::excerpt(text)))
    }
}

impl fmt::Display for Span {
    /// `1h30m`, `45s`, `250ms`, `0s`: the largest units first, none that is zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0 / MICROS;
        if total == 0 {
            return match self.0 / 1_000 {
                0 => write!(f, "0s"),
                millis => write!(f, "{millis}ms"),
            };
        }
        let parts = [
            (total / DAY_SECONDS, "d"),
            (total / 3_600 % 24, "h"),
            (total / 60 % 60, "m"),
            (total % 60, "s"),
        ];
        parts.iter().filter(|(n, _)| *n != 0).try_for_each(|(n, unit)| write!(f, "{n}{unit}"))
    }
}

fn parse_span(text: &str) -> Option<Span> {
    let (mut rest, mut total, mut smallest) = (text, 0i64, i64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let micros = match unit {
            "ms" => 1_000,
            "s" => MICROS,
            "m" => 60 * MICROS,
            "h" => 3_600 * MICROS,
            "d" => DAY_SECONDS * MICROS,
            _ => return None,
        };
        if micros >= smallest {
            return None;
        }
        smallest = micros;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(micros)?)?;
        rest = tail;
    }
    (total > 0).then_some(Span(total))
}

/// Days since the epoch to year, month, day (the proleptic Gregorian calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_print_as_rfc_3339() {
        assert_eq!(At(0).rfc3339(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(At(1_709_210_096_000_007).rfc3339(), "2024-02-29T12:34:56.000007Z");
        assert_eq!(At(-1).rfc3339(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(At(0).hour_and_weekday(), (0, 4));
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, span) in [
            ("30m", Span::minutes(30)),
            ("1h30m", Span::minutes(90)),
            ("2d", Span::hours(48)),
            ("250ms", Span(250_000)),
        ] {
            assert_eq!(text.parse(), Ok(span));
            assert_eq!(span.to_string(), text);
        }
        for bad in
            ["", "0s", "5", "-5m", "m", "5m1h", "5m5m", "1.5h", "99999999999999999999s", "9999999999999d"]
        {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
