//! `plaudit store`: whether the store holds what the log says, and making it again.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_ingest::Error;
use plaudit_ingest::log::{self, EventLog, Topic};
use plaudit_ingest::service::copy_all;
use plaudit_ingest::store::{self, Comparison, EventStore, PartReport, Rebuild};
use serde_json::{Map, Value, json};

use super::{Files, data, print};
use crate::clock::SystemClock;
use crate::config::Config;

/// How often the progress of a rebuild is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Verbs of `store`.
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Read log and store and compare every row; exit code 1 when they do not agree. Writes nothing.
    Verify(Arguments),
    /// Make the store again from the log; can be repeated when it was killed.
    Rebuild(Arguments),
}

/// Arguments of the verbs of `store`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Answers `verb`.
pub(crate) async fn run(verb: &Store) -> anyhow::Result<()> {
    match verb {
        Store::Verify(arguments) => verify(arguments).await,
        Store::Rebuild(arguments) => rebuild(arguments).await,
    }
}

async fn verify(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.files.configuration()?;
    let log = data::open_log(&config, Arc::new(SystemClock)).await?;
    let store = data::open_store(&config)?;
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} records and rows read")?);
    let comparison = store::verify(&log, &*store, &config.ingest, |count| bar.inc(count)).await?;
    bar.finish_and_clear();
    print(&match arguments.json {
        true => as_json(&comparison)? + "\n",
        false => describe(&comparison),
    })?;
    anyhow::ensure!(
        comparison.agrees(),
        "the store does not hold what the log says: `plaudit store rebuild` makes it again"
    );
    Ok(())
}

fn as_json(comparison: &Comparison) -> anyhow::Result<String> {
    let mut parts = Map::new();
    for (part, report) in &comparison.parts {
        let mut value = serde_json::to_value(report)?;
        value["agrees"] = report.agrees().into();
        parts.insert(part.to_string(), value);
    }
    Ok(json!({"agrees": comparison.agrees(), "parts": Value::from(parts)}).to_string())
}

fn describe(comparison: &Comparison) -> String {
    let mut text = format!(
        "{:<16}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}\n",
        "", "in log", "in store", "missing", "extra", "different", "erased", "to copy"
    );
    for (part, report) in &comparison.parts {
        let PartReport { in_log, in_store, missing, extra, different, erased, position, tail, .. } = report;
        let behind = tail.saturating_sub(*position);
        let name = part.to_string();
        text += &format!(
            "{name:<16}{in_log:>10}{in_store:>10}{missing:>10}{extra:>10}{different:>10}{erased:>10}{behind:>10}\n"
        );
        if report.emptied > 0 {
            text += &format!("  {} records of the log hold nothing, since their content was erased\n", report.emptied);
        }
        if report.older_than_log > 0 {
            text += &format!("  {} rows are older than what the log keeps\n", report.older_than_log);
        }
        if !report.is_same_log {
            text += "  the log does not hold what the store copied last: it is another log\n";
        }
    }
    text += if comparison.agrees() { "log and store agree\n" } else { "" };
    text
}

async fn rebuild(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.files.configuration()?;
    let log = data::open_log(&config, Arc::new(SystemClock)).await?;
    let mut rebuild = Rebuild::begin(&config.event_store_uri(), &config.ingest).await.map_err(data::explained)?;
    let before = copied(&*rebuild.store()).await?;
    match fill(&log, &rebuild, &config).await {
        Err(Error::OtherLog { .. }) => {
            rebuild.start_over().await?;
            fill(&log, &rebuild, &config).await?;
        }
        other => other?,
    }
    let counts = rebuild.store().counts().await?;
    rebuild.finish()?;
    let letters: u64 = counts.dead_letters.values().sum();
    if arguments.json {
        let answer = json!({"exposures": counts.exposures, "signals": counts.signals, "examples": counts.examples,
            "dead_letters": letters, "went_on_from": before});
        return print(&(answer.to_string() + "\n"));
    }
    let went_on =
        if before > 0 { format!(", {before} records of which were there from a run before") } else { String::new() };
    print(&format!(
        "the store was made again{went_on}: {} exposures, {} signals, {} examples, {letters} dead letters\n",
        counts.exposures, counts.signals, counts.examples
    ))
}

/// Copies the log into the store that is being made, and shows how far it is.
async fn fill(log: &Arc<dyn EventLog>, rebuild: &Rebuild, config: &Config) -> Result<(), Error> {
    let mut total = 0;
    for shard in 0..log.shards() {
        for topic in Topic::ALL.into_iter().filter(|topic| *topic != Topic::Checkpoints) {
            if shard == 0 || topic.is_sharded() {
                total += log::shard(log, shard).tail(topic).await?;
            }
        }
    }
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} records  {eta} left");
    bar.set_style(style.expect("a template of this program"));
    let store = rebuild.store();
    let copying = copy_all(log, &store, &config.ingest);
    tokio::pin!(copying);
    loop {
        tokio::select! {
            done = &mut copying => {
                bar.finish_and_clear();
                return done;
            }
            () = tokio::time::sleep(LOOK) => bar.set_position(copied(&*store).await?),
        }
    }
}

/// Records of the log that the store has copied.
async fn copied(store: &dyn EventStore) -> Result<u64, Error> {
    Ok(store.positions().await?.values().sum())
}
