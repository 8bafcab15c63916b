//! The reactions to exposures. A reaction does not know its unit, so that it is looked up by its exposure.

use std::hash::{DefaultHasher, Hash, Hasher};

use plaudit_event::SignalKind;
use rusqlite::{Connection, Statement};

use super::super::apply;
use super::reader::Reader;
use crate::log::Topic;
use crate::store::{Question, UnitEvents};

/// Bits of the set of exposures with reactions, for each reaction: few exposures without any are then looked up.
const BITS_EACH: u64 = 16;
/// Most bits: 32 MiB.
const MOST_BITS: u64 = 1 << 28;

/// Which exposures may have reactions that are asked for: most have none.
pub(super) struct Reacted {
    bits: Vec<u64>,
    condition: String,
}

impl Reacted {
    /// Reads the exposures of all reactions.
    pub(super) fn new(connection: &Connection, question: &Question) -> rusqlite::Result<Self> {
        let quoted = |kind: &&SignalKind| format!("'{}'", kind.as_str().replace('\'', "''"));
        let kinds = question.kinds().iter().map(quoted).collect::<Vec<_>>().join(", ");
        // What a row of an older format says is in its body only.
        let condition =
            format!("(kind IN ({kinds}) OR retracts IS NOT NULL OR is_shadow IS NULL) AND is_shadow IS NOT 1");
        let ends = apply::ends(connection)?.into_iter();
        let signals: u64 = ends.filter(|(part, _)| part.topic == Topic::Signals).map(|(_, end)| end.next).sum();
        let bits = (signals * BITS_EACH).next_power_of_two().clamp(64, MOST_BITS);
        let mut reacted = Self { bits: vec![0; usize::try_from(bits / 64).expect("at most 32 MiB")], condition };
        let sql =
            format!("SELECT exposure_id FROM signals INDEXED BY signals_of_exposures WHERE {}", reacted.condition);
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (word, bit) = reacted.place(row.get_ref(0)?.as_str()?);
            reacted.bits[word] |= 1 << bit;
        }
        Ok(reacted)
    }

    /// The word and the bit of an exposure.
    fn place(&self, exposure: &str) -> (usize, u64) {
        let mut hasher = DefaultHasher::new();
        exposure.hash(&mut hasher);
        let hash = hasher.finish();
        // The number of words is a power of two.
        let word = usize::try_from(hash / 64 % self.bits.len() as u64).expect("below the number of words");
        (word, hash % 64)
    }

    fn may_have(&self, exposure: &str) -> bool {
        let (word, bit) = self.place(exposure);
        self.bits[word] & 1 << bit != 0
    }
}

/// Looks reactions up.
pub(super) struct Reactions<'c> {
    reacted: &'c Reacted,
    statement: Statement<'c>,
}

impl<'c> Reactions<'c> {
    pub(super) fn new(connection: &'c Connection, reacted: &'c Reacted) -> rusqlite::Result<Self> {
        let sql = format!(
            "SELECT exposure_id, seq, signal_id, kind, ts, value, retracts, is_shadow
             FROM signals INDEXED BY signals_of_exposures WHERE exposure_id = ?1 AND {}",
            reacted.condition
        );
        Ok(Self { reacted, statement: connection.prepare(&sql)? })
    }

    /// Adds what was done about the exposures of `events`.
    pub(super) fn take(&mut self, reader: &Reader<'_>, events: &mut UnitEvents) -> rusqlite::Result<()> {
        let exposures = events.shown.iter().map(|row| row.exposure_id.as_str());
        let mut exposures: Vec<&str> = exposures.filter(|exposure| self.reacted.may_have(exposure)).collect();
        // An exposure and its example have one id.
        exposures.sort_unstable();
        exposures.dedup();
        for exposure in exposures {
            let mut rows = self.statement.query([exposure])?;
            while let Some(row) = rows.next()? {
                events.reactions.extend(reader.reaction(row)?);
            }
        }
        Ok(())
    }
}
