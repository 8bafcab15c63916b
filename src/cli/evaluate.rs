//! `plaudit evaluate`: policies on fixed prompts, selection on logged decisions, or real reactions through the real path, log → attribution → continuous trainer.

mod off_policy;
mod policies;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use plaudit_datasets::Split;
use plaudit_datasets::convai::ConvAi;
use plaudit_event::{Clock, Envelope, Event, Example, ManualClock, Objective, Seed};
use plaudit_ingest::log::{EventLog, MemoryLog, Topic};
use plaudit_ingest::service::AttributionService;
use plaudit_ingest::{Config, Intake, Outcome};
use plaudit_reward_model::{Bootstrap, Estimate, Report, RewardService, evaluate};
use serde_json::json;

use super::{Evaluate, print};

pub(crate) use off_policy::OffPolicy;

/// Resamples of the bootstrap intervals.
const RESAMPLES: usize = 1_000;
/// Most events appended at once.
const BATCH: usize = 500;
/// Records read at once.
const READ: usize = 1_000;

/// Compares policies on fixed prompts when some are named, or evaluates a selection policy. Else trains on the train split in one pass, scores the test split, and prints the quality.
pub(crate) async fn run(arguments: &Evaluate) -> anyhow::Result<()> {
    if !arguments.policies.is_empty() {
        return policies::run(arguments).await;
    }
    if let Some(target) = arguments.off_policy {
        return off_policy::run(arguments, target).await;
    }
    let datasets = arguments.datasets.as_ref().context("`--datasets DIR` is missing")?;
    let seed = Seed::new(arguments.seed);
    let (train, position) = attribute(&ConvAi::open(datasets, Split::Train)?).await?;
    let (test, _) = attribute(&ConvAi::open(datasets, Split::Test)?).await?;
    let directory = tempfile::tempdir().context("failed to create a temporary directory")?;
    let mut config = arguments.files.load(Vec::new())?.reward_model;
    // The model at the end of the pass is to be judged, whatever it is like.
    config.challenger.enabled = false;
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let reward =
        RewardService::spawn(Arc::clone(&train), config, directory.path().to_owned(), clock, seed.derive("reward", 0))?;
    reward.wait_for(position).await?;
    let scorer = reward.scorer().context("the train split has no labels")?;
    reward.shutdown().await?;
    let examples = examples(&*test).await?;
    let bootstrap = Bootstrap { resamples: RESAMPLES, seed: seed.derive("bootstrap", 0) };
    let reports = evaluate(&*scorer, &examples, bootstrap)?;
    let report = reports.get(&Objective::new(Objective::HELPFULNESS)).context("the test split has no thumbs")?;
    if arguments.json {
        let answer = json!({"dataset": "convai", "seed": arguments.seed, "train_examples": position, "test": report});
        return print(&(serde_json::to_string_pretty(&answer)? + "\n"));
    }
    print(&describe(position, report))
}

/// Replays `set` through intake and attribution on a clock of event time; returns the log and its number of examples.
async fn attribute(set: &ConvAi) -> anyhow::Result<(Arc<dyn EventLog>, u64)> {
    let config = Config::default();
    let manual = Arc::new(ManualClock::default());
    let clock: Arc<dyn Clock> = Arc::clone(&manual) as Arc<dyn Clock>;
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(Arc::clone(&clock)));
    let intake = Intake::open(Arc::clone(&log), clock, &config).await?;
    let mut batch = Vec::new();
    for envelope in set.events() {
        let now = match &envelope.event {
            Event::Exposure(exposure) => exposure.ts,
            Event::Signal(signal) => signal.ts,
            Event::Example(_) => continue,
        };
        // Records of one batch get one time: half a minute is nothing against the window.
        let is_far = now.millis_since(manual.now()) > 30_000;
        if is_far || batch.len() >= BATCH {
            append(&intake, std::mem::take(&mut batch)).await?;
            manual.advance_to(now);
        }
        batch.push(envelope.event);
    }
    append(&intake, batch).await?;
    let wait = config.window + config.grace + Duration::from_secs(60);
    manual.advance_to(manual.now().plus_millis(i64::try_from(wait.as_millis())?));
    AttributionService::new(Arc::clone(&log), config).catch_up().await?;
    let tail = log.tail(Topic::Examples).await?;
    Ok((log, tail))
}

async fn append(intake: &Intake, events: Vec<Event>) -> anyhow::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    for outcome in intake.events(events).await? {
        anyhow::ensure!(matches!(outcome, Outcome::Accepted), "an event of the data set was not accepted: {outcome:?}");
    }
    Ok(())
}

async fn examples(log: &dyn EventLog) -> anyhow::Result<Vec<Example>> {
    let mut examples = Vec::new();
    let mut next = 0;
    loop {
        let records = log.read(Topic::Examples, next, READ).await?;
        let Some(last) = records.last() else { return Ok(examples) };
        next = last.offset + 1;
        for record in &records {
            if let Event::Example(example) = Envelope::decode(&record.value)?.event {
                examples.push(example);
            }
        }
    }
}

fn describe(train: u64, report: &Report) -> String {
    let line = |name: &str, estimate: &Estimate| {
        format!("  {name:<15} {:.4} [{:.4}, {:.4}]\n", estimate.value, estimate.low, estimate.high)
    };
    let mut text = format!(
        "ConvAI, P[helpful]: {train} examples in one pass, {} thumbs of {} users in the test split, {:.1} % up\n",
        report.n,
        report.units,
        100.0 * report.base_rate
    );
    if let Some(auroc) = &report.auroc {
        text += &line("AUROC", auroc);
    }
    text += &line("log-loss", &report.log_loss);
    text += &line("prior log-loss", &report.prior_log_loss);
    text + &line("ECE", &report.ece)
}
