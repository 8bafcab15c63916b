//! Writing a batch: what is new is found, the rows go in, then the position.
//!
//! ```text
//! position, exposures of signals, known ids, erased ids ─► rows ─► erased ids again ─► position
//! ```
//!
//! A writer that is killed anywhere leaves at most rows at or beyond the position. They come again from the log
//! and are recognised by their key: the same id and content is one row, whatever batch it came in.

use std::collections::{BTreeMap, HashMap, HashSet};

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::erase;
use super::rows::{DeadLetterRow, ExampleRow, ExposureRow, Keyed, SignalRow};
use super::schema::Schema;
use super::shown;
use crate::Error;
use crate::fingerprint::Fingerprint;
use crate::log::{Part, Topic};
use crate::store::{Batch, End, Mark, Place, Rows, place};

/// A row of table `positions`.
#[derive(Debug, Row, Serialize, Deserialize)]
struct Position {
    topic: String,
    shard: u32,
    next: u64,
    mark: String,
}

/// What is known about an id.
#[derive(Debug, Row, Deserialize)]
struct Known {
    id: String,
    version: u64,
    content: [u8; 16],
}

/// Versions and contents by id.
type KnownIds = HashMap<String, Vec<(u64, [u8; 16])>>;

/// Where a batch is written.
pub(super) struct Target<'a> {
    pub(super) client: &'a Client,
    pub(super) schema: &'a Schema,
    pub(super) batch_bytes: usize,
}

/// Where every part goes on, and the mark of its last record.
pub(super) async fn ends(client: &Client) -> Result<BTreeMap<Part, End>, Error> {
    let query = client.query(
        "SELECT topic, shard, max(p.next) AS next, argMax(p.mark, p.next) AS mark
         FROM positions AS p GROUP BY topic, shard",
    );
    let mut ends = BTreeMap::new();
    for row in client.fetch::<Position>("read positions", query).await? {
        if let Some(topic) = Topic::ALL.into_iter().find(|topic| topic.as_str() == row.topic) {
            let end = End { next: row.next, mark: Mark::from_hex(&row.mark) };
            ends.insert(Part { topic, shard: row.shard }, end);
        }
    }
    Ok(ends)
}

impl Target<'_> {
    /// See [`EventStore::apply`](crate::store::EventStore::apply).
    pub(super) async fn apply(&self, batch: Batch) -> Result<u64, Error> {
        place::check(&batch)?;
        let part = batch.part();
        let expected = ends(self.client).await?.get(&part).map_or(0, |end| end.next);
        if batch.from > expected {
            return Err(Error::Gap { part, from: batch.from, expected });
        }
        if batch.next <= expected {
            return Ok(0);
        }
        let (next, mark) = (batch.next, batch.mark);
        let num_new = self.write(batch, expected).await?;
        self.move_to(part, next, mark).await?;
        Ok(num_new)
    }

    /// Writes the rows of `batch` from the offset `from` on; returns how many are new.
    pub(super) async fn write(&self, batch: Batch, from: u64) -> Result<u64, Error> {
        let start = Place { shard: batch.shard, offset: from };
        match batch.rows {
            Rows::Exposures(rows) => self.rows(each(rows, start, ExposureRow::new).await?).await,
            Rows::Signals(rows) => {
                let mut rows = each(rows, start, SignalRow::new).await?;
                shown::place(self.client, &mut rows).await?;
                self.rows(rows).await
            }
            Rows::Examples(rows) => self.rows(each(rows, start, ExampleRow::new).await?).await,
            Rows::DeadLetters(rows) => self.rows(each(rows, start, DeadLetterRow::new).await?).await,
        }
    }

    /// Says that `part` has been copied up to `next`.
    pub(super) async fn move_to(&self, part: Part, next: u64, mark: Option<Mark>) -> Result<(), Error> {
        let mark = mark.map(Mark::to_hex).unwrap_or_default();
        let position = Position { topic: part.topic.to_string(), shard: part.shard, next, mark };
        self.client.insert("positions", &[position], None).await
    }

    async fn rows<T: Keyed>(&self, rows: Vec<T>) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        let (known, (num_erased, erased)) = tokio::try_join!(self.known(&rows), self.erased(&rows))?;
        let (rows, num_new) = sift(rows, known, &erased);
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (chunk, further) = rest.split_at(self.fitting(rest));
            self.client.insert(T::TABLE, chunk, Some(&token(chunk))).await?;
            rest = further;
        }
        if !rows.is_empty() && erase::number_of_all(self.client).await? != num_erased {
            self.forget_erased(&rows).await?;
        }
        Ok(num_new)
    }

    /// How many exposures are erased, and which of those that `rows` are about.
    async fn erased<T: Keyed>(&self, rows: &[T]) -> Result<(u64, HashSet<String>), Error> {
        // Counted first: what is erased after that makes a difference later.
        match erase::number_of_all(self.client).await? {
            0 => Ok((0, HashSet::new())),
            number => Ok((number, erase::among(self.client, rows).await?)),
        }
    }

    /// Takes those of `rows` out again that were erased while they were on their way.
    pub(super) async fn forget_erased<T: Keyed>(&self, rows: &[T]) -> Result<(), Error> {
        let erased: Vec<String> = erase::among(self.client, rows).await?.into_iter().collect();
        if erased.is_empty() {
            return Ok(());
        }
        for table in [T::COPY, T::TABLE].into_iter().filter(|table| !table.is_empty()) {
            erase::delete(self.client, self.schema, table, &erased).await?;
        }
        Ok(())
    }

    /// How many rows go into the next insert.
    fn fitting<T: Keyed>(&self, rows: &[T]) -> usize {
        let mut bytes = 0;
        for (index, row) in rows.iter().enumerate() {
            bytes += row.size();
            if bytes > self.batch_bytes && index > 0 {
                return index;
            }
        }
        rows.len()
    }

    /// What is stored under the ids of `rows`.
    ///
    /// Ids that rise with time are new in almost every batch: then little or nothing is stored between the first
    /// and the last of them, which is cheaper to ask than for each id by name.
    async fn known<T: Keyed>(&self, rows: &[T]) -> Result<KnownIds, Error> {
        let ids: Vec<&str> = rows.iter().map(Keyed::id).collect();
        let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return Ok(KnownIds::new()) };
        let (table, id, content) = (T::TABLE, T::ID, T::CONTENT);
        let select = format!("SELECT {id} AS id, version, {content} AS content FROM {table} WHERE {id}");
        let between = self.client.query(&format!("{select} BETWEEN ? AND ? LIMIT ?"));
        let query = between.bind(first).bind(last).bind(ids.len() + 1);
        let mut found = self.client.fetch::<Known>("look up ids", query).await?;
        if found.len() > ids.len() {
            let by_name = self.client.query(&format!("{select} IN ?")).bind(ids);
            found = self.client.fetch::<Known>("look up ids", by_name).await?;
        }
        let mut known = KnownIds::new();
        for row in found {
            known.entry(row.id).or_default().push((row.version, row.content));
        }
        Ok(known)
    }
}

