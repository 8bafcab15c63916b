//! Writing a batch.

use std::collections::BTreeMap;
use std::path::Path;

use plaudit_event::{Actor, Event, Example, Exposure, Signal, SignalId};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Batch, from_sql, sqlite_error, to_sql};
use crate::Error;
use crate::fingerprint::Fingerprint;
use crate::log::{Part, Topic};
use crate::outcome::DeadLetter;
use crate::store::{End, Mark, Place, Rows, name, place, units};

/// The name of a part in table `positions`.
fn part_name(part: Part) -> String {
    match part.shard {
        0 => part.topic.to_string(),
        _ => part.to_string(),
    }
}

fn part_of(name: &str) -> Option<Part> {
    let (topic, shard) = name.split_once('/').unwrap_or((name, "0"));
    let topic = Topic::ALL.into_iter().find(|known| known.as_str() == topic)?;
    Some(Part { topic, shard: shard.parse().ok()? })
}

/// Where every part goes on, and the mark of its last record.
pub(super) fn ends(connection: &Connection) -> rusqlite::Result<BTreeMap<Part, End>> {
    let mut statement = connection.prepare_cached("SELECT topic, next, mark FROM positions")?;
    let mut rows = statement.query([])?;
    let mut ends = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if let Some(part) = part_of(&name) {
            let mark: Option<[u8; 16]> = row.get(2)?;
            ends.insert(part, End { next: from_sql(row.get(1)?), mark: mark.map(Mark) });
        }
    }
    Ok(ends)
}

fn position(connection: &Connection, part: Part) -> rusqlite::Result<u64> {
    let next: Option<i64> = connection
        .prepare_cached("SELECT next FROM positions WHERE topic = ?1")?
        .query_row([part_name(part)], |row| row.get(0))
        .optional()?;
    Ok(next.map_or(0, from_sql))
}

/// See [`EventStore::apply`](crate::store::EventStore::apply).
pub(super) fn apply(connection: &mut Connection, path: &Path, batch: &Batch) -> Result<u64, Error> {
    let fail = sqlite_error("write", path);
    let part = batch.part();
    place::check(batch)?;
    let transaction = connection.transaction().map_err(&fail)?;
    let expected = position(&transaction, part).map_err(&fail)?;
    if batch.from > expected {
        return Err(Error::Gap { part, from: batch.from, expected });
    }
    if batch.next <= expected {
        return Ok(0);
    }
    let num_new = write(&transaction, batch, expected).map_err(&fail)?;
    transaction.commit().map_err(&fail)?;
    Ok(num_new)
}

fn write(transaction: &Transaction<'_>, batch: &Batch, from: u64) -> rusqlite::Result<u64> {
    let start = Place { shard: batch.shard, offset: from };
    let num_new = match &batch.rows {
        Rows::Exposures(rows) => each(rows, start, |seq, row| exposure(transaction, seq, row))?,
        Rows::Signals(rows) => each(rows, start, |seq, row| signal(transaction, seq, row))?,
        Rows::Examples(rows) => each(rows, start, |seq, row| example(transaction, seq, row))?,
        Rows::DeadLetters(rows) => each(rows, start, |seq, row| dead(transaction, seq, row))?,
    };
    transaction
        .prepare_cached(
            "INSERT INTO positions (topic, next, mark) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET next = excluded.next, mark = excluded.mark",
        )?
        .execute(params![part_name(batch.part()), to_sql(batch.next), batch.mark.map(|mark| mark.0)])?;
    Ok(num_new)
}

/// Writes the rows at or after `start`; returns how many changed something.
fn each<T>(
    rows: &[(u64, T)],
    start: Place,
    insert: impl Fn(i64, &T) -> rusqlite::Result<usize>,
) -> rusqlite::Result<u64> {
    let mut num_new = 0;
    for (offset, row) in rows.iter().filter(|(offset, _)| *offset >= start.offset) {
        num_new += insert(to_sql(Place { offset: *offset, ..start }.number()), row)? as u64;
    }
    Ok(num_new)
}

