//! Parts of about as many rows each: units with neighbouring ids, as the indexes have them.

use rusqlite::{Connection, OptionalExtension};

use super::super::apply;
use crate::log::Topic;
use crate::sqlite::to_sql;
use crate::store::{PARTS, Place};

/// Rows below which a store is one part.
const FEW: u64 = 10_000;
/// Rows of each table and shard that tell where parts end.
const SAMPLED: u64 = 256;

/// The units from one id to another, which is excluded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: usize,
    from: String,
    /// Nothing for the last part.
    to: Option<String>,
}

impl Part {
    /// The units as a condition of SQL.
    pub(super) fn condition(&self) -> String {
        let quoted = |id: &str| format!("'{}'", id.replace('\'', "''"));
        let from = format!("unit_id >= {}", quoted(&self.from));
        self.to.as_ref().map_or_else(|| from.clone(), |to| format!("{from} AND unit_id < {}", quoted(to)))
    }
}

/// All parts, in the order of the ids of their units.
pub(super) fn parts(connection: &Connection) -> rusqlite::Result<Vec<Part>> {
    let mut ids: Vec<String> = Vec::new();
    let ends = apply::ends(connection)?.into_iter();
    let shown = ends.filter(|(part, _)| matches!(part.topic, Topic::Exposures | Topic::Examples));
    for (part, end) in shown.filter(|(_, end)| end.next >= FEW) {
        let sql = format!("SELECT unit_id FROM {} WHERE seq >= ?1 ORDER BY seq LIMIT 1", part.topic);
        let mut statement = connection.prepare(&sql)?;
        for index in 0..SAMPLED {
            let place = Place { shard: part.shard, offset: index * (end.next / SAMPLED) };
            ids.extend(statement.query_row([to_sql(place.number())], |row| row.get(0)).optional()?);
        }
    }
    ids.sort_unstable();
    let mut bounds: Vec<String> = (1..PARTS).filter_map(|index| ids.get(index * ids.len() / PARTS).cloned()).collect();
    bounds.dedup();
    let mut parts = Vec::with_capacity(bounds.len() + 1);
    let mut from = String::new();
    for to in bounds.into_iter().map(Some).chain([None]) {
        let next = to.clone().unwrap_or_default();
        parts.push(Part { number: parts.len(), from, to });
        from = next;
    }
    Ok(parts)
}
