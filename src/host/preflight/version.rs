//! Versions of the driver and of CUDA: numbers with points between them.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A version such as `525.60.11`; missing numbers count as 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    numbers: Vec<u64>,
}

impl Version {
    /// Parses numbers with points between them; none when it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Version { text: text.to_owned(), numbers })
    }

    /// Whether this one is enough where `wanted` is the lowest.
    pub fn is_enough(&self, wanted: &Version) -> bool {
        self.numbers >= wanted.numbers
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not a version such as \"525.60.11\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_compared_number_by_number() {
        let enough = |has: &str, wanted: &str| Version::parse(has).unwrap().is_enough(&Version::parse(wanted).unwrap());
        for (has, wanted, expected) in [
            ("580.95.05", "525.60.11", true),
            ("525.60.11", "525.60.11", true),
            ("525.60.9", "525.60.11", false),
            ("13.0", "12", true),
            ("12", "12.0", true),
            ("12.0", "12.0.1", false),
            ("9.2", "12", false),
        ] {
            assert_eq!(enough(has, wanted), expected, "{has} for {wanted}");
        }
        for wrong in ["", "12.", "a", "-1", "12 "] {
            assert_eq!(Version::parse(wrong), None, "{wrong:?}");
        }
    }
}
