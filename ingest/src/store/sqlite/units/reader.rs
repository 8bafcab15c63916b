//! Events of rows.

use std::cell::RefCell;
use std::sync::Arc;

use plaudit_event::{Actor, Assignment, Example, Exposure, Labels, Signal, SignalId, SignalKind, Timestamp};
use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

use crate::store::units::{Known, labels, pack_labels, surface, unpack_assignments, words};
use crate::store::{Question, ReactionRow, ShownRow, Worth};

/// Makes events of rows.
pub(super) struct Reader<'c> {
    connection: &'c Connection,
    needs_attributes: bool,
    assignments: RefCell<Known<Vec<Assignment>>>,
    labels: RefCell<Known<Labels>>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(connection: &'c Connection, question: &Question) -> Self {
        Self {
            connection,
            needs_attributes: question.needs_attributes(),
            assignments: RefCell::new(Known::new(unpack_assignments)),
            labels: RefCell::new(Known::new(labels)),
        }
    }

    pub(super) fn exposure(&self, row: &Row<'_>) -> rusqlite::Result<Option<ShownRow>> {
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

    pub(super) fn example(&self, row: &Row<'_>) -> rusqlite::Result<Option<ShownRow>> {
        if row.get_ref(6)?.as_str_or_null()?.is_some() {
            let told = Timestamp::from_millis(row.get(9)?);
            let labels = self.labels.borrow_mut().of(row.get_ref(10)?.as_str()?);
            let worth = Worth { revision: row.get(8)?, told, labels };
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
                labels: Arc::new(labels(&pack_labels(&old.labels))),
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
            assignments: self.assignments.borrow_mut().of(row.get_ref(6)?.as_str()?),
            attributes,
            worth,
        })
    }

    pub(super) fn reaction(&self, row: &Row<'_>) -> rusqlite::Result<Option<ReactionRow>> {
        if row.get::<_, Option<bool>>(7)?.is_some() {
            return Ok(Some(ReactionRow {
                signal_id: row.get(2)?,
                exposure_id: row.get(0)?,
                kind: SignalKind::from(row.get::<_, String>(3)?),
                ts: Timestamp::from_millis(row.get(4)?),
                value: row.get(5)?,
                retracts: row.get(6)?,
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
