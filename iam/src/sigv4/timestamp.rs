//! The date of a signature: whole seconds since the Unix epoch, written `YYYYMMDD'T'HHMMSS'Z'`.
//!
//! Invariant: a parsed timestamp is a real date between 1970 and 9999. Reading a clock is not done here.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z. `Display` writes ISO 8601 basic format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

const SECONDS_A_DAY: u64 = 86_400;

impl Timestamp {
    /// From seconds since the Unix epoch.
    pub fn from_unix_s(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    pub fn unix_s(self) -> u64 {
        self.0
    }

    /// Reads exactly `YYYYMMDD'T'HHMMSS'Z'`; `None` for anything else, also for dates that do not exist.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let year = digits(&bytes[..4])?;
        let month = digits(&bytes[4..6])?;
        let day = digits(&bytes[6..8])?;
        let (hour, minute, second) = (
            digits(&bytes[9..11])?,
            digits(&bytes[11..13])?,
            digits(&bytes[13..15])?,
        );
        let days = unix_day(year, month, day)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(Self(days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0 / SECONDS_A_DAY);
        let second = self.0 % SECONDS_A_DAY;
        write!(
            f,
            "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

/// Milliseconds since the Unix epoch in ISO 8601 extended format, `YYYY-MM-DD'T'HH:MM:SS'Z'`; before 1970 it is that moment.
pub fn iso_8601(ms: i64) -> String {
    let seconds = u64::try_from(ms / 1000).unwrap_or(0);
    let (year, month, day) = civil_from_days(seconds / SECONDS_A_DAY);
    let second = seconds % SECONDS_A_DAY;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

fn digits(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u64::from(byte - b'0'))
    })
}

/// Days since the Unix epoch of a date from 1970 on; `None` when there is no such date.
pub(crate) fn unix_day(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_date =
        year >= 1970 && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    is_date.then(|| days_from_civil(year, month, day))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 0000-03-01 (the start of a 400-year era, years counted from March) to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;
const DAYS_AN_ERA: u64 = 146_097;

/// Days since the Unix epoch of a Gregorian date from 1970 on. Method: Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `days_from_civil`.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_AN_ERA + day_of_era - EPOCH_DAYS
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days / DAYS_AN_ERA, days % DAYS_AN_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn known_dates_have_their_unix_seconds() {
        // From `date -u -d ... +%s`.
        for (text, seconds) in [
            ("19700101T000000Z", 0),
            ("20000229T235959Z", 951_868_799),
            ("20150830T123600Z", 1_440_938_160),
            ("21000301T000000Z", 4_107_542_400),
            ("99991231T235959Z", 253_402_300_799),
        ] {
            assert_eq!(
                Timestamp::parse(text).map(Timestamp::unix_s),
                Some(seconds),
                "{text}"
            );
            assert_eq!(Timestamp::from_unix_s(seconds).to_string(), text);
        }
    }

    #[test]
    fn other_forms_and_impossible_dates_are_refused() {
        for text in [
            "",
            "20150830",
            "2015-08-30T12:36:00Z",
            "20150830T123600",
            "20150830t123600Z",
            "20150830T123600z",
            "20150830T1236000",
            "20150830T123660Z",
            "20150830T126000Z",
            "20150830T243600Z",
            "20151330T123600Z",
            "20150030T123600Z",
            "20150800T123600Z",
            "20150431T123600Z",
            "20150229T123600Z",
            "21000229T123600Z",
            "19691231T235959Z",
            "2015083\u{661}T12360Z",
            " 20150830T123600Z",
            "Sun, 30 Aug 2015 12:36:00 GMT",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_survives_the_round_trip() {
        for day in 0..(800 * 366) {
            let timestamp = Timestamp::from_unix_s(day * 86_400 + day % 86_400);
            assert_eq!(Timestamp::parse(&timestamp.to_string()), Some(timestamp));
        }
    }
}
