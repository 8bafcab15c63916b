//! The events of each unit: the indexes by unit, read beside each other.
//!
//! Nothing is added up in SQL here: the database runs in this process, and the fold that defines the metrics is at hand.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use plaudit_event::{Actor, Assignment, Example, Exposure, Signal, SignalId, SignalKind, Timestamp};
use rusqlite::{Connection, Row, Rows, params};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::store::units::{labels, surface, unpack_assignments, words};
use crate::store::{Question, ReactionRow, ShownRow, UnitEvents, Visit, Worth};

const EXPOSURES: &str = "SELECT unit_id, seq, exposure_id, ts, surface, words, assigned, attributes
    FROM exposures INDEXED BY exposures_of_units WHERE ts >= ?1 AND ts < ?2 ORDER BY unit_id, exposure_id";
const EXAMPLES: &str = "SELECT unit_id, seq, exposure_id, exposure_ts, surface, words, assigned, attributes,
        revision, told, labels
    FROM examples INDEXED BY examples_of_units WHERE exposure_ts >= ?1 AND exposure_ts < ?2
    ORDER BY unit_id, exposure_id";
/// Ordered by the unit of the exposure, which a reaction does not know.
const REACTIONS: &str = "SELECT coalesce(
            (SELECT unit_id FROM exposures WHERE exposure_id = signals.exposure_id),
            (SELECT unit_id FROM examples WHERE exposure_id = signals.exposure_id)) AS unit,
        seq, signal_id, exposure_id, kind, ts, value, retracts, is_shadow
    FROM signals INDEXED BY signals_of_exposures
    WHERE (KINDS OR retracts IS NOT NULL OR is_shadow IS NULL) AND is_shadow IS NOT 1 AND unit IS NOT NULL
    ORDER BY unit";

/// Rows of one table in the order of their units.
struct Cursor<'s, T, F> {
    rows: Rows<'s>,
    read: F,
    /// The next row with its unit; nothing at the end.
    next: Option<(String, T)>,
}

impl<'s, T, F: FnMut(&Row<'_>) -> rusqlite::Result<Option<T>>> Cursor<'s, T, F> {
    fn new(rows: Rows<'s>, read: F) -> rusqlite::Result<Self> {
        let mut cursor = Self { rows, read, next: None };
        cursor.advance()?;
        Ok(cursor)
    }

    /// Goes to the next row that says something.
    fn advance(&mut self) -> rusqlite::Result<()> {
        self.next = None;
        while let Some(row) = self.rows.next()? {
            if let Some(read) = (self.read)(row)? {
                self.next = Some((row.get(0)?, read));
                break;
            }
        }
        Ok(())
    }

    fn unit(&self) -> Option<&str> {
        self.next.as_ref().map(|(unit, _)| unit.as_str())
    }

    /// Moves every row of `unit` into `rows`; those of units before it are of no unit that was shown anything.
    fn take(&mut self, unit: &str, rows: &mut Vec<T>) -> rusqlite::Result<()> {
        while self.unit().is_some_and(|mine| mine <= unit) {
            let taken = self.next.take();
            self.advance()?;
            rows.extend(taken.filter(|(mine, _)| mine == unit).map(|(_, row)| row));
        }
        Ok(())
    }
}

/// See [`EventStore::unit_events`](crate::store::EventStore::unit_events).
pub(super) fn visit(
    connection: &Connection,
    question: &Question,
    hashes: &RangeInclusive<u64>,
    visit: &mut Visit,
) -> rusqlite::Result<()> {
    // All three see the store as of one moment.
    let moment = connection.unchecked_transaction()?;
    let range = params![question.shown.start.as_millis(), question.shown.end.as_millis()];
    let reader = Reader::new(&moment, question);
    let mut statements = (moment.prepare(EXPOSURES)?, moment.prepare(EXAMPLES)?, moment.prepare(&reader.reactions)?);
    let mut exposures = Cursor::new(statements.0.query(range)?, |row| reader.exposure(row))?;
    let mut examples = Cursor::new(statements.1.query(range)?, |row| reader.example(row))?;
    let mut reactions = Cursor::new(statements.2.query([])?, |row| reader.reaction(row))?;
    while let Some(unit) = exposures.unit().into_iter().chain(examples.unit()).min().map(str::to_owned) {
        let mut events = UnitEvents { hash: hash(&unit), shown: Vec::new(), reactions: Vec::new() };
        exposures.take(&unit, &mut events.shown)?;
        examples.take(&unit, &mut events.shown)?;
        reactions.take(&unit, &mut events.reactions)?;
        if hashes.contains(&events.hash) {
            visit(events);
        }
    }
    Ok(())
}

/// The beginning of the SHA-256 of `unit`.
fn hash(unit: &str) -> u64 {
    let digest = Sha256::digest(unit.as_bytes());
    u64::from_be_bytes(std::array::from_fn(|index| digest[index]))
}

