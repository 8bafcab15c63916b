//! Numbers: counts, experiments, lineage and conflicts.

use std::collections::BTreeMap;
use std::ops::Range;

use plaudit_event::{Assignment, ExperimentId, Labels, PolicyId, Timestamp, UnitId, VariantId};
use rusqlite::{Connection, params};

use super::{from_sql, to_sql};
use crate::log::{Part, Topic};
use crate::outcome::Reason;
use crate::store::{Conflict, Counts, LabelSum, Lineage, Place, UnitMetrics, VariantMinute};

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

/// An exposure or an example of an experiment.
struct Shown {
    variant: VariantId,
    unit_id: UnitId,
    at: Timestamp,
    /// Of an example.
    labels: Option<Labels>,
}

/// What is counted about shown exposures.
#[derive(Default)]
struct Tally {
    exposures: u64,
    examples: u64,
    labels: BTreeMap<plaudit_event::Objective, LabelSum>,
}

impl Tally {
    fn add(&mut self, labels: Option<Labels>) {
        let Some(labels) = labels else {
            self.exposures += 1;
            return;
        };
        self.examples += 1;
        for (objective, label) in labels {
            let sum = self.labels.entry(objective).or_default();
            sum.labels += 1;
            sum.value += f64::from(label.value);
            sum.weight += f64::from(label.weight);
        }
    }
}

/// How much there is.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    let count = |topic: Topic| {
        connection
            .prepare_cached(&format!("SELECT count(*) FROM {topic}"))?
            .query_row([], |row| row.get(0).map(from_sql))
    };
    let mut counts = Counts {
        exposures: count(Topic::Exposures)?,
        signals: count(Topic::Signals)?,
        examples: count(Topic::Examples)?,
        dead_letters: BTreeMap::new(),
        conflicts: connection
            .prepare_cached("SELECT count(*) FROM (SELECT DISTINCT topic, id FROM conflicts)")?
            .query_row([], |row| row.get(0).map(from_sql))?,
    };
    let mut statement = connection.prepare_cached("SELECT count(*) FROM dead_letters WHERE reason = ?1")?;
    for reason in Reason::ALL {
        let number: i64 = statement.query_row([reason.as_str()], |row| row.get(0))?;
        if number > 0 {
            counts.dead_letters.insert(*reason, from_sql(number));
        }
    }
    Ok(counts)
}

/// See [`EventStore::unit_metrics`](crate::store::EventStore::unit_metrics).
pub(super) fn units(
    connection: &Connection,
    of: (&ExperimentId, &Range<Timestamp>),
    after: Option<&(VariantId, UnitId)>,
    limit: usize,
) -> rusqlite::Result<Vec<UnitMetrics>> {
    let mut tallies: BTreeMap<(VariantId, UnitId), Tally> = BTreeMap::new();
    each_shown(connection, of.0, of.1, |shown| {
        let key = (shown.variant, shown.unit_id);
        if after.is_none_or(|after| *after < key) {
            tallies.entry(key).or_default().add(shown.labels);
        }
    })?;
    let mut units = Vec::new();
    for ((variant, unit_id), Tally { exposures, examples, labels }) in tallies.into_iter().take(limit) {
        units.push(UnitMetrics { variant, unit_id, exposures, examples, labels });
    }
    Ok(units)
}

/// See [`EventStore::variant_minutes`](crate::store::EventStore::variant_minutes).
pub(super) fn minutes(
    connection: &Connection,
    experiment: &ExperimentId,
    range: &Range<Timestamp>,
    limit: usize,
) -> rusqlite::Result<Vec<VariantMinute>> {
    let mut tallies: BTreeMap<(Timestamp, VariantId), Tally> = BTreeMap::new();
    each_shown(connection, experiment, range, |shown| {
        let millis = shown.at.as_millis();
        let minute = Timestamp::from_millis(millis - millis.rem_euclid(MINUTE));
        tallies.entry((minute, shown.variant)).or_default().add(shown.labels);
    })?;
    let mut minutes = Vec::new();
    for ((minute, variant), Tally { exposures, examples, labels }) in tallies.into_iter().take(limit) {
        minutes.push(VariantMinute { minute, variant, exposures, examples, labels });
    }
    Ok(minutes)
}

