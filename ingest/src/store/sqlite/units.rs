//! The events of each unit: the indexes by unit, read beside each other. Units are visited in parts, several at once.
//!
//! Nothing is added up in SQL here: the database runs in this process, and the fold that defines the metrics is at hand.

mod parts;
mod reactions;
mod reader;

use std::num::NonZero;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use rusqlite::{Connection, Row, Rows, params};
use sha2::{Digest, Sha256};

use super::Inner;
use crate::Error;
use crate::store::{Question, UnitEvents, Visit};

use parts::{Part, parts};
use reactions::{Reacted, Reactions};
use reader::Reader;

const EXPOSURES: &str = "SELECT unit_id, seq, exposure_id, ts, surface, words, assigned, attributes
    FROM exposures INDEXED BY exposures_of_units WHERE ts >= ?1 AND ts < ?2 AND PART ORDER BY unit_id, exposure_id";
const EXAMPLES: &str = "SELECT unit_id, seq, exposure_id, exposure_ts, surface, words, assigned, attributes,
        revision, told, labels
    FROM examples INDEXED BY examples_of_units WHERE exposure_ts >= ?1 AND exposure_ts < ?2 AND PART
    ORDER BY unit_id, exposure_id";

/// Rows of one table in the order of their units.
struct Cursor<'s, T, F> {
    rows: Rows<'s>,
    read: F,
    /// The next row; nothing at the end.
    next: Option<T>,
    /// The unit of the next row.
    unit: String,
}

impl<'s, T, F: FnMut(&Row<'_>) -> rusqlite::Result<Option<T>>> Cursor<'s, T, F> {
    fn new(rows: Rows<'s>, read: F) -> rusqlite::Result<Self> {
        let mut cursor = Self { rows, read, next: None, unit: String::new() };
        cursor.advance()?;
        Ok(cursor)
    }

    /// Goes to the next row that says something.
    fn advance(&mut self) -> rusqlite::Result<()> {
        self.next = None;
        while let Some(row) = self.rows.next()? {
            self.next = (self.read)(row)?;
            if self.next.is_some() {
                let unit = row.get_ref(0)?.as_str()?;
                if self.unit != unit {
                    unit.clone_into(&mut self.unit);
                }
                break;
            }
        }
        Ok(())
    }

    fn unit(&self) -> Option<&str> {
        self.next.as_ref().map(|_| self.unit.as_str())
    }

    /// Moves every row of `unit` into `rows`.
    fn take(&mut self, unit: &str, rows: &mut Vec<T>) -> rusqlite::Result<()> {
        while self.unit() == Some(unit) {
            rows.extend(self.next.take());
            self.advance()?;
        }
        Ok(())
    }
}

/// See [`EventStore::unit_events`](crate::store::EventStore::unit_events): as many parts at once as the machine has cores.
pub(super) fn visit(inner: &Inner, asked: (&Question, &RangeInclusive<u64>), visit: &Visit) -> Result<(), Error> {
    let (parts, reacted) = inner.read(|connection| Ok((parts(connection)?, Reacted::new(connection, asked.0)?)))?;
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            inner.read(|connection| visit_part(connection, asked, (part, &reacted), visit))?;
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(parts.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let done: Result<(), Error> = work();
        let join = |other: ScopedJoinHandle<'_, _>| other.join().unwrap_or_else(|panic| resume_unwind(panic));
        others.into_iter().map(join).fold(done, Result::and)
    })
}

fn visit_part(
    connection: &Connection,
    (question, hashes): (&Question, &RangeInclusive<u64>),
    (part, reacted): (&Part, &Reacted),
    visit: &Visit,
) -> rusqlite::Result<()> {
    // All statements see the store as of one moment, which is another for each part.
    let moment = connection.unchecked_transaction()?;
    let range = params![question.shown.start.as_millis(), question.shown.end.as_millis()];
    let reader = Reader::new(&moment, question);
    let of_part = |sql: &str| moment.prepare(&sql.replace("PART", &part.condition()));
    let (mut of_exposures, mut of_examples) = (of_part(EXPOSURES)?, of_part(EXAMPLES)?);
    let mut exposures = Cursor::new(of_exposures.query(range)?, |row| reader.exposure(row))?;
    let mut examples = Cursor::new(of_examples.query(range)?, |row| reader.example(row))?;
    let mut reactions = Reactions::new(&moment, reacted)?;
    let mut unit = String::new();
    while let Some(next) = exposures.unit().into_iter().chain(examples.unit()).min() {
        next.clone_into(&mut unit);
        let mut events = UnitEvents { hash: hash(&unit), shown: Vec::new(), reactions: Vec::new() };
        exposures.take(&unit, &mut events.shown)?;
        examples.take(&unit, &mut events.shown)?;
        if hashes.contains(&events.hash) {
            reactions.take(&reader, &mut events)?;
            visit(part.number, events);
        }
    }
    Ok(())
}

/// The beginning of the SHA-256 of `unit`.
fn hash(unit: &str) -> u64 {
    let digest = Sha256::digest(unit.as_bytes());
    u64::from_be_bytes(std::array::from_fn(|index| digest[index]))
}

#[cfg(test)]
mod tests;
