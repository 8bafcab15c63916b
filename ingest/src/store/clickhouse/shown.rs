//! What the exposures of signals say, found when the signals are written.

use std::collections::{HashMap, HashSet};

use clickhouse::Row;
use serde::Deserialize;

use super::client::Client;
use super::rows::{Keyed, SignalRow};
use crate::Error;

/// What an exposure says, as questions about units need it.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Shown {
    exposure_id: String,
    /// The hash of the unit's id.
    pub(super) unit: u64,
    /// When, in milliseconds.
    pub(super) shown: i64,
    pub(super) surface: String,
    pub(super) assigned: String,
    pub(super) attributes: String,
}

/// Gives each of `rows` what its exposure says. One whose exposure is not there stays as it is.
pub(super) async fn place(client: &Client, rows: &mut [SignalRow]) -> Result<(), Error> {
    let ids: HashSet<&str> = rows.iter().map(Keyed::exposure_id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = ids.into_iter().collect();
    let query = client.query(
        "SELECT exposure_id, reinterpretAsUInt64(reverse(substring(SHA256(unit_id), 1, 8))) AS unit,
             toUnixTimestamp64Milli(ts) AS shown, toString(surface) AS surface, toString(assigned) AS assigned, attributes
         FROM exposures WHERE exposure_id IN ? AND is_conflict = 0 ORDER BY version",
    );
    let found = client.fetch::<Shown>("look up exposures", query.bind(ids)).await?;
    let found: HashMap<&str, &Shown> = found.iter().map(|shown| (shown.exposure_id.as_str(), shown)).collect();
    for row in rows {
        if let Some(shown) = found.get(row.exposure_id()) {
            row.place(shown);
        }
    }
    Ok(())
}
