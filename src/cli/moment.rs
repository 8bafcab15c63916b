//! Moments on the command line: `2026-11-26T12:00:00Z`, `2h ago`, or milliseconds since 1970.

use std::str::FromStr;

use plaudit_event::Timestamp;

use super::import::millis;

/// What is allowed, for messages.
pub(super) const ALLOWED: &str =
    "a time such as 2026-11-26T12:00:00Z, a duration such as `2h ago`, or milliseconds since 1970";

/// A moment, perhaps seen from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    At(Timestamp),
    /// Milliseconds before now.
    Ago(i64),
}

impl Moment {
    /// The moment as of `now`.
    pub(crate) const fn as_of(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(before) => now.plus_millis(-before),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("must be {ALLOWED}, got `{text}`");
        let trimmed = text.trim();
        if let Ok(at) = trimmed.parse::<i64>() {
            return Ok(Self::At(Timestamp::from_millis(at)));
        }
        if let Some(duration) = trimmed.strip_suffix("ago") {
            let duration = humantime::parse_duration(duration.trim()).map_err(|_| refused())?;
            return Ok(Self::Ago(millis(duration)));
        }
        let at: jiff::Timestamp = trimmed.parse().map_err(|_| refused())?;
        Ok(Self::At(Timestamp::from_millis(at.as_millisecond())))
    }
}

/// `at` as people read it, in UTC.
pub(crate) fn display(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| at.as_millis().to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_form_and_refused_with_what_is_allowed() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        let read = |text: &str| text.parse::<Moment>().map(|moment| moment.as_of(now).as_millis());
        assert_eq!(read("1600000000000"), Ok(1_600_000_000_000));
        assert_eq!(read("2h ago"), Ok(1_000_000_000_000 - 7_200_000));
        assert_eq!(read("1day 30m ago"), Ok(1_000_000_000_000 - 88_200_000));
        assert_eq!(read("2020-09-13T12:26:40Z"), Ok(1_600_000_000_000));
        assert_eq!(read("2020-09-13T14:26:40.5+02:00"), Ok(1_600_000_000_500));
        for bad in ["yesterday", "2h", "ago", "2020-09-13"] {
            assert!(read(bad).unwrap_err().contains("`2h ago`"), "{bad}");
        }
        assert_eq!(display(Timestamp::from_millis(1_600_000_000_000)), "2020-09-13T12:26:40Z");
    }
}