fn exposure(connection: &Connection, seq: i64, row: &Exposure) -> rusqlite::Result<usize> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO exposures
                 (seq, exposure_id, unit_id, surface, policy_id, ts, body, assigned, words, attributes)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE NOT EXISTS (SELECT 1 FROM erased WHERE exposure_id = ?2)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            seq,
            row.exposure_id.as_str(),
            row.unit_id.as_str(),
            name(&row.surface),
            row.policy_id.as_str(),
            row.ts.as_millis(),
            json(row),
            units::pack_assignments(&row.assignments),
            units::words(row.response()),
            attributes(&row.attributes),
        ])?;
    if inserted == 0 {
        let known = "SELECT seq, body FROM exposures WHERE exposure_id = ?1";
        let id = row.exposure_id.as_str();
        compare(connection, (Topic::Exposures, id, known), seq, (row.clone(), Event::Exposure))?;
    }
    Ok(inserted)
}

fn signal(connection: &Connection, seq: i64, row: &Signal) -> rusqlite::Result<usize> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO signals (seq, signal_id, exposure_id, kind, ts, body, value, retracts, is_shadow)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE NOT EXISTS (SELECT 1 FROM erased WHERE exposure_id = ?3)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            seq,
            row.signal_id.as_str(),
            row.exposure_id.as_str(),
            row.kind.as_str(),
            row.ts.as_millis(),
            json(row),
            row.value,
            row.retracts.as_ref().map(SignalId::as_str),
            row.actor == Actor::Shadow,
        ])?;
    if inserted == 0 {
        let known = "SELECT seq, body FROM signals WHERE signal_id = ?1";
        let id = row.signal_id.as_str();
        compare(connection, (Topic::Signals, id, known), seq, (row.clone(), Event::Signal))?;
    }
    Ok(inserted)
}

/// Writes down the conflict if the row called `id` that is there says something else.
fn compare<T: DeserializeOwned>(
    connection: &Connection,
    (topic, id, known): (Topic, &str, &str),
    seq: i64,
    (row, event): (T, fn(T) -> Event),
) -> rusqlite::Result<()> {
    let known: Option<(i64, String)> =
        connection.prepare_cached(known)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((known_seq, body)) = known else { return Ok(()) };
    let Ok(known) = serde_json::from_str::<T>(&body) else { return Ok(()) };
    let contents =
        [(known_seq, known), (seq, row)].map(|(seq, row)| (seq, Fingerprint::of_content(&mut event(row), None)));
    if contents[0].1 != contents[1].1 {
        for (seq, content) in contents {
            connection
                .prepare_cached(
                    "INSERT INTO conflicts (topic, id, content, seq) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                )?
                .execute(params![topic.as_str(), id, content.bytes(), seq])?;
        }
    }
    Ok(())
}

fn example(connection: &Connection, seq: i64, row: &Example) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO examples
                 (seq, exposure_id, revision, unit_id, policy_id, exposure_ts, body,
                  surface, assigned, words, attributes, labels, told)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13
             WHERE NOT EXISTS (SELECT 1 FROM erased WHERE exposure_id = ?2)
             ON CONFLICT (exposure_id) DO UPDATE SET seq = excluded.seq, revision = excluded.revision,
                 body = excluded.body, surface = excluded.surface, assigned = excluded.assigned,
                 words = excluded.words, attributes = excluded.attributes, labels = excluded.labels,
                 told = excluded.told
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
            name(&row.surface),
            units::pack_assignments(&row.assignments),
            units::words(&row.response),
            attributes(&row.attributes),
            units::pack_labels(&row.labels),
            row.ts.as_millis(),
        ])
}

/// As JSON, or an empty text for none.
fn attributes(attributes: &serde_json::Map<String, serde_json::Value>) -> String {
    if attributes.is_empty() { String::new() } else { json(attributes) }
}

fn dead(connection: &Connection, seq: i64, row: &DeadLetter) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (seq, outcome, reason, received_ts, source)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            seq,
            row.outcome,
            row.reason.as_str(),
            row.received_ts.as_millis(),
            row.source.as_ref().map(ToString::to_string),
        ])
}

fn json(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("an event has only string keys")
}
