//! `plaudit bench upworthy`: real counts through the real path.
//!
//! The clock shows the time of the events, as in `plaudit import --event-time`: every window closes, and every click
//! is within the window of its exposure, whatever speed the machine has.

mod ratio;
mod report;
mod stream;
mod tally;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use plaudit_datasets::Split;
use plaudit_datasets::upworthy::Upworthy;
use plaudit_event::Seed;
use plaudit_ingest::store::EventStore;
use tempfile::TempDir;

use crate::cli::bench::disk;
use crate::cli::bench::meter::{Stage, Watch};
use crate::cli::{Files, print};
use crate::config::Config;
use crate::memory;
use ratio::Ratio;
use report::{Disk, Report};

/// What an exposure takes on the disk with its example and its share of the clicks, in log and store together, rounded
/// up; the run prints what it was.
const BYTES_PER_EXPOSURE: u64 = 3_200;
/// What empty files take.
const EMPTY_BYTES: u64 = 4 << 20;

/// Arguments of `bench upworthy`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory of the public data sets.
    #[arg(long, visible_alias = "data-sets", env = "PLAUDIT_DATA")]
    datasets: PathBuf,
    /// Which tests to stream.
    #[arg(long, value_enum, default_value_t = Which::Test)]
    split: Which,
    /// Only so many tests, the earliest. Default: all.
    #[arg(long)]
    tests: Option<usize>,
    /// Root of all randomness: the order of the arms, and which impressions are clicked.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    files: Files,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

/// The splits as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// 2,885 tests.
    Train,
    /// 1,007 tests.
    Test,
}

/// Streams, counts, compares and prints.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let train = Upworthy::open(&arguments.datasets, Split::Train)?;
    let test = Upworthy::open(&arguments.datasets, Split::Test)?;
    let ratio = Ratio::of(train.tests().iter().chain(test.tests()));
    let set = match arguments.split {
        Which::Train => train,
        Which::Test => test,
    };
    let set = set.first(arguments.tests.unwrap_or(usize::MAX));
    let (config, _temporary) = config(&arguments.files)?;
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("failed to create data directory `{}`", config.data_dir.display()))?;
    if config.event_log_file().is_some() {
        disk::ensure_room(&config.data_dir, EMPTY_BYTES + BYTES_PER_EXPOSURE * set.counts().impressions)?;
    }
    let flow = stream::run(&set, Seed::new(arguments.seed), &config).await?;
    let (count, differences) = compare(&*flow.store, &set).await?;
    let report = Report {
        split: format!("{:?}", arguments.split).to_lowercase(),
        seed: arguments.seed,
        counts: set.counts(),
        flow,
        count,
        disk: Disk::of(&config, set.counts().impressions)?,
        peak_memory_bytes: memory::peak_bytes(),
        differences,
        ratio,
    };
    match arguments.json {
        true => print(&(serde_json::to_string_pretty(&report.to_json())? + "\n"))?,
        false => print(&report.to_text())?,
    }
    let num_different = report.differences.len();
    anyhow::ensure!(num_different == 0, "{num_different} counts in the store differ from the data");
    anyhow::ensure!(report.ratio.is_as_known(), "sample-ratio alarms do not tell the faulty period from the others");
    Ok(())
}

/// The configuration, and the directory that goes with the run.
fn config(files: &Files) -> anyhow::Result<(Config, Option<TempDir>)> {
    if files.config.is_some() || files.data.is_some() {
        return Ok((files.load(Vec::new())?.salted(std::env::vars_os())?, None));
    }
    let temporary = tempfile::tempdir().context("failed to create a temporary directory")?;
    let files = Files { config: None, data: Some(temporary.path().to_owned()) };
    Ok((files.load(Vec::new())?.salted(std::env::vars_os())?, Some(temporary)))
}

/// Counts what is in the store; returns what that cost, and what is not as in the data.
async fn compare(store: &dyn EventStore, set: &Upworthy) -> anyhow::Result<(Stage, Vec<tally::Difference>)> {
    let watch = Watch::start();
    let found = tally::count(store, set).await?;
    let mut stage = Stage::default();
    stage.add(&watch, found.rows());
    Ok((stage, found.differences(set)))
}
