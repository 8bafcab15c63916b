//! `plaudit bench freshness`: how old a reaction is when weights that used it begin to serve.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use plaudit_event::{
    Actor, Clock, Event, Example, Exposure, ExposureId, Impression, Objective, Seed, Signal, SignalId, SignalKind,
    Timestamp,
};
use plaudit_ingest::Outcome;
use plaudit_reward_model::{Freshness, StageSeconds};
use plaudit_simulator::domains::Domains;
use serde::Serialize;
use serde_json::Map;

use crate::app::App;
use crate::cli::{Files, print};
use crate::clock::SystemClock;
use crate::config::{Config, Role};
use crate::telemetry;

/// Pause between two batches of events.
const BEAT: Duration = Duration::from_millis(50);
/// Longest wait for the last windows.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `bench freshness`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Exposures per second, each loved or not at once; 20 to 20000.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(20..=20_000))]
    rate: u32,
    /// How long they come, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Attribution window, in milliseconds; how long it is does not count, because time is taken from its close.
    #[arg(long, default_value_t = 1_000)]
    window_ms: u64,
    #[command(flatten)]
    files: Files,
    /// Print the figures as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    rate: u32,
    seconds: u64,
    poll_ms: u128,
    reward_poll_ms: u64,
    publish_every: u64,
    events: u64,
    freshness: Freshness,
}

/// Sends events at an even pace to a process of the product without its HTTP side, and prints how old they got.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let directory = tempfile::tempdir().context("failed to create a temporary directory")?;
    let mut config = arguments.files.load(Vec::new())?;
    let defaults = Config::default();
    config.data_dir = directory.path().to_owned();
    (config.event_log, config.event_store) = (defaults.event_log, defaults.event_store);
    config.roles = vec![Role::Ingest, Role::Learn];
    config.ingest.window = Duration::from_millis(arguments.window_ms);
    config.ingest.grace = Duration::from_millis(200);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let app = App::start(&config, Arc::clone(&clock), telemetry::init_metrics()?).await?;
    let measured = measure(arguments, &app, &*clock).await;
    app.stop().await?;
    let (events, freshness) = measured?;
    let report = Report {
        rate: arguments.rate,
        seconds: arguments.seconds,
        poll_ms: config.ingest.poll.as_millis(),
        reward_poll_ms: config.reward_model.service.poll_ms,
        publish_every: config.reward_model.service.publish_every,
        events,
        freshness,
    };
    print(&if arguments.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_text() })
}

async fn measure(arguments: &Arguments, app: &App, clock: &dyn Clock) -> anyhow::Result<(u64, Freshness)> {
    let reward = app.reward.as_ref().context("the process learns")?;
    let beats = arguments.seconds * 1_000 / BEAT.as_millis() as u64;
    let per_beat = (u64::from(arguments.rate) * BEAT.as_millis() as u64).div_ceil(1_000);
    let total = beats * per_beat;
    let examples = Domains::new(1, Seed::new(1)).draw(0, "freshness", usize::try_from(total)?);
    let mut beat = tokio::time::interval(BEAT);
    for part in examples.chunks(usize::try_from(per_beat)?) {
        beat.tick().await;
        let now = clock.now();
        let events: Vec<Event> = part.iter().flat_map(|(example, _)| shown(example, now)).collect();
        let outcomes = app.intake.events(events).await?;
        anyhow::ensure!(outcomes.iter().all(|o| matches!(o, Outcome::Accepted)), "an event was not accepted");
    }
    let waited = async {
        while reward.status().examples < total && reward.status().failed.is_none() {
            tokio::time::sleep(BEAT).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.context("the last windows have not been learned from in a minute")?;
    Ok((total, reward.status().freshness.context("nothing was timed")?))
}

/// The exposure of `example`, and the love for it if there is any.
fn shown(example: &Example, now: Timestamp) -> Vec<Event> {
    let id = &example.exposure_id;
    let exposure = Exposure {
        exposure_id: id.clone(),
        unit_id: example.unit_id.clone(),
        session_id: None,
        surface: example.surface,
        context: example.context.clone(),
        slate: vec![Impression {
            item_id: example.item_id.clone(),
            position: 0,
            content: example.response.clone(),
            score: None,
        }],
        chosen: 0,
        propensity: None,
        token_logprobs: None,
        policy_id: example.policy_id.clone(),
        stage: None,
        assignments: Vec::new(),
        rewrite_applied: None,
        interleaving: None,
        attributes: Map::new(),
        ts: now,
        unknown: Map::new(),
    };
    let mut events = vec![Event::Exposure(exposure)];
    if example.label(Objective::LOVE).is_some_and(|label| label.value >= 0.5) {
        events.push(Event::Signal(love(id, now)));
    }
    events
}

fn love(exposure_id: &ExposureId, ts: Timestamp) -> Signal {
    Signal {
        signal_id: SignalId::new(format!("{exposure_id}.love")).expect("a short exposure id and a suffix"),
        exposure_id: exposure_id.clone(),
        item_id: None,
        kind: SignalKind::Love,
        value: None,
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: Actor::User,
        ts,
        retracts: None,
        unknown: Map::new(),
    }
}

impl Report {
    fn to_text(&self) -> String {
        let mut text = format!(
            "{} exposures at {}/s; attribution looks every {} ms, training every {} ms\n\
             seconds from the close of the window, newest {} examples\n\n{:<14}{:>8}{:>8}{:>8}\n",
            self.events, self.rate, self.poll_ms, self.reward_poll_ms, self.freshness.examples, "", "p50", "p95", "max"
        );
        let Freshness { attribution, reading, training, publication, total, .. } = self.freshness;
        let stages = [
            ("attribution", attribution),
            ("reading", reading),
            ("training", training),
            ("publication", publication),
            ("total", total),
        ];
        for (name, StageSeconds { p50, p95, max }) in stages {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<14}{p50:>8.3}{p95:>8.3}{max:>8.3}");
        }
        text
    }
}
