//! Taking a unit out.

use std::collections::HashSet;

use clickhouse::Row;
use plaudit_event::{ExposureId, UnitId};
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::rows::Keyed;
use super::schema::Schema;
use crate::Error;
use crate::store::Erased;

/// Most exposures that one statement deletes.
const CHUNK: usize = 10_000;

#[derive(Debug, Row, Serialize, Deserialize)]
struct Id {
    exposure_id: String,
}

#[derive(Debug, Row, Deserialize)]
struct Number {
    number: u64,
}

/// The exposures that `rows` are about and that are erased.
pub(super) async fn among<T: Keyed>(client: &Client, rows: &[T]) -> Result<HashSet<String>, Error> {
    let ids: HashSet<&str> = rows.iter().map(Keyed::exposure_id).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let query = client.query("SELECT DISTINCT exposure_id FROM erased WHERE exposure_id IN ?");
    let ids: Vec<&str> = ids.into_iter().collect();
    let found = client.fetch::<Id>("look up what is erased", query.bind(ids)).await?;
    Ok(found.into_iter().map(|row| row.exposure_id).collect())
}

/// How many exposures were ever erased.
pub(super) async fn number_of_all(client: &Client) -> Result<u64, Error> {
    let query = client.query("SELECT uniqExact(exposure_id) AS number FROM erased");
    let rows = client.fetch::<Number>("look up what is erased", query).await?;
    Ok(rows.first().map_or(0, |row| row.number))
}

/// See [`EventStore::erase`](crate::store::EventStore::erase).
///
/// The ids are durable before anything is deleted: an erasure that was killed is finished by the next one of the
/// same unit, since examples and exposures are both asked whose they are.
pub(super) async fn erase(client: &Client, schema: &Schema, unit: &UnitId) -> Result<Erased, Error> {
    let query = client.query(
        "SELECT DISTINCT exposure_id FROM exposures WHERE unit_id = ?
         UNION DISTINCT SELECT DISTINCT exposure_id FROM examples WHERE unit_id = ?",
    );
    let query = query.bind(unit.as_str()).bind(unit.as_str());
    let mut ids: Vec<String> =
        client.fetch::<Id>("erase", query).await?.into_iter().map(|row| row.exposure_id).collect();
    ids.sort_unstable();
    let mut erased = Erased::default();
    for ids in ids.chunks(CHUNK) {
        let insert = "INSERT INTO erased SELECT arrayJoin(?) AS exposure_id, now64(3) AS at";
        client.execute("erase", client.query(insert).bind(ids)).await?;
        erased.signals += number(client, "SELECT uniqExact(signal_id) AS number FROM signals", ids).await?;
        erased.examples += number(client, "SELECT uniqExact(exposure_id) AS number FROM examples", ids).await?;
        // What tells whose the others are goes last.
        for table in ["unit_signals", "unit_exposures", "signals", "examples", "exposures"] {
            delete(client, schema, table, ids).await?;
        }
        erased.exposures.extend(ids.iter().filter_map(|id| ExposureId::new(id.as_str()).ok()));
    }
    Ok(erased)
}

/// See [`EventStore::clear`](crate::store::EventStore::clear).
///
/// The positions go first: rows that are left without them are written again and recognised.
pub(super) async fn clear(client: &Client, schema: &Schema) -> Result<(), Error> {
    let on_cluster = schema.on_cluster();
    let copied = ["exposures", "signals", "examples", "dead_letters", "unit_exposures", "unit_signals"]
        .map(|table| schema.local(table));
    for table in ["positions".to_owned(), "erased".to_owned()].into_iter().chain(copied) {
        let sql = format!("TRUNCATE TABLE IF EXISTS {table} {on_cluster}");
        client.execute("clear", client.query(&sql)).await?;
    }
    Ok(())
}

/// Takes the rows about the exposures called `ids` out of `table`, also from the disk.
pub(super) async fn delete(client: &Client, schema: &Schema, table: &str, ids: &[String]) -> Result<(), Error> {
    let (local, on_cluster) = (schema.local(table), schema.on_cluster());
    if table.starts_with("unit_") {
        let hashes = client.query("SELECT sipHash64(arrayJoin(?)) AS number").bind(ids);
        let hashes: Vec<u64> = client.fetch::<Number>("erase", hashes).await?.iter().map(|row| row.number).collect();
        let sql = format!("ALTER TABLE {local} {on_cluster} DELETE WHERE exposure IN ?");
        return client.execute("erase", client.query(&sql).bind(hashes)).await;
    }
    let sql = format!("ALTER TABLE {local} {on_cluster} DELETE WHERE exposure_id IN ?");
    client.execute("erase", client.query(&sql).bind(ids)).await
}

async fn number(client: &Client, select: &str, ids: &[String]) -> Result<u64, Error> {
    let query = client.query(&format!("{select} WHERE exposure_id IN ?")).bind(ids);
    let rows = client.fetch::<Number>("erase", query).await?;
    Ok(rows.first().map_or(0, |row| row.number))
}
