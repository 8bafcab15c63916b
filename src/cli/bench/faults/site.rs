//! The processes of one row: their configurations, and who of them runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;

use super::process::Process;
use super::progress;
use crate::config::Config;

/// How often it is looked whether a process has ended by itself.
const LOOK: Duration = Duration::from_millis(100);
/// Windows so short that most exposures close while the load runs; corrections are possible for longer than any fault
/// takes.
const INGEST: &str = "[learn]\nenabled = false\n[reward_model.service]\ncheckpoint_every = 200\n[ingest]\nwindow = \"1s\"\n\
                      grace = \"200ms\"\nslack = \"1s\"\nearly_slack = \"5m\"\ncorrection_horizon = \"5m\"\npoll = \"50ms\"\n";
/// How long a window is open, with its grace.
pub(super) const OPEN: Duration = Duration::from_millis(1_200);
/// The window.
pub(super) const WINDOW: Duration = Duration::from_millis(1_000);

/// Where log and store are.
#[derive(Debug, Clone)]
pub(super) enum Backends {
    /// Files of one process.
    Embedded,
    /// Servers that all processes talk to.
    Cluster {
        /// `kafka://…`
        log: String,
        /// `clickhouse://…`; nothing where each process has a file of its own.
        store: Option<String>,
        /// What the names in the log begin with.
        prefix: String,
    },
}

/// One process of a site.
struct Place {
    name: String,
    config: PathBuf,
    process: Option<Process>,
}

/// Addresses by the number of the process.
type Urls = watch::Sender<BTreeMap<usize, String>>;

/// The processes of one row.
pub(super) struct Site {
    dir: PathBuf,
    places: Vec<Place>,
    urls: Arc<Urls>,
    /// What went wrong with processes that nobody had touched.
    pub(super) failures: Vec<String>,
}

impl Site {
    /// Processes called by their roles, such as `ingest-1`; none runs yet. All files are below `dir`.
    pub(super) fn new(dir: &Path, backends: &Backends, roles: &[&[&str]]) -> anyhow::Result<Self> {
        let mut places = Vec::new();
        for (number, roles) in roles.iter().enumerate() {
            let name = format!("{}-{number}", roles.first().copied().unwrap_or("process"));
            let config = dir.join(format!("{name}.toml"));
            let text = text(&dir.join(&name), backends, roles);
            std::fs::write(&config, text).with_context(|| format!("failed to write `{}`", config.display()))?;
            places.push(Place { name, config, process: None });
        }
        let urls = Arc::new(watch::Sender::new(BTreeMap::new()));
        Ok(Self { dir: dir.to_owned(), places, urls, failures: Vec::new() })
    }

    /// The addresses of those that serve, as they come and go.
    pub(super) fn urls(&self) -> watch::Receiver<BTreeMap<usize, String>> {
        self.urls.subscribe()
    }

    /// How many processes there are, running or not.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The configuration of process `number`.
    pub(super) fn config(&self, number: usize) -> anyhow::Result<Config> {
        Ok(Config::load(Some(&self.places[number].config), std::iter::empty(), &[])?)
    }

    /// Starts process `number` and does not wait until it answers.
    pub(super) fn start(&mut self, number: usize) -> anyhow::Result<()> {
        let place = &mut self.places[number];
        let urls = Arc::clone(&self.urls);
        let listening = move |url| urls.send_modify(|urls| drop(urls.insert(number, url)));
        let log = self.dir.join(format!("{}.log", place.name));
        place.process = Some(Process::start(&place.config, &log, listening)?);
        Ok(())
    }

    /// Waits until somebody serves.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.urls.borrow().is_empty() {
            anyhow::ensure!(Instant::now() < deadline, "nobody listens: {:?}", self.failures);
            self.rest(LOOK).await?;
        }
        Ok(())
    }

    /// Kills process `number` with `kill -9`.
    pub(super) fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.places[number].process.take() {
            if let Some(ended) = process.ended() {
                self.fail(number, &ended);
            }
            process.kill();
        }
        self.urls.send_modify(|urls| drop(urls.remove(&number)));
    }

    /// Asks process `number` to stop and waits until it has.
    pub(super) async fn stop(&mut self, number: usize) -> anyhow::Result<()> {
        let Some(mut process) = self.places[number].process.take() else { return Ok(()) };
        let (stopped, process) = tokio::task::spawn_blocking(move || (process.stop(), process)).await?;
        drop(process);
        self.urls.send_modify(|urls| drop(urls.remove(&number)));
        if let Err(failure) = stopped {
            self.fail(number, &failure);
        }
        Ok(())
    }

    /// Asks all to stop, those that serve first.
    pub(super) async fn stop_all(&mut self) -> anyhow::Result<()> {
        for number in 0..self.places.len() {
            self.stop(number).await?;
        }
        Ok(())
    }

    /// Lets `pause` pass. Who ends by itself meanwhile is noted and started again, as by any supervisor.
    pub(super) async fn rest(&mut self, pause: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + pause;
        loop {
            for number in 0..self.places.len() {
                let process = self.places[number].process.as_mut();
                let Some(ended) = process.and_then(Process::ended) else { continue };
                self.fail(number, &ended);
                self.kill_ended(number);
                self.start(number)?;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    fn fail(&mut self, number: usize, how: &str) {
        let failure = format!("{} {how}", self.places[number].name);
        progress(&format!("  {failure}"));
        // A process that does not come up fails again and again.
        if self.failures.len() < 20 {
            self.failures.push(failure);
        }
    }

    fn kill_ended(&mut self, number: usize) {
        self.places[number].process = None;
        self.urls.send_modify(|urls| drop(urls.remove(&number)));
    }

    /// The name of process `number`.
    pub(super) fn name(&self, number: usize) -> &str {
        &self.places[number].name
    }
}

fn text(data: &Path, backends: &Backends, roles: &[&str]) -> String {
    let quoted: Vec<String> = roles.iter().map(|role| format!("{role:?}")).collect();
    let mut text = format!("roles = [{}]\ndata_dir = {:?}\n", quoted.join(", "), data.display().to_string());
    if let Backends::Cluster { log, store, .. } = backends {
        text += &format!("event_log = {log:?}\n");
        if let Some(store) = store {
            text += &format!("event_store = {store:?}\n");
        }
    }
    text += "[serving]\nlisten = \"127.0.0.1:0\"\n";
    text += INGEST;
    if let Backends::Cluster { prefix, .. } = backends {
        text += &format!("[ingest.kafka]\nprefix = {prefix:?}\nshards = 4\ntick = \"100ms\"\ntimeout = \"5s\"\n");
    }
    text
}
