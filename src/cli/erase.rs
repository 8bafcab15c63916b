//! `plaudit erase`.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use plaudit_event::{Clock, UnitId};
use plaudit_ingest::erasure::{self, Held, Report, Request};
use plaudit_ingest::service::copy_all;
use plaudit_nn::checkpoint;
use serde_json::json;

use super::{Files, data, print};
use crate::app::policies_dir;
use crate::clock::SystemClock;
use crate::config::Config;

/// Arguments of `erase`.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// The unit, by the name that the product gave it.
    #[arg(long)]
    unit: String,
    #[command(flatten)]
    files: Files,
    /// Why; kept in the audit trail.
    #[arg(long, default_value = "asked for by the person", conflicts_with = "verify")]
    reason: String,
    /// Who asked for it; kept in the audit trail.
    #[arg(long, default_value = "operator", conflicts_with = "verify")]
    by: String,
    /// Only look whether anything is left; exit code 1 when there is. Writes nothing.
    #[arg(long)]
    verify: bool,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Erases, or looks for what is left.
pub(crate) async fn run(arguments: &Erase) -> anyhow::Result<()> {
    let config = arguments.files.configuration()?;
    let unit = UnitId::new(arguments.unit.as_str())
        .map_err(|error| anyhow::anyhow!("`--unit` must be a name of a unit: {error}"))?;
    let log = data::open_log(&config, Arc::new(SystemClock)).await?;
    let store = data::open_store(&config)?;
    let request = request(&config, unit, (&arguments.by, &arguments.reason))?;
    let report = if arguments.verify {
        erasure::verify(&log, &*store, &request).await?
    } else {
        // The store knows only what it has copied.
        copy_all(&log, &store, &config.ingest).await?;
        erasure::erase(&log, &*store, &request, None).await?
    };
    if arguments.json {
        let mut answer = serde_json::to_value(&report)?;
        answer["is_clean"] = json!(report.is_clean());
        print(&(answer.to_string() + "\n"))?;
    } else {
        print(&describe(&report, arguments.verify))?;
    }
    anyhow::ensure!(report.is_clean(), "something is left of the unit: run `plaudit erase` (again)");
    Ok(())
}

/// The request to erase `unit`, for whom and why.
pub(crate) fn request(config: &Config, unit: UnitId, (by, reason): (&str, &str)) -> anyhow::Result<Request> {
    // Rows of before names were hashed, and what a product wrote past intake, have it as it came.
    let hashed = config.ingest.quality.hashing.salt.as_ref().map(|salt| salt.unit(&unit)).filter(|hash| *hash != unit);
    let (unit, aliases) = match hashed {
        Some(hash) => (hash, vec![unit]),
        None => (unit, Vec::new()),
    };
    Ok(Request {
        unit,
        aliases,
        by: by.to_owned(),
        reason: reason.to_owned(),
        at: SystemClock.now(),
        checkpoints: checkpoints(&config.data_dir.join("rewards"), "reward")?
            .into_iter()
            .chain(checkpoints(&policies_dir(config), plaudit_policy::generate::KIND)?)
            .collect(),
        row_of: plaudit_reward_model::exposure_row,
    })
}

/// The checkpoints in `dir`, with how many records of topic `examples` each was trained on.
fn checkpoints(dir: &Path, kind: &str) -> anyhow::Result<Vec<(String, u64)>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let found = checkpoint::list(dir, kind)?;
    Ok(found.into_iter().map(|(_, manifest)| (manifest.id, manifest.log_position)).collect())
}

fn describe(report: &Report, is_verify: bool) -> String {
    let line = |name: &str, held: &Held| {
        let Held { exposures, signals, examples, dead_letters } = held;
        format!("{name:<14}{exposures:>10}{signals:>10}{examples:>10}{dead_letters:>14}\n")
    };
    let mut text = format!("{:<14}{:>10}{:>10}{:>10}{:>14}\n", "", "exposures", "signals", "examples", "dead letters");
    if is_verify {
        text += &(line("in the log", &report.log_after) + &line("in the store", &report.store_after));
    } else {
        text += &(line("log before", &report.log_before) + &line("store before", &report.store_before));
        text += &(line("log after", &report.log_after) + &line("store after", &report.store_after));
    }
    if !report.log_hidden.is_nothing() {
        text += &line("hidden", &report.log_hidden);
        text += "what is hidden is passed over by every reader; the log lets go of it when its retention ends\n";
    }
    match report.records {
        0 => text += "no erasure of this unit is on record\n",
        records => text += &format!("{records} records in the audit trail are about this unit\n"),
    }
    if !report.checkpoints.is_empty() {
        text += &format!("trained on examples of this unit: {}\n", report.checkpoints.join(", "));
    }
    text += if report.is_clean() { "nothing is left of the unit in log and store\n" } else { "" };
    text
}
