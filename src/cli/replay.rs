//! `plaudit replay`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event::{Clock, Envelope, Event, ManualClock, Timestamp};
use plaudit_ingest::service::{AttributionService, StoreSink};
use plaudit_ingest::{Intake, Outcome, log, store};
use serde::Serialize;

use super::{Replay, Speed, print};
use crate::clock::SystemClock;
use crate::config::Config;

/// Most events handed to intake at once.
const BATCH: usize = 500;

/// The fate of every line, and what came of it.
#[derive(Debug, Default, Serialize)]
struct Tally {
    received: u64,
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    quarantined: u64,
    examples: u64,
}

/// Feeds the file through intake into the log of the data directory, and the log into the store.
pub(crate) async fn run(arguments: &Replay) -> anyhow::Result<()> {
    let config = arguments.files.load(Vec::new())?;
    anyhow::ensure!(
        !(arguments.event_time && arguments.speed == Speed::Recorded),
        "`--event-time` and `--speed recorded` exclude each other: one moves the clock, the other waits for it"
    );
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("failed to create data directory `{}`", config.data_dir.display()))?;
    let manual = Arc::new(ManualClock::default());
    let clock: Arc<dyn Clock> = if arguments.event_time { manual.clone() } else { Arc::new(SystemClock) };
    let log = log::open(&config.event_log_uri(), Arc::clone(&clock))?;
    let store = store::open(&config.event_store_uri())?;
    let intake = Intake::open(Arc::clone(&log), Arc::clone(&clock), &config.ingest).await?;
    let moving = arguments.event_time.then_some(&*manual);
    let pace = (arguments.speed == Speed::Recorded).then_some(());
    let mut feeder = Feeder { intake, manual: moving, pace, config: &config, tally: Tally::default(), last: None };
    feeder.feed(&arguments.file).await?;
    let mut tally = feeder.tally;
    if arguments.event_time {
        let ingest = &config.ingest;
        let wait = ingest.window + ingest.grace + Duration::from_millis(1);
        manual.advance_to(manual.now().plus_millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
        tally.examples = AttributionService::new(Arc::clone(&log), ingest.clone()).catch_up().await?.examples;
    }
    StoreSink::new(log, store, &config.ingest).catch_up().await?;
    report(&tally, arguments)
}

fn report(tally: &Tally, arguments: &Replay) -> anyhow::Result<()> {
    if arguments.json {
        return print(&(serde_json::to_string(tally)? + "\n"));
    }
    let Tally { received, accepted, duplicate, rejected, quarantined, examples } = tally;
    let mut text = format!(
        "{received} received = {accepted} accepted + {duplicate} duplicate + {rejected} rejected + {quarantined} quarantined\n"
    );
    if arguments.event_time {
        text += &format!("{examples} examples\n");
    } else {
        text += "examples follow when `plaudit up` runs on this data directory and their windows close\n";
    }
    print(&text)
}

struct Feeder<'a> {
    intake: Intake,
    manual: Option<&'a ManualClock>,
    pace: Option<()>,
    config: &'a Config,
    tally: Tally,
    last: Option<Timestamp>,
}

impl Feeder<'_> {
    async fn feed(&mut self, path: &Path) -> anyhow::Result<()> {
        let (input, length) = open(path)?;
        let bar = ProgressBar::new(length);
        bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {msg}  {eta} left")?);
        let span = i64::try_from(self.config.ingest.window.as_millis() / 10).unwrap_or(i64::MAX);
        let (mut batch, mut first) = (Vec::new(), None);
        for line in input.split(b'\n') {
            let line = line.with_context(|| format!("failed to read `{}`", path.display()))?;
            bar.inc(line.len() as u64 + 1);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let ts = (self.manual.is_some() || self.pace.is_some()).then(|| time_of(&line)).flatten();
            let is_far = ts.zip(first).is_some_and(|(ts, first): (Timestamp, Timestamp)| ts.millis_since(first) > span);
            if batch.len() >= BATCH || is_far || self.pace.is_some() {
                self.send(std::mem::take(&mut batch)).await?;
                first = None;
                bar.set_message(format!("{} events", self.tally.received));
            }
            self.wait_for(ts).await;
            first = first.or(ts);
            batch.push(line);
        }
        self.send(batch).await?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Moves the clock to `ts`, or lets the pause since the event before it pass.
    async fn wait_for(&mut self, ts: Option<Timestamp>) {
        let Some(ts) = ts else { return };
        if let Some(manual) = self.manual {
            manual.advance_to(ts);
        }
        if let (Some(()), Some(last)) = (self.pace, self.last) {
            let pause = u64::try_from(ts.millis_since(last)).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.last = Some(ts);
    }

    async fn send(&mut self, batch: Vec<Vec<u8>>) -> anyhow::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.tally.received += batch.len() as u64;
        for outcome in self.intake.envelopes(batch).await? {
            let count = match outcome {
                Outcome::Accepted => &mut self.tally.accepted,
                Outcome::Duplicate => &mut self.tally.duplicate,
                Outcome::Rejected(_) => &mut self.tally.rejected,
                Outcome::Quarantined(_) => &mut self.tally.quarantined,
            };
            *count += 1;
        }
        Ok(())
    }
}

fn open(path: &Path) -> anyhow::Result<(Box<dyn BufRead + Send>, u64)> {
    if path == Path::new("-") {
        let stdin: Box<dyn Read + Send> = Box::new(std::io::stdin());
        return Ok((Box::new(BufReader::new(stdin)), 0));
    }
    let file = std::fs::File::open(path).with_context(|| format!("failed to open `{}`", path.display()))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    Ok((Box::new(BufReader::new(file)), length))
}

/// The time of the event on `line`; nothing when it is no event, which intake will then say.
fn time_of(line: &[u8]) -> Option<Timestamp> {
    match Envelope::decode(line).ok()?.event {
        Event::Exposure(exposure) => Some(exposure.ts),
        Event::Signal(signal) => Some(signal.ts),
        Event::Example(_) => None,
    }
}
