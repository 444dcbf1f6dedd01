//! Instants as lines write them: RFC 3339 in UTC with microseconds, in exactly one spelling.

use std::fmt;
use std::str::FromStr;

const DAY_SECONDS: i64 = 86_400;
const MICROS: i64 = 1_000_000;
const TEXT_BYTES: usize = 27;

/// The last instant that the form can write: 9999-12-31T23:59:59.999999Z.
const MICROS_MAX: i64 = 253_402_300_800 * MICROS - 1;

/// An instant, `2026-03-03T09:30:00.000000Z`: always UTC, always six digits after the point, so that the
/// order of the texts is the order of the instants. Between 1970 and the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ts(i64);

/// A text or a number that is no such instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an instant like `2026-03-03T09:30:00.000000Z`, between 1970 and 9999")]
pub struct TsError;

impl Ts {
    /// The instant this many microseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// [`TsError`] outside 1970 to 9999.
    pub fn from_micros(micros: i64) -> Result<Self, TsError> {
        if (0..=MICROS_MAX).contains(&micros) { Ok(Self(micros)) } else { Err(TsError) }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0 / MICROS, self.0 % MICROS);
        let (year, month, day) = civil_from_days(seconds / DAY_SECONDS);
        let second = seconds % DAY_SECONDS;
        write!(f, "{year:04}-{month:02}-{day:02}T")?;
        write!(f, "{:02}:{:02}:{:02}.{micros:06}Z", second / 3_600, second / 60 % 60, second % 60)
    }
}

impl FromStr for Ts {
    type Err = TsError;

    fn from_str(text: &str) -> Result<Self, TsError> {
        if text.len() != TEXT_BYTES {
            return Err(TsError);
        }
        let number =
            |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<i64>().ok());
        let parts =
            [number(0, 4), number(5, 7), number(8, 10), number(11, 13), number(14, 16), number(17, 19)];
        let [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)] = parts else {
            return Err(TsError);
        };
        let micros = number(20, 26).ok_or(TsError)?;
        let seconds = days_from_civil(year, month, day) * DAY_SECONDS + hour * 3_600 + minute * 60 + second;
        let ts = Self::from_micros(seconds * MICROS + micros)?;
        // A 31st of February, a 25th hour, a plus sign: whatever is out of range is written otherwise.
        if ts.to_string() == text { Ok(ts) } else { Err(TsError) }
    }
}

/// The date of a day counted from 1970-01-01. Years are taken to begin in March, so that the leap day is
/// their last; 400 of them make an era of 146,097 days.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`]; a date that does not exist gives some other day.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_instants() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_772_530_200_000_001, "2026-03-03T09:30:00.000001Z"),
            (MICROS_MAX, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Ts(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Ts(micros)));
        }
        assert_eq!(Ts::from_micros(-1), Err(TsError));
        assert_eq!(Ts::from_micros(MICROS_MAX + 1), Err(TsError));
        assert_eq!(Ts::from_micros(i64::MAX), Err(TsError));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "2026-03-03T09:30:00Z",
            "2026-03-03T09:30:00.000Z",
            "2026-03-03T09:30:00.000000+00:00",
            "2026-03-03 09:30:00.000000Z",
            "2026-03-03t09:30:00.000000z",
            "2026-02-29T09:30:00.000000Z",
            "2026-13-03T09:30:00.000000Z",
            "2026-00-03T09:30:00.000000Z",
            "2026-03-03T24:00:00.000000Z",
            "2026-03-03T23:59:60.000000Z",
            "1969-12-31T23:59:59.999999Z",
            "+026-03-03T09:30:00.000000Z",
            "2026-03-03T09:30:00.-00000Z",
            "2026-03-03T09:30:00.00000\u{e9}",
            "0000-00-00T00:00:00.000000Z",
        ] {
            assert_eq!(text.parse::<Ts>(), Err(TsError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_back_and_sorts(one in 0..=MICROS_MAX, other in 0..=MICROS_MAX) {
            let (one, other) = (Ts(one), Ts(other));
            prop_assert_eq!(one.to_string().parse(), Ok(one));
            prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[0-9TZ:.+é-]{20,30}") {
            let _ = text.parse::<Ts>();
        }
    }
}
