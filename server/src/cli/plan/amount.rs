//! Amounts of bytes, as people write and read them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Amount(pub(super) f64);

/// Units, decimal as disks are sold, and binary.
const UNITS: [(&str, f64); 11] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("PB", 1e15),
    ("KiB", 1_024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("PiB", 1_125_899_906_842_624.0),
];

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no amount: write a number and a unit, like 500GB, 1.5TB or 64MiB");
        let end = text.find(|character: char| character.is_ascii_alphabetic());
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let unit = match unit {
            "" => "B",
            unit => unit,
        };
        let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let (_, factor) = factor.ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let bytes = number * factor;
        if bytes.is_finite() && bytes >= 0.0 {
            Ok(Self(bytes))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Amount {
    /// Three figures, in the largest decimal unit that leaves something before the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = UNITS.iter().take(6).rev();
        let unit = decimal
            .into_iter()
            .find(|(_, factor)| self.0 >= *factor)
            .unwrap_or(&UNITS[0]);
        let number = self.0 / unit.1;
        let places = match number {
            large if large >= 100.0 => 0,
            middle if middle >= 10.0 => 1,
            _ => 2,
        };
        let number = format!("{number:.places$}");
        let short = match number.split_once('.') {
            Some(_) => number.trim_end_matches('0').trim_end_matches('.'),
            None => &number,
        };
        write!(f, "{short} {}", unit.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        let read = |text: &str| text.parse::<Amount>().map(|amount| amount.0);
        assert_eq!(read("1.5TB"), Ok(1.5e12));
        assert_eq!(read("64 MiB"), Ok(67_108_864.0));
        assert_eq!(read("7"), Ok(7.0));
        assert_eq!(read("1gb"), Ok(1e9));
        for wrong in ["", "TB", "1XB", "-1GB", "1e400GB", "NaN"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for (bytes, text) in [
            (0.0, "0 B"),
            (950.0, "950 B"),
            (15.26e9, "15.3 GB"),
            (1e15, "1 PB"),
            (150e6, "150 MB"),
            (3.25e12, "3.25 TB"),
            (2e18, "2000 PB"),
        ] {
            assert_eq!(Amount(bytes).to_string(), text);
        }
    }
}
