//! Amounts as profiles and unit files write them: lengths of time and sizes in bytes.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount of memory or disk in bytes, written like `16G`; suffixes are powers of 1024, as in systemd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

const KIB: u64 = 1024;
const SUFFIXES: [(char, u64); 4] = [('T', KIB * KIB * KIB * KIB), ('G', KIB * KIB * KIB), ('M', KIB * KIB), ('K', KIB)];

impl Size {
    /// Parses `512M`, `1.5G` or a plain number of bytes; `None` when it is neither or does not fit in 64 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = match text.char_indices().last()? {
            (at, last) if last.is_ascii_alphabetic() => {
                (&text[..at], SUFFIXES.iter().find(|(suffix, _)| *suffix == last)?.1)
            }
            _ => (text, 1),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 6 {
            return None;
        }
        let whole = whole.parse::<u128>().ok()? * u128::from(unit);
        let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        let fraction = fraction.parse::<u128>().unwrap_or(0) * u128::from(unit) / scale;
        u64::try_from(whole + fraction).ok().map(Size)
    }

    /// Returns the size in GiB for people, rounded to one decimal.
    pub fn gib(self) -> String {
        format!("{:.1}", self.0 as f64 / (KIB * KIB * KIB) as f64)
    }
}

impl fmt::Display for Size {
    /// Writes the size with the largest suffix that loses nothing, which every parser of systemd understands.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SUFFIXES.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((suffix, unit)) => write!(out, "{}{suffix}", self.0 / unit),
            None => write!(out, "{}", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not a size such as \"16G\"")))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

/// A length of time, written like `30s` or `1h30min`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

const UNITS: [(&str, u64); 6] =
    [("w", 7 * 24 * 3_600_000), ("d", 24 * 3_600_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];

impl Span {
    /// Returns a span of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }

    /// Parses one or more numbers, each with a unit of `UNITS`; `None` when it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut total = 0u64;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let millis = UNITS.iter().find(|(name, _)| *name == unit)?.1;
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(millis)?)?;
            rest = tail;
        }
        (!text.is_empty()).then_some(Span(Duration::from_millis(total)))
    }

    /// Returns the whole seconds, rounded up.
    pub fn as_secs_ceil(self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)
    }
}

impl fmt::Display for Span {
    /// Writes the span with the largest unit up to hours that loses nothing, which systemd understands.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis() as u64;
        match UNITS[2..].iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(out, "{}{name}", millis / unit),
            None => write!(out, "{millis}ms"),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not a length of time such as \"30s\"")))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(Size::parse("1.5G"), Some(Size(3 << 29)));
        assert_eq!(Size::parse("16376M").map(|size| size.to_string()).as_deref(), Some("16376M"));
        assert_eq!(Size(0).to_string(), "0");
        for wrong in ["", "G", "1.G5", "-1", "1g", "1e3", "99999999999999999999T"] {
            assert_eq!(Size::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn spans_keep_their_value_in_text() {
        for (text, shown) in
            [("90s", "90s"), ("120s", "2min"), ("1h30min", "90min"), ("1500ms", "1500ms"), ("2d", "48h"), ("0s", "0ms")]
        {
            assert_eq!(Span::parse(text).map(|span| span.to_string()).as_deref(), Some(shown));
        }
        for wrong in ["", "5", "s", "5 s", "-5s", "5m", "99999999999999999999s"] {
            assert_eq!(Span::parse(wrong), None, "{wrong}");
        }
    }
}
