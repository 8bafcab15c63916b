//! Brings the schema to the version of this build.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::client::Client;
use super::lock::Claim;
use super::schema::{MIGRATIONS, Schema, VERSION};
use crate::Error;
use crate::config::Retention;

const ACTION: &str = "migrate the schema";

#[derive(Debug, Row, Deserialize)]
struct Version {
    version: u32,
}

#[derive(Debug, Row, Deserialize)]
struct Table {
    name: String,
    engine_full: String,
}

/// Makes or extends the schema. Where it is right already, nothing is written.
///
/// # Errors
/// Fails when the schema is newer than this build knows, and when the server cannot be asked.
pub(super) async fn migrate(client: &Client, schema: &Schema, retention: &Retention) -> Result<(), Error> {
    let is_right = version(client, schema).await? == VERSION && changes(client, schema, retention).await?.is_empty();
    if is_right {
        return Ok(());
    }
    for statement in schema.bootstrap() {
        run(client, &statement).await?;
    }
    let mut claim = Claim::new(client, &schema.database).await?;
    claim.take().await?;
    let done = locked(client, schema, retention, &mut claim).await;
    let ended = claim.end().await;
    done.and(ended)
}

async fn locked(client: &Client, schema: &Schema, retention: &Retention, claim: &mut Claim<'_>) -> Result<(), Error> {
    // Another process may have done it meanwhile.
    let from = version(client, schema).await?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > from) {
        for statement in schema.migration(migration) {
            claim.renew().await?;
            run(client, &statement).await?;
        }
        let (database, version, name) = (&schema.database, migration.version, migration.name);
        let insert = format!("INSERT INTO {database}.schema_versions SELECT {version}, '{name}', now64(3, 'UTC')");
        run(client, &insert).await?;
    }
    for change in changes(client, schema, retention).await? {
        claim.renew().await?;
        run(client, &change).await?;
    }
    Ok(())
}

/// The version that is there, 0 for none.
async fn version(client: &Client, schema: &Schema) -> Result<u32, Error> {
    let known = "SELECT name, engine_full FROM system.tables WHERE database = ? AND name = 'schema_versions'";
    let known = client.fetch::<Table>(ACTION, client.server_query(known).bind(&schema.database)).await?;
    if known.is_empty() {
        return Ok(0);
    }
    let sql = format!("SELECT max(v.version) AS version FROM {}.schema_versions AS v", schema.database);
    let rows = client.fetch::<Version>(ACTION, client.server_query(&sql)).await?;
    let found = rows.first().map_or(0, |row| row.version);
    if found > VERSION {
        return Err(Error::Format { path: client.address().into(), found, known: VERSION });
    }
    Ok(found)
}

/// The statements that make the tables keep their rows as long as `retention` says.
pub(super) async fn changes(client: &Client, schema: &Schema, retention: &Retention) -> Result<Vec<String>, Error> {
    let sql = "SELECT name, engine_full FROM system.tables WHERE database = ?";
    let tables = client.fetch::<Table>(ACTION, client.server_query(sql).bind(&schema.database)).await?;
    let mut statements = Vec::new();
    for (table, ttl) in ttls(retention) {
        let local = schema.local(table);
        let Some(found) = tables.iter().find(|found| format!("{}.{}", schema.database, found.name) == local) else {
            continue;
        };
        let (on_cluster, engine) = (schema.on_cluster(), &found.engine_full);
        match ttl.map(|ttl| format!("TTL {ttl}")) {
            Some(ttl) if !engine.contains(&format!("{ttl} ")) => {
                statements.push(format!("ALTER TABLE {local} {on_cluster} MODIFY {ttl}"));
            }
            None if engine.contains(" TTL ") => {
                statements.push(format!("ALTER TABLE {local} {on_cluster} REMOVE TTL"));
            }
            _ => {}
        }
    }
    Ok(statements)
}

/// Until when each table keeps its rows; a copy as long as what it is a copy of.
fn ttls(retention: &Retention) -> Vec<(&'static str, Option<String>)> {
    let of = |column: &str, kept: Option<Duration>| {
        kept.map(|kept| format!("toDateTime({column}) + toIntervalSecond({})", kept.as_secs()))
    };
    let mut ttls = Vec::new();
    for (table, kept) in retention.tables() {
        let column = match table {
            "examples" => "exposure_ts",
            "dead_letters" => "received_ts",
            _ => "ts",
        };
        ttls.push((table, of(column, kept)));
    }
    // An exposure that has an example is kept as long as that.
    let longest = retention.exposures.zip(retention.examples).map(|(exposures, examples)| exposures.max(examples));
    let signals: Vec<String> = [of("ts", retention.signals), of("shown", longest).map(|ttl| ttl + " WHERE unit > 0")]
        .into_iter()
        .flatten()
        .collect();
    ttls.push(("unit_signals", (!signals.is_empty()).then(|| signals.join(", "))));
    let shown: Vec<String> = [(retention.exposures, 0), (retention.examples, 1)]
        .into_iter()
        .filter_map(|(kept, is_example)| Some(format!("{} WHERE is_example = {is_example}", of("ts", kept)?)))
        .collect();
    ttls.push(("unit_exposures", (!shown.is_empty()).then(|| shown.join(", "))));
    ttls
}

async fn run(client: &Client, statement: &str) -> Result<(), Error> {
    client.execute_long(ACTION, client.server_query(&statement.replace('?', "??"))).await
}
