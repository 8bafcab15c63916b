//! Writing a batch.

use std::path::Path;

use plaudit_event::{Example, Exposure, Signal};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;

use super::{Batch, from_sql, sqlite_error, to_sql};
use crate::Error;
use crate::log::Topic;
use crate::outcome::DeadLetter;
use crate::store::{Mark, Rows};

/// Where `topic` goes on; nothing when it was never written.
pub(super) fn position(connection: &Connection, topic: Topic) -> rusqlite::Result<Option<u64>> {
    let next: Option<i64> = connection
        .prepare_cached("SELECT next FROM positions WHERE topic = ?1")?
        .query_row([topic.as_str()], |row| row.get(0))
        .optional()?;
    Ok(next.map(from_sql))
}

/// The mark of the last record of `topic` that was written.
pub(super) fn mark(connection: &Connection, topic: Topic) -> rusqlite::Result<Option<Mark>> {
    let mark: Option<Option<[u8; 16]>> = connection
        .prepare_cached("SELECT mark FROM positions WHERE topic = ?1")?
        .query_row([topic.as_str()], |row| row.get(0))
        .optional()?;
    Ok(mark.flatten().map(Mark))
}

/// See [`EventStore::apply`](crate::store::EventStore::apply).
pub(super) fn apply(connection: &mut Connection, path: &Path, batch: &Batch) -> Result<u64, Error> {
    let fail = sqlite_error("write", path);
    let topic = batch.rows.topic();
    let transaction = connection.transaction().map_err(&fail)?;
    let expected = position(&transaction, topic).map_err(&fail)?.unwrap_or(0);
    if batch.from > expected {
        return Err(Error::Gap { topic, from: batch.from, expected });
    }
    if batch.next <= expected {
        return Ok(0);
    }
    let num_new = write(&transaction, batch, expected).map_err(&fail)?;
    transaction.commit().map_err(&fail)?;
    Ok(num_new)
}

fn write(transaction: &Transaction<'_>, batch: &Batch, from: u64) -> rusqlite::Result<u64> {
    let num_new = match &batch.rows {
        Rows::Exposures(rows) => each(rows, from, |seq, row| exposure(transaction, seq, row))?,
        Rows::Signals(rows) => each(rows, from, |seq, row| signal(transaction, seq, row))?,
        Rows::Examples(rows) => each(rows, from, |seq, row| example(transaction, seq, row))?,
        Rows::DeadLetters(rows) => each(rows, from, |seq, row| dead(transaction, seq, row))?,
    };
    transaction
        .prepare_cached(
            "INSERT INTO positions (topic, next, mark) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET next = excluded.next, mark = excluded.mark",
        )?
        .execute(params![batch.rows.topic().as_str(), to_sql(batch.next), batch.mark.map(|mark| mark.0)])?;
    Ok(num_new)
}

/// Writes the rows at or after `from`; returns how many changed something.
fn each<T>(rows: &[(u64, T)], from: u64, insert: impl Fn(i64, &T) -> rusqlite::Result<usize>) -> rusqlite::Result<u64> {
    let mut num_new = 0;
    for (offset, row) in rows.iter().filter(|(offset, _)| *offset >= from) {
        num_new += insert(to_sql(*offset), row)? as u64;
    }
    Ok(num_new)
}

fn exposure(connection: &Connection, seq: i64, row: &Exposure) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO exposures (seq, exposure_id, unit_id, surface, policy_id, ts, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            seq,
            row.exposure_id.as_str(),
            row.unit_id.as_str(),
            name(&row.surface),
            row.policy_id.as_str(),
            row.ts.as_millis(),
            json(row),
        ])
}

fn signal(connection: &Connection, seq: i64, row: &Signal) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO signals (seq, signal_id, exposure_id, kind, ts, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            seq,
            row.signal_id.as_str(),
            row.exposure_id.as_str(),
            row.kind.as_str(),
            row.ts.as_millis(),
            json(row),
        ])
}

fn example(connection: &Connection, seq: i64, row: &Example) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO examples (seq, exposure_id, revision, unit_id, policy_id, exposure_ts, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (exposure_id) DO UPDATE SET seq = excluded.seq,
                 revision = excluded.revision, body = excluded.body
             WHERE excluded.revision > revision",
        )?
        .execute(params![
            seq,
            row.exposure_id.as_str(),
            row.revision,
            row.unit_id.as_str(),
            row.policy_id.as_str(),
            row.exposure_ts.as_millis(),
            json(row),
        ])
}

fn dead(connection: &Connection, seq: i64, row: &DeadLetter) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (seq, outcome, reason, received_ts)
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![seq, row.outcome, row.reason.as_str(), row.received_ts.as_millis(),])
}

fn json(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("an event has only string keys")
}

/// The name on the wire of a value that is a plain text there.
fn name(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).expect("a plain enum");
    json.as_str().unwrap_or_default().to_owned()
}