/// Gives every exposure and every example of `experiment` in `range` to `take`.
fn each_shown(
    connection: &Connection,
    experiment: &ExperimentId,
    range: &Range<Timestamp>,
    mut take: impl FnMut(Shown),
) -> rusqlite::Result<()> {
    let tables = [("exposures", "ts", "NULL"), ("examples", "exposure_ts", "json_extract(body, '$.labels')")];
    for (table, ts, labels) in tables {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT json_extract(body, '$.assignments') AS assignments, unit_id, {ts}, {labels} FROM {table}
             WHERE {ts} >= ?1 AND {ts} < ?2 AND assignments IS NOT NULL"
        ))?;
        let mut rows = statement.query(params![range.start.as_millis(), range.end.as_millis()])?;
        while let Some(row) = rows.next()? {
            let (assignments, unit): (String, String) = (row.get(0)?, row.get(1)?);
            let labels: Option<String> = row.get(3)?;
            let assignments: Vec<Assignment> = serde_json::from_str(&assignments).unwrap_or_default();
            let of_experiment = assignments.into_iter().find(|assignment| assignment.experiment == *experiment);
            if let (Some(assignment), Ok(unit_id)) = (of_experiment, UnitId::new(unit)) {
                let labels = labels.map(|labels| serde_json::from_str(&labels).unwrap_or_default());
                let at = Timestamp::from_millis(row.get(2)?);
                take(Shown { variant: assignment.variant, unit_id, at, labels });
            }
        }
    }
    Ok(())
}

/// See [`EventStore::lineage`](crate::store::EventStore::lineage).
pub(super) fn lineage(connection: &Connection, part: Part, offsets: &Range<u64>) -> rusqlite::Result<Vec<Lineage>> {
    let (table, ts) = match part.topic {
        Topic::Examples => ("examples", "exposure_ts"),
        _ => ("exposures", "ts"),
    };
    let [from, to] = [offsets.start, offsets.end].map(|offset| Place { shard: part.shard, offset }.number());
    let mut statement = connection.prepare_cached(&format!(
        "SELECT policy_id, count(*), min({ts}), max({ts}) FROM {table}
         WHERE seq >= ?1 AND seq < ?2 GROUP BY policy_id ORDER BY policy_id"
    ))?;
    let mut rows = statement.query(params![to_sql(from), to_sql(to)])?;
    let mut lineage = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(policy_id) = PolicyId::new(row.get::<_, String>(0)?) {
            let [first, last] = [row.get(2)?, row.get(3)?].map(Timestamp::from_millis);
            lineage.push(Lineage { policy_id, rows: from_sql(row.get(1)?), first, last });
        }
    }
    Ok(lineage)
}

/// See [`EventStore::conflicts`](crate::store::EventStore::conflicts).
pub(super) fn conflicts(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Conflict>> {
    let mut statement = connection.prepare_cached(
        "SELECT topic, id, seq FROM conflicts WHERE (topic, id) IN
             (SELECT DISTINCT topic, id FROM conflicts ORDER BY topic, id LIMIT ?1)
         ORDER BY topic, id, seq",
    )?;
    let mut rows = statement.query([to_sql(limit as u64)])?;
    let mut conflicts: Vec<Conflict> = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, id): (String, String) = (row.get(0)?, row.get(1)?);
        let topic = if name == Topic::Signals.as_str() { Topic::Signals } else { Topic::Exposures };
        let place = Place::of_number(from_sql(row.get(2)?));
        match conflicts.last_mut().filter(|last| last.topic == topic && last.id == id) {
            Some(last) => last.places.push(place),
            None => conflicts.push(Conflict { topic, id, places: vec![place] }),
        }
    }
    Ok(conflicts)
}
