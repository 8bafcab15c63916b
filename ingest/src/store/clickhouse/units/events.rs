//! The events of units with hashes in a range.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use clickhouse::Row;
use plaudit_event::{Assignment, Labels, SignalKind, Timestamp};
use serde::Deserialize;

use super::super::client::Client;
use super::{ACTION, codes, query, sql};
use crate::Error;
use crate::store::units::{Known, labels, surface, unpack_assignments};
use crate::store::{Question, ReactionRow, ShownRow, UnitEvents, Visit, Worth};

#[derive(Debug, Row, Deserialize)]
struct Shown {
    unit: u64,
    exposure: String,
    is_example: u8,
    revision: u32,
    at: i64,
    told_at: i64,
    surface: String,
    assigned: String,
    words: u32,
    attributes: String,
    labels: String,
}

#[derive(Debug, Row, Deserialize)]
struct Reacted {
    unit: u64,
    exposure: String,
    kind: String,
    value: Option<f64>,
    /// The hash of the id.
    retracts: u64,
    signal: u64,
    at: i64,
}

/// See [`EventStore::unit_events`](crate::store::EventStore::unit_events). Ids are their hashes.
pub(in super::super) async fn events(
    client: &Client,
    question: &Question,
    hashes: &RangeInclusive<u64>,
    visit: &Visit,
) -> Result<(), Error> {
    let codes = codes(client, question).await?;
    let drawn: Vec<String> = codes.texts.iter().filter(|row| row.1 > 0).map(|row| sql::quoted(&row.0)).collect();
    if drawn.is_empty() {
        return Ok(());
    }
    let between = format!("{} AND {}", sql::within(hashes), sql::in_range("ts", question));
    let drawn = drawn.join(", ");
    let units = format!("SELECT unit FROM unit_exposures WHERE {between} AND assigned IN ({drawn})");
    let attributes = if question.needs_attributes() { "attributes" } else { "''" };
    let rows = format!(
        "SELECT unit, toString(exposure) AS exposure, is_example, revision, toUnixTimestamp64Milli(ts) AS at,
             toUnixTimestamp64Milli(told) AS told_at, toString(surface) AS surface, toString(assigned) AS assigned,
             words, {attributes} AS attributes, toString(labels) AS labels
         FROM unit_exposures FINAL WHERE {between} AND unit IN ({units}) ORDER BY unit"
    );
    let reactions = format!(
        "SELECT unit, toString(exposure) AS exposure, toString(kind) AS kind, value, retracts, signal,
             toUnixTimestamp64Milli(ts) AS at
         FROM ({}) WHERE unit IN ({units})",
        sql::reactions(question, &codes, hashes)
    );
    let (rows, reactions) = tokio::try_join!(
        client.fetch_long::<Shown>(ACTION, query(client, &rows)),
        client.fetch_long::<Reacted>(ACTION, query(client, &reactions))
    )?;
    give(rows, reactions, visit);
    Ok(())
}

fn give(rows: Vec<Shown>, reactions: Vec<Reacted>, visit: &Visit) {
    let mut reactions_of: BTreeMap<u64, Vec<ReactionRow>> = BTreeMap::new();
    for row in reactions {
        reactions_of.entry(row.unit).or_default().push(reaction(row));
    }
    let (mut assignments, mut labels) = (Known::new(unpack_assignments), Known::new(labels));
    let mut unit: Option<UnitEvents> = None;
    for row in rows {
        if let Some(done) = unit.take_if(|unit| unit.hash != row.unit) {
            visit(0, done);
        }
        let events = unit.get_or_insert_with(|| UnitEvents {
            hash: row.unit,
            shown: Vec::new(),
            reactions: reactions_of.remove(&row.unit).unwrap_or_default(),
        });
        let known = (assignments.of(&row.assigned), labels.of(&row.labels));
        events.shown.push(shown(row, known));
    }
    if let Some(done) = unit {
        visit(0, done);
    }
}

fn shown(row: Shown, (assignments, labels): (Arc<Vec<Assignment>>, Arc<Labels>)) -> ShownRow {
    let told = Timestamp::from_millis(row.told_at);
    ShownRow {
        exposure_id: row.exposure,
        ts: Timestamp::from_millis(row.at),
        surface: surface(&row.surface),
        words: row.words,
        assignments,
        attributes: serde_json::from_str(&row.attributes).unwrap_or_default(),
        worth: (row.is_example == 1).then_some(Worth { revision: row.revision, told, labels }),
    }
}

fn reaction(row: Reacted) -> ReactionRow {
    ReactionRow {
        signal_id: row.signal.to_string(),
        exposure_id: row.exposure,
        kind: SignalKind::from(row.kind),
        value: row.value,
        ts: Timestamp::from_millis(row.at),
        retracts: (row.retracts != 0).then(|| row.retracts.to_string()),
    }
}
