//! Dates and times in ISO form, in UTC; intervals in the server's own.

use std::fmt::Write as _;

use super::Reader;

/// Days from 1970-01-01 to 2000-01-01, from which the server counts.
const EPOCH_DAYS: i64 = 10_957;
const DAY_MICROS: i64 = 86_400_000_000;

pub(super) fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => {
            let (day, era) = day(i64::from(days));
            format!("{day}{era}")
        }
    }
}

/// The end of the day is a time too.
pub(super) fn time(micros: i64) -> Option<String> {
    (0..=DAY_MICROS).contains(&micros).then(|| clock(micros))
}

pub(super) fn timestamp(micros: i64, zone: &str) -> String {
    match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        _ => {
            let (day, era) = day(micros.div_euclid(DAY_MICROS));
            format!("{day} {}{zone}{era}", clock(micros.rem_euclid(DAY_MICROS)))
        }
    }
}

/// The time, and how many seconds its zone is west of UTC.
pub(super) fn zoned(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new("timetz", bytes);
    let clock = time(i64_of(&mut reader)?)?;
    let west = reader.i32("zone").ok()?;
    reader.end().ok()?;
    let (sign, seconds) = (if west <= 0 { '+' } else { '-' }, west.unsigned_abs());
    // The server takes no zone that is further off.
    if seconds > 15 * 3_600 + 59 * 60 + 59 {
        return None;
    }
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{clock}{sign}{hours:02}");
    for part in [minutes, seconds].iter().take(if seconds != 0 { 2 } else { usize::from(minutes != 0) }) {
        let _to_a_string = write!(text, ":{part:02}");
    }
    Some(text)
}

/// Microseconds, days and months, each with a sign of its own.
pub(super) fn interval(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader::new("interval", bytes);
    let micros = i64_of(&mut reader)?;
    let (days, months) = (reader.i32("days").ok()?, reader.i32("months").ok()?);
    reader.end().ok()?;
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return Some("infinity".to_owned()),
        (i64::MIN, i32::MIN, i32::MIN) => return Some("-infinity".to_owned()),
        _ => {}
    }
    let (mut text, mut negative) = (String::new(), false);
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let space = if text.is_empty() { "" } else { " " };
            // Behind a negative part what is not negative says so.
            let plus = if negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            let _to_a_string = write!(text, "{space}{plus}{value} {unit}{plural}");
            negative = value < 0;
        }
    }
    if text.is_empty() || micros != 0 {
        let space = if text.is_empty() { "" } else { " " };
        let sign = match (micros < 0, negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let (seconds, rest) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
        let _to_a_string =
            write!(text, "{space}{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
        if rest != 0 {
            text.push('.');
            text.push_str(format!("{rest:06}").trim_end_matches('0'));
        }
    }
    Some(text)
}

fn i64_of(reader: &mut Reader<'_>) -> Option<i64> {
    Some(i64::from_be_bytes(reader.take(8, "microseconds").ok()?.try_into().ok()?))
}

fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let whole = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match micros % 1_000_000 {
        0 => whole,
        rest => format!("{whole}.{}", format!("{rest:06}").trim_end_matches('0')),
    }
}

/// A day of the proleptic Gregorian calendar, and its era. Counts years from March, so that the leap day comes last.
fn day(since_2000: i64) -> (String, &'static str) {
    let days = since_2000 + EPOCH_DAYS + 719_468;
    let (cycle, day_of_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}
