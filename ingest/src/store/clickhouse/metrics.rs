//! Experiments, lineage and conflicts.
//!
//! Nothing here is added up in advance. A sum that is kept while rows come in, as a materialized view does it, counts
//! rows again that are inserted again, keeps the label that a correction has replaced, and keeps what was erased.
//! Instead the narrow columns of the rows in the range are read: ids and times rise together, so that the index by
//! time leaves out the rest.

use std::collections::BTreeMap;
use std::ops::Range;

use clickhouse::Row;
use plaudit_event::{ExperimentId, Objective, PolicyId, Timestamp, UnitId, VariantId};
use serde::Deserialize;

use super::client::Client;
use crate::Error;
use crate::log::{Part, Topic};
use crate::store::{Conflict, LabelSum, Lineage, Place, SCAN_ROWS, UnitMetrics, VariantMinute};

const NO_LABELS: &str = "CAST(map(), 'Map(String, UInt64)') AS counts,
    CAST(map(), 'Map(String, Float64)') AS sums, CAST(map(), 'Map(String, Float64)') AS weights";
const LABELS: &str = "CAST(mapApply((k, v) -> (k, 1), label_values), 'Map(String, UInt64)') AS counts,
    CAST(label_values, 'Map(String, Float64)') AS sums, CAST(label_weights, 'Map(String, Float64)') AS weights";
const SUMS: &str = "sum(exposure) AS exposures, sum(example) AS examples, sumMap(counts) AS label_counts,
    sumMap(sums) AS label_sums, sumMap(weights) AS label_weights";

#[derive(Debug, Row, Deserialize)]
struct Group {
    variant: String,
    unit: String,
    at: i64,
    exposures: u64,
    examples: u64,
    label_counts: Vec<(String, u64)>,
    label_sums: Vec<(String, f64)>,
    label_weights: Vec<(String, f64)>,
}

#[derive(Debug, Row, Deserialize)]
struct OfPolicy {
    policy_id: String,
    number: u64,
    first: i64,
    last: i64,
}

#[derive(Debug, Row, Deserialize)]
struct Contents {
    topic: String,
    id: String,
    places: Vec<u64>,
}

/// See [`EventStore::unit_metrics`](crate::store::EventStore::unit_metrics).
pub(super) async fn units(
    client: &Client,
    of: (&ExperimentId, Range<Timestamp>),
    after: Option<&(VariantId, UnitId)>,
    limit: usize,
) -> Result<Vec<UnitMetrics>, Error> {
    let shown = shown(of.0, &of.1);
    let sql = format!(
        "SELECT variant, unit, toInt64(0) AS at, {SUMS} FROM ({shown}) WHERE (variant, unit) > (?, ?)
         GROUP BY variant, unit ORDER BY variant, unit LIMIT ?"
    );
    // No id is empty.
    let after = after.map_or(("", ""), |after| (after.0.as_str(), after.1.as_str()));
    let query = client.query(&sql).bind(after.0).bind(after.1).bind(limit.min(SCAN_ROWS));
    let mut units = Vec::new();
    for group in client.fetch::<Group>("read metrics", query).await? {
        let labels = labels(&group);
        if let (Ok(variant), Ok(unit_id)) = (VariantId::new(group.variant), UnitId::new(group.unit)) {
            units.push(UnitMetrics { variant, unit_id, exposures: group.exposures, examples: group.examples, labels });
        }
    }
    Ok(units)
}

/// See [`EventStore::variant_minutes`](crate::store::EventStore::variant_minutes).
pub(super) async fn minutes(
    client: &Client,
    experiment: &ExperimentId,
    range: &Range<Timestamp>,
    limit: usize,
) -> Result<Vec<VariantMinute>, Error> {
    let shown = shown(experiment, range);
    let sql = format!(
        "SELECT variant, '' AS unit, at, {SUMS} FROM ({shown}) GROUP BY variant, at ORDER BY at, variant LIMIT ?"
    );
    let query = client.query(&sql).bind(limit.min(SCAN_ROWS));
    let mut minutes = Vec::new();
    for group in client.fetch::<Group>("read metrics", query).await? {
        let (labels, minute) = (labels(&group), Timestamp::from_millis(group.at));
        if let Ok(variant) = VariantId::new(group.variant) {
            let (exposures, examples) = (group.exposures, group.examples);
            minutes.push(VariantMinute { minute, variant, exposures, examples, labels });
        }
    }
    Ok(minutes)
}

