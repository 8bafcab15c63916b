//! `plaudit demo`: the whole loop in one process, driven by simulated users over HTTP.
//!
//! The product part is [`App`], exactly as `plaudit up` runs it. It learns from events alone; what the simulated
//! users really think is only used afterwards, to tell the report how far the product is from the truth.

mod progress;
mod report;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use plaudit_event::{Clock, PolicyId, Timestamp};
use plaudit_experiment::delivery::Notice;
use plaudit_serving::rollout::Stage;
use plaudit_simulator::{Driver, PhaseSpec, Scenario};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::clock::SystemClock;
use crate::config::Config;
use progress::Progress;
pub(crate) use report::Report;
pub(crate) use settings::Settings;

/// How often the demo looks at the system.
const LOOK: Duration = Duration::from_millis(200);
/// Exchanges of the newest traffic that are searched for the first answer of a new policy.
const NEWEST: u64 = 300;

/// What `demo` was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Root of all randomness.
    pub(crate) seed: u64,
    /// Where to keep the data; a temporary directory when absent.
    pub(crate) data: Option<PathBuf>,
    /// Whether judges and their guardrails are on.
    pub(crate) judges: bool,
    /// Name or file of the scenario.
    pub(crate) scenario: String,
    /// When to end at the latest; by default what suits the scenario.
    pub(crate) max_time: Option<Duration>,
    /// The product's configuration, before the demo adapts times, sizes and paths.
    pub(crate) config: Config,
}

/// What the demo saw happen, with times.
#[derive(Debug, Default)]
struct Sightings {
    /// Number of the first request after the experiment began.
    experiment_from: Option<u64>,
    /// Number of the first request after it ended.
    experiment_to: Option<u64>,
    /// The first answer of each treatment.
    first_served: Vec<(PolicyId, Timestamp)>,
    /// What was told of deliveries, with the time since the start.
    notices: Vec<(Duration, Notice)>,
}

/// Runs the demo and reports.
///
/// # Errors
/// Fails on an unknown scenario, a data directory in use, or when the product fails.
pub(crate) async fn run(options: &Options, metrics: PrometheusHandle) -> anyhow::Result<Report> {
    let started = Instant::now();
    let temporary = tempfile::tempdir().context("failed to create a temporary directory")?;
    let dir = options.data.as_deref().unwrap_or(temporary.path());
    refuse_existing(dir, temporary.path())?;
    let scenario = scenario(options)?;
    let settings = Settings::new(options, &scenario, dir);
    settings.check(&scenario)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let app = App::start(&settings.config, Arc::clone(&clock), metrics).await?;
    let url = app.url.clone().context("the demo serves")?;
    let driver = Arc::new(Driver::new(&url, scenario, Arc::clone(&clock))?);
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = {
        let (driver, spec) = (Arc::clone(&driver), PhaseSpec::until(Arc::clone(&stop), settings.concurrency));
        tokio::spawn(async move { driver.run_phase(&spec).await })
    };
    let mut sightings = Sightings::default();
    let watched = tokio::select! {
        watched = watch(&app, &driver, &settings, &mut sightings, (started, &*clock)) => watched,
        failure = app.failure() => Err(failure),
        interrupted = interruption() => interrupted,
    };
    stop.store(true, Ordering::Relaxed);
    traffic.await.context("the simulated users ended in a panic")??;
    if let Err(reason) = watched {
        // In order, so that what is kept with `--data` is complete; a temporary directory goes with this function.
        let stopped = app.stop().await;
        return Err(stopped.err().unwrap_or(reason));
    }
    driver.drain().await?;
    tokio::time::sleep(settings.close).await;
    let report = Report::new(&app, &driver, &settings, &sightings, started.elapsed())?;
    app.stop().await?;
    Ok(report)
}

/// Fails once the user or the system wants the process to end.
async fn interruption() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to wait for signals")?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    anyhow::bail!("interrupted")
}

fn scenario(options: &Options) -> anyhow::Result<Scenario> {
    let name = &options.scenario;
    let is_file = Path::new(name).extension().is_some();
    let mut scenario = if is_file { Scenario::load(Path::new(name))? } else { Scenario::built_in(name)? };
    scenario.seed = options.seed;
    Ok(scenario)
}

/// A demo in a directory with data would mix two worlds.
fn refuse_existing(dir: &Path, temporary: &Path) -> anyhow::Result<()> {
    let has_entries = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    let message = "`--data` must name an empty or new directory";
    anyhow::ensure!(dir == temporary || !has_entries, "{message}, `{}` is not empty", dir.display());
    Ok(())
}

/// Looks at the system and shows it until the story has ended or the time is up.
async fn watch(
    app: &App,
    driver: &Driver,
    settings: &Settings,
    sightings: &mut Sightings,
    (started, clock): (Instant, &dyn Clock),
) -> anyhow::Result<()> {
    let serving = app.serving.as_ref().context("the demo serves")?;
    let mut progress = Progress::new(settings);
    let mut notices = serving.notices();
    loop {
        tokio::time::sleep(LOOK).await;
        while let Ok(notice) = notices.try_recv() {
            sightings.notices.push((started.elapsed(), notice));
        }
        let now = driver.counters().counts();
        let rollout = serving.rollout();
        if let Some(treatment) = rollout.treatment().filter(|treatment| treatment.is_live()) {
            sightings.experiment_from.get_or_insert(now.requests);
            note_first_answer(sightings, &treatment.policy_id, driver, now.requests, clock);
        }
        let is_over = rollout.policies().values().any(|policy| {
            matches!(policy.stage, Stage::RolledBack) || (policy.stage == Stage::Champion && policy.parent.is_some())
        });
        if is_over && rollout.treatment().is_none() {
            sightings.experiment_to.get_or_insert(now.requests);
        }
        progress.show(app, now, started.elapsed());
        let is_shown = sightings.experiment_to.is_some_and(|end| now.requests >= end + settings.exposures_after);
        if is_shown || started.elapsed() >= settings.longest {
            progress.finish();
            return Ok(());
        }
    }
}

fn note_first_answer(sightings: &mut Sightings, policy: &PolicyId, driver: &Driver, newest: u64, clock: &dyn Clock) {
    if sightings.first_served.iter().any(|(known, _)| known == policy) {
        return;
    }
    let range = newest.saturating_sub(NEWEST)..u64::MAX;
    let has_served = driver.with_record(|record| record.rows(range).any(|row| &*row.policy_id == policy.as_str()));
    if has_served {
        sightings.first_served.push((policy.clone(), clock.now()));
    }
}