/// The rows at or after `start`. Making them is work, which is done where it holds up nobody.
async fn each<T, R>(rows: Vec<(u64, T)>, start: Place, row: fn(Place, T) -> R) -> Result<Vec<R>, Error>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let work = move || {
        let mut made = Vec::with_capacity(rows.len());
        for (offset, event) in rows {
            if offset >= start.offset {
                made.push(row(Place { offset, ..start }, event));
            }
        }
        made
    };
    let task = tokio::task::spawn_blocking(work);
    task.await.map_err(|error| Error::Task { what: "store", detail: error.to_string() })
}

/// Those of `rows` that must be written, and how many of them are new.
fn sift<T: Keyed>(rows: Vec<T>, mut known: KnownIds, erased: &HashSet<String>) -> (Vec<T>, u64) {
    let mut kept = Vec::with_capacity(rows.len());
    let mut num_new = 0;
    for mut row in rows {
        if erased.contains(row.exposure_id()) {
            continue;
        }
        let (version, content) = (row.version(), row.content());
        let versions = known.entry(row.id().to_owned()).or_default();
        // The row itself may be there, from a writer that was killed before it moved the position.
        let mut others = versions.iter().filter(|other| other.0 != version).peekable();
        let is_new =
            if T::IS_REVISED { others.clone().all(|other| other.0 < version) } else { others.peek().is_none() };
        num_new += u64::from(is_new);
        let before: Vec<[u8; 16]> = others.filter(|other| other.0 > version).map(|other| other.1).collect();
        if !before.contains(&content) {
            if !before.is_empty() {
                row.set_conflict();
            }
            versions.push((version, content));
            kept.push(row);
        }
    }
    (kept, num_new)
}

/// The same for the same rows: the server takes a block with a token that it knows as done.
fn token<T: Keyed>(rows: &[T]) -> String {
    let mut parts = Vec::with_capacity(rows.len() * 24);
    for row in rows {
        parts.extend_from_slice(&row.version().to_le_bytes());
        parts.extend_from_slice(&row.content());
    }
    let ids: Vec<&[u8]> = rows.iter().map(|row| row.id().as_bytes()).collect();
    let marks = [Fingerprint::of_parts(&[&parts]), Fingerprint::of_parts(&ids)].map(|mark| Mark(mark.bytes()).to_hex());
    format!("{}-{}", T::TABLE, marks.concat())
}