/// Makes events of rows.
struct Reader<'c> {
    connection: &'c Connection,
    needs_attributes: bool,
    reactions: String,
    /// By how they are packed: few are different.
    assignments: RefCell<HashMap<String, Arc<Vec<Assignment>>>>,
}

impl<'c> Reader<'c> {
    fn new(connection: &'c Connection, question: &Question) -> Self {
        let quoted = |kind: &&SignalKind| format!("'{}'", kind.as_str().replace('\'', "''"));
        let kinds: Vec<String> = question.kinds().iter().map(quoted).collect();
        Self {
            connection,
            needs_attributes: question.needs_attributes(),
            reactions: REACTIONS.replace("KINDS", &format!("kind IN ({})", kinds.join(", "))),
            assignments: RefCell::default(),
        }
    }

    fn exposure(&self, row: &Row<'_>) -> rusqlite::Result<Option<ShownRow>> {
        if row.get_ref(6)?.as_str_or_null()?.is_some() {
            return self.shown(row, None).map(Some);
        }
        let old: Option<Exposure> = self.old("exposures", row)?;
        Ok(old.map(|old| ShownRow {
            exposure_id: old.exposure_id.to_string(),
            ts: old.ts,
            surface: old.surface,
            words: words(old.response()),
            assignments: Arc::new(old.assignments),
            attributes: old.attributes,
            worth: None,
        }))
    }

    fn example(&self, row: &Row<'_>) -> rusqlite::Result<Option<ShownRow>> {
        if row.get_ref(6)?.as_str_or_null()?.is_some() {
            let told = Timestamp::from_millis(row.get(9)?);
            let worth = Worth { revision: row.get(8)?, told, labels: labels(row.get_ref(10)?.as_str()?) };
            return self.shown(row, Some(worth)).map(Some);
        }
        let old: Option<Example> = self.old("examples", row)?;
        Ok(old.map(|old| ShownRow {
            exposure_id: old.exposure_id.to_string(),
            ts: old.exposure_ts,
            surface: old.surface,
            words: words(&old.response),
            assignments: Arc::new(old.assignments),
            attributes: old.attributes,
            worth: Some(Worth {
                revision: old.revision,
                told: old.ts,
                labels: old.labels.into_iter().map(|(objective, label)| (objective.0, label.value)).collect(),
            }),
        }))
    }

    fn shown(&self, row: &Row<'_>, worth: Option<Worth>) -> rusqlite::Result<ShownRow> {
        let attributes = match row.get_ref(7)?.as_str()? {
            text if self.needs_attributes && !text.is_empty() => serde_json::from_str(text).unwrap_or_default(),
            _ => serde_json::Map::new(),
        };
        Ok(ShownRow {
            exposure_id: row.get(2)?,
            ts: Timestamp::from_millis(row.get(3)?),
            surface: surface(row.get_ref(4)?.as_str()?),
            words: row.get(5)?,
            assignments: self.assignments(row.get_ref(6)?.as_str()?),
            attributes,
            worth,
        })
    }

    fn assignments(&self, packed: &str) -> Arc<Vec<Assignment>> {
        let mut known = self.assignments.borrow_mut();
        if let Some(assignments) = known.get(packed) {
            return Arc::clone(assignments);
        }
        let assignments = Arc::new(unpack_assignments(packed));
        known.insert(packed.to_owned(), Arc::clone(&assignments));
        assignments
    }

    fn reaction(&self, row: &Row<'_>) -> rusqlite::Result<Option<ReactionRow>> {
        if row.get::<_, Option<bool>>(8)?.is_some() {
            return Ok(Some(ReactionRow {
                signal_id: row.get(2)?,
                exposure_id: row.get(3)?,
                kind: SignalKind::from(row.get::<_, String>(4)?),
                ts: Timestamp::from_millis(row.get(5)?),
                value: row.get(6)?,
                retracts: row.get(7)?,
            }));
        }
        let old: Option<Signal> = self.old("signals", row)?;
        Ok(old.filter(|old| old.actor == Actor::User).map(|old| ReactionRow {
            signal_id: old.signal_id.to_string(),
            exposure_id: old.exposure_id.to_string(),
            kind: old.kind,
            value: old.value,
            ts: old.ts,
            retracts: old.retracts.as_ref().map(SignalId::to_string),
        }))
    }

    /// The event of a row of an older format, which has only its body; nothing when that cannot be read.
    fn old<T: DeserializeOwned>(&self, table: &str, row: &Row<'_>) -> rusqlite::Result<Option<T>> {
        let sql = format!("SELECT body FROM {table} WHERE seq = ?1");
        let body: String =
            self.connection.prepare_cached(&sql)?.query_row([row.get::<_, i64>(1)?], |row| row.get(0))?;
        Ok(serde_json::from_str(&body).ok())
    }
}
