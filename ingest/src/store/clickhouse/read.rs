//! Reading rows back.
//!
//! Rows that were inserted twice may not be merged yet, and rows of a conflict never are: of each id only the row
//! with the highest version is given, whatever is there besides.

use std::ops::Range;

use clickhouse::Row;
use plaudit_event::{Context, Example, Exposure, Seed, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::Client;
use super::rows::{ExampleRow, ExposureRow, Keyed, SignalRow};
use crate::Error;
use crate::log::Topic;
use crate::outcome::Reason;
use crate::store::prompts::Pool;
use crate::store::{Counts, Place, SCAN_ROWS};

/// Exposures read at once for prompts.
const PROMPT_PAGE: usize = 1_000;

#[derive(Debug, Row, Deserialize)]
struct Body {
    place: u64,
    body: String,
}

#[derive(Debug, Row, Deserialize)]
struct Last {
    last: u64,
    number: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Dated {
    place: u64,
    at: i64,
    body: String,
}

#[derive(Debug, Row, Deserialize)]
struct Number {
    name: String,
    number: u64,
    conflicts: u64,
}

/// How much there is. Reads the ids of everything once, in order, so that it needs time but little memory.
pub(super) async fn counts(client: &Client) -> Result<Counts, Error> {
    let of_ids = |table: &str, id: &str, contents: &str| {
        format!(
            "SELECT '{table}' AS name, count() AS number, countIf(contents > 1) AS conflicts FROM
                 (SELECT {contents} AS contents FROM {table} GROUP BY {id})"
        )
    };
    let sql = [
        of_ids(ExposureRow::TABLE, ExposureRow::ID, "uniqExact(content)"),
        of_ids(SignalRow::TABLE, SignalRow::ID, "uniqExact(content)"),
        of_ids(ExampleRow::TABLE, ExampleRow::ID, "toUInt64(1)"),
        "SELECT reason AS name, count() AS number, toUInt64(0) AS conflicts FROM
             (SELECT any(reason) AS reason FROM dead_letters GROUP BY source) GROUP BY reason"
            .to_owned(),
    ];
    let query = client.query(&sql.join(" UNION ALL ")).with_setting("optimize_aggregation_in_order", "1");
    let mut counts = Counts::default();
    for Number { name, number, conflicts } in client.fetch("count", query).await? {
        counts.conflicts += conflicts;
        match name.as_str() {
            ExposureRow::TABLE => counts.exposures = number,
            SignalRow::TABLE => counts.signals = number,
            ExampleRow::TABLE => counts.examples = number,
            reason => {
                if let Some(known) = Reason::ALL.iter().find(|known| known.as_str() == reason) {
                    counts.dead_letters.insert(*known, number);
                }
            }
        }
    }
    Ok(counts)
}

/// Up to `limit` rows after `after`, in the order of their places.
pub(super) async fn scan<T: DeserializeOwned, R: Keyed>(
    client: &Client,
    topic: Topic,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<(Place, T)>, Error> {
    let limit = limit.min(SCAN_ROWS);
    let (table, id) = (R::TABLE, R::ID);
    // Places start at 0, which comes after nothing.
    let mut from = after.map_or(0, |after| after.number() + 1);
    let mut found = Vec::new();
    while found.len() < limit {
        let page = format!("SELECT DISTINCT place FROM {table} WHERE place >= ? ORDER BY place LIMIT ?");
        let sql = format!("SELECT max(place) AS last, count() AS number FROM ({page})");
        let query = client.query(&sql).bind(from).bind(limit - found.len());
        let last = client.fetch::<Last>("read a page", query).await?;
        let Some(last) = last.first().filter(|last| last.number > 0).map(|last| last.last) else { break };
        let sql = format!(
            "SELECT place, body FROM {table} WHERE place BETWEEN ? AND ? AND ({id}, version) IN
                 (SELECT {id}, max(version) FROM {table} WHERE {id} IN
                     (SELECT {id} FROM {table} WHERE place BETWEEN ? AND ?) GROUP BY {id})
             ORDER BY place LIMIT 1 BY place"
        );
        let query = client.query(&sql).bind(from).bind(last).bind(from).bind(last);
        for row in client.fetch::<Body>("read a page", query).await? {
            let place = Place::of_number(row.place);
            found.push((place, decode(topic, place, &row.body)?));
        }
        from = last + 1;
    }
    Ok(found)
}

/// Up to `limit` examples of exposures shown in `range`, oldest first.
pub(super) async fn examples(client: &Client, range: Range<Timestamp>, limit: usize) -> Result<Vec<Example>, Error> {
    let query = client.query(
        "SELECT place, body FROM examples WHERE (exposure_id, version) IN
             (SELECT exposure_id, max(version) FROM examples
              WHERE exposure_ts >= fromUnixTimestamp64Milli(?) AND exposure_ts < fromUnixTimestamp64Milli(?)
              GROUP BY exposure_id ORDER BY any(exposure_ts), argMax(place, version) LIMIT ?)
         ORDER BY exposure_ts, place LIMIT 1 BY exposure_id",
    );
    let query = query.bind(range.start.as_millis()).bind(range.end.as_millis()).bind(limit.min(SCAN_ROWS));
    let rows = client.fetch::<Body>("read examples", query).await?;
    rows.iter().map(|row| decode(Topic::Examples, Place::of_number(row.place), &row.body)).collect()
}

/// See [`EventStore::prompts`](crate::store::EventStore::prompts).
pub(super) async fn prompts(client: &Client, count: usize, seed: Seed) -> Result<Vec<Context>, Error> {
    let mut pool = Pool::new(count.min(SCAN_ROWS));
    let mut before = (i64::MAX, u64::MAX);
    while pool.wants_more() {
        let query = client.query(
            "SELECT place, toUnixTimestamp64Milli(ts) AS at, body FROM exposures WHERE place IN
                 (SELECT place FROM exposures
                  WHERE surface = 'chat' AND (toUnixTimestamp64Milli(ts), place) < (?, ?)
                  ORDER BY ts DESC, place DESC LIMIT 1 BY place LIMIT ?)
             ORDER BY ts DESC, place DESC LIMIT 1 BY place",
        );
        let query = query.bind(before.0).bind(before.1).bind(PROMPT_PAGE);
        let page = client.fetch::<Dated>("read prompts", query).await?;
        let Some(last) = page.last() else { break };
        before = (last.at, last.place);
        for row in &page {
            let exposure: Exposure = decode(Topic::Exposures, Place::of_number(row.place), &row.body)?;
            pool.add(exposure.context);
        }
    }
    Ok(pool.draw(seed))
}

fn decode<T: DeserializeOwned>(topic: Topic, place: Place, body: &str) -> Result<T, Error> {
    let wrong = |error: serde_json::Error| Error::Record { topic, offset: place.offset, detail: error.to_string() };
    serde_json::from_str(body).map_err(wrong)
}
