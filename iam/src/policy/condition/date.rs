//! Conditions on times: the forms of ISO 8601 that the W3C note has, or seconds since the Unix epoch.
//!
//! Source: IAM User Guide, "Date condition operators"; W3C, "Date and Time Formats".

use super::super::request::Value;
use crate::sigv4::unix_day;

const MS_A_DAY: i64 = 86_400_000;

/// The time that a value is, in milliseconds since the Unix epoch.
pub(super) fn of(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Time(ms) => Some(*ms),
        Value::Number(seconds) => seconds.checked_mul(1000),
        other => parse(&other.text()),
    }
}

/// Reads a time, in milliseconds since the Unix epoch.
pub(super) fn parse(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() != 4 {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let day = day(date)?;
    let ms = time.map_or(Some(0), time_of_day)?;
    Some(day * MS_A_DAY + ms)
}

/// Days since the Unix epoch of `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
fn day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |part| digits(part, 2))?;
    let day = parts.next().map_or(Some(1), |part| digits(part, 2))?;
    if parts.next().is_some() {
        return None;
    }
    i64::try_from(unix_day(year, month, day)?).ok()
}

/// Milliseconds since midnight UTC of `hh:mm`, `hh:mm:ss` or `hh:mm:ss.s` with `Z`, `+hh:mm` or `-hh:mm`.
fn time_of_day(text: &str) -> Option<i64> {
    let at = text.find(['Z', '+', '-'])?;
    let (clock, zone) = text.split_at(at);
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(part) => match part.split_once('.') {
            None => (digits(part, 2)?, 0),
            Some((second, fraction)) => (digits(second, 2)?, milliseconds(fraction)?),
        },
    };
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = i64::try_from((hour * 60 + minute) * 60 + second).ok()? * 1000 + fraction;
    Some(local - offset(zone)?)
}

/// Milliseconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, clock) = zone.split_at_checked(1)?;
    let (hour, minute) = clock.split_once(':')?;
    let (hour, minute) = (digits(hour, 2)?, digits(minute, 2)?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let ms = i64::try_from(hour * 60 + minute).ok()? * 60_000;
    Some(if sign == "-" { -ms } else { ms })
}

fn milliseconds(fraction: &str) -> Option<i64> {
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    is_number.then(|| digits.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0')))
}

fn digits(text: &str, length: usize) -> Option<u64> {
    let is_number = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_note_are_read() {
        let second = 1_445_412_480_000;
        for (text, ms) in [
            ("2015-10-21T07:28:00Z", second),
            ("2015-10-21T09:28:00+02:00", second),
            ("2015-10-21T07:28Z", second),
            ("2015-10-21T07:28:00.5Z", second + 500),
            ("1445412480", second),
            ("2015-10-21", second - (7 * 60 + 28) * 60_000),
            ("1970-02", 31 * MS_A_DAY),
            ("1970", 0),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "2015-13",
            "2015-02-29",
            "2015-10-21T07:28:00",
            "2015-10-21T24:00Z",
            "2015-1-1",
            "x",
            "2015-10-21T07:28:00.Z",
            "2015-10-21T07:28+2",
            "99999999999999999999",
            "-5",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
