//! Moments as people write them.

use plaudit_event::Timestamp;
use serde::de::{Deserializer, Error, Visitor};

/// Reads RFC 3339 text or milliseconds.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    deserializer.deserialize_any(Moment)
}

struct Moment;

impl Visitor<'_> for Moment {
    type Value = Timestamp;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a time such as \"2026-11-27T12:00:00Z\", or milliseconds since the Unix epoch")
    }

    fn visit_i64<E: Error>(self, millis: i64) -> Result<Timestamp, E> {
        Ok(Timestamp::from_millis(millis))
    }

    fn visit_u64<E: Error>(self, millis: u64) -> Result<Timestamp, E> {
        i64::try_from(millis).map(Timestamp::from_millis).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
        let moment: jiff::Timestamp = text.parse().map_err(E::custom)?;
        Ok(Timestamp::from_millis(moment.as_millisecond()))
    }
}