/// A query for every exposure and every example of `experiment` in `range`, each id once.
fn shown(experiment: &ExperimentId, range: &Range<Timestamp>) -> String {
    // The characters of ids need no escape.
    let experiment = experiment.as_str().replace('\\', "\\\\").replace('\'', "\\'").replace('?', "??");
    let (start, end) = (range.start.as_millis(), range.end.as_millis());
    let of = |columns, table, ts| {
        format!(
            "SELECT variants[indexOf(experiments, '{experiment}')] AS variant, unit_id AS unit,
                 intDiv(toUnixTimestamp64Milli({ts}), 60000) * 60000 AS at, {columns}
             FROM {table} WHERE {ts} >= fromUnixTimestamp64Milli({start})
                 AND {ts} < fromUnixTimestamp64Milli({end}) AND has(experiments, '{experiment}')"
        )
    };
    // Of rows with one id the first one counts. Those of an example have all the same time.
    let exposures = of(format!("toUInt64(1) AS exposure, toUInt64(0) AS example, {NO_LABELS}"), "exposures", "ts");
    let exposures = format!("{exposures} ORDER BY exposure_id, version DESC LIMIT 1 BY exposure_id");
    let examples = format!("toUInt64(0) AS exposure, toUInt64(1) AS example, {LABELS}");
    let examples = of(examples, "examples FINAL", "exposure_ts");
    format!("{exposures} UNION ALL {examples}")
}

fn labels(group: &Group) -> BTreeMap<Objective, LabelSum> {
    // The server leaves out sums that are 0.
    let sum = |sums: &[(String, f64)], name: &str| sums.iter().find(|sum| sum.0 == name).map_or(0.0, |sum| sum.1);
    let mut labels = BTreeMap::new();
    for (name, number) in &group.label_counts {
        let (value, weight) = (sum(&group.label_sums, name), sum(&group.label_weights, name));
        labels.insert(Objective::new(name.as_str()), LabelSum { labels: *number, value, weight });
    }
    labels
}

/// See [`EventStore::lineage`](crate::store::EventStore::lineage).
pub(super) async fn lineage(client: &Client, part: Part, offsets: Range<u64>) -> Result<Vec<Lineage>, Error> {
    let (table, ts) = match part.topic {
        Topic::Examples => ("examples", "exposure_ts"),
        _ => ("exposures", "ts"),
    };
    let sql = format!(
        "SELECT policy_id, uniqExact(place) AS number, toUnixTimestamp64Milli(min({ts})) AS first,
             toUnixTimestamp64Milli(max({ts})) AS last
         FROM {table} WHERE place >= ? AND place < ? AND (exposure_id, version) IN
             (SELECT exposure_id, max(version) FROM {table} WHERE exposure_id IN
                 (SELECT exposure_id FROM {table} WHERE place >= ? AND place < ?) GROUP BY exposure_id)
         GROUP BY policy_id ORDER BY policy_id"
    );
    let [from, to] = [offsets.start, offsets.end].map(|offset| Place { shard: part.shard, offset }.number());
    let query = client.query(&sql).bind(from).bind(to).bind(from).bind(to);
    let mut lineage = Vec::new();
    for row in client.fetch::<OfPolicy>("read lineage", query).await? {
        let [first, last] = [row.first, row.last].map(Timestamp::from_millis);
        if let Ok(policy_id) = PolicyId::new(row.policy_id) {
            lineage.push(Lineage { policy_id, rows: row.number, first, last });
        }
    }
    Ok(lineage)
}

/// See [`EventStore::conflicts`](crate::store::EventStore::conflicts).
pub(super) async fn conflicts(client: &Client, limit: usize) -> Result<Vec<Conflict>, Error> {
    let of = |table: &str, id: &str| {
        format!(
            "SELECT '{table}' AS topic, id, arraySort(groupArray(first)) AS places FROM
                 (SELECT {id} AS id, content, min(place) AS first FROM {table} GROUP BY id, content)
             GROUP BY id HAVING count() > 1"
        )
    };
    let (exposures, signals) = (of("exposures", "exposure_id"), of("signals", "signal_id"));
    let sql = format!("SELECT topic, id, places FROM ({exposures} UNION ALL {signals}) ORDER BY topic, id LIMIT ?");
    let query = client.query(&sql).bind(limit.min(SCAN_ROWS)).with_setting("optimize_aggregation_in_order", "1");
    let mut conflicts = Vec::new();
    for row in client.fetch::<Contents>("read conflicts", query).await? {
        let topic = if row.topic == "signals" { Topic::Signals } else { Topic::Exposures };
        let places = row.places.into_iter().map(Place::of_number).collect();
        conflicts.push(Conflict { topic, id: row.id, places });
    }
    Ok(conflicts)
}
