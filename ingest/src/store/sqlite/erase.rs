//! Taking a unit out.

use std::path::Path;

use plaudit_event::{ExposureId, UnitId};
use rusqlite::Connection;

use super::{from_sql, sqlite_error};
use crate::Error;
use crate::store::Erased;

/// See [`EventStore::erase`](crate::store::EventStore::erase).
pub(super) fn erase(connection: &mut Connection, path: &Path, unit: &UnitId) -> Result<Erased, Error> {
    let erased = in_transaction(connection, unit).map_err(sqlite_error("erase", path))?;
    // What was deleted is still in the write-ahead log until that is emptied.
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    match busy.map_err(sqlite_error("erase", path))? {
        0 => Ok(erased),
        _ => Err(Error::Busy { what: "readers of the store during an erasure", most: 0 }),
    }
}

/// See [`EventStore::clear`](crate::store::EventStore::clear).
pub(super) fn clear(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for table in ["exposures", "signals", "examples", "dead_letters", "conflicts", "erased", "positions"] {
        transaction.execute(&format!("DELETE FROM {table}"), [])?;
    }
    transaction.commit()
}

fn in_transaction(connection: &mut Connection, unit: &UnitId) -> rusqlite::Result<Erased> {
    let transaction = connection.transaction()?;
    let unit = unit.as_str();
    // An example outlives its exposure when an erasure was killed in between: both are asked.
    transaction.execute(
        "INSERT INTO erased SELECT exposure_id FROM exposures WHERE unit_id = ?1
         UNION SELECT exposure_id FROM examples WHERE unit_id = ?1 ON CONFLICT DO NOTHING",
        [unit],
    )?;
    let of_unit = "exposure_id IN (SELECT exposure_id FROM exposures WHERE unit_id = ?1
         UNION SELECT exposure_id FROM examples WHERE unit_id = ?1)";
    let ids: Vec<String> = transaction
        .prepare(
            "SELECT exposure_id FROM exposures WHERE unit_id = ?1
             UNION SELECT exposure_id FROM examples WHERE unit_id = ?1 ORDER BY 1",
        )?
        .query_map([unit], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    transaction.execute(
        &format!(
            "DELETE FROM conflicts WHERE topic = 'signals' AND id IN (SELECT signal_id FROM signals WHERE {of_unit})"
        ),
        [unit],
    )?;
    let of_ids = "DELETE FROM conflicts WHERE topic = 'exposures' AND id = ?1";
    for id in &ids {
        transaction.prepare_cached(of_ids)?.execute([id])?;
    }
    let signals = transaction.execute(&format!("DELETE FROM signals WHERE {of_unit}"), [unit])?;
    transaction.execute("DELETE FROM exposures WHERE unit_id = ?1", [unit])?;
    let examples = transaction.execute("DELETE FROM examples WHERE unit_id = ?1", [unit])?;
    transaction.commit()?;
    Ok(Erased {
        exposures: ids.into_iter().filter_map(|id| ExposureId::new(id).ok()).collect(),
        signals: from_sql(i64::try_from(signals).unwrap_or(i64::MAX)),
        examples: from_sql(i64::try_from(examples).unwrap_or(i64::MAX)),
    })
}
