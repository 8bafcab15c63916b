//! `plaudit replay`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event::{Clock, Envelope, Event, ManualClock, Timestamp};
use plaudit_ingest::service::{AttributionService, copy_all};
use plaudit_ingest::{Intake, Outcome, log, store};
use serde::Serialize;
use tokio::time::Instant;

use super::{Replay, Speed, print};
use crate::clock::SystemClock;

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
    sampled: u64,
    /// Accepted, but so late in the file that they count as later than they happened.
    displaced: u64,
    examples: u64,
}

/// Feeds the file through intake into the log of the data directory, and the log into the store.
pub(crate) async fn run(arguments: &Replay) -> anyhow::Result<()> {
    let config = arguments.files.load(Vec::new())?.salted(std::env::vars_os())?;
    anyhow::ensure!(
        !(arguments.event_time && arguments.speed == Speed::Recorded),
        "`--event-time` and `--speed recorded` exclude each other: one moves the clock, the other waits for it"
    );
    anyhow::ensure!(
        config.event_log_file().is_some(),
        "`event_log` must name a file to replay into, got `{}`",
        config.event_log
    );
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("failed to create data directory `{}`", config.data_dir.display()))?;
    let manual = Arc::new(ManualClock::default());
    let clock: Arc<dyn Clock> = if arguments.event_time { manual.clone() } else { Arc::new(SystemClock) };
    let log = log::open(&config.event_log_uri(), &config.ingest.kafka, Arc::clone(&clock)).await?;
    let store = store::open(&config.event_store_uri(), &config.ingest)?;
    let intake = Intake::open(Arc::clone(&log), Arc::clone(&clock), &config.ingest).await?;
    // What the directory holds has happened before.
    manual.advance_to(log.horizon().await?);
    let pace = match arguments.speed {
        _ if arguments.event_time => Pace::EventTime(&manual),
        Speed::Recorded => Pace::Recorded(None),
        Speed::Full => Pace::Full,
    };
    let mut feeder = Feeder { intake, pace, ingest: &config.ingest, tally: Tally::default() };
    feeder.feed(&arguments.file).await?;
    let mut tally = feeder.tally;
    if arguments.event_time {
        let ingest = &config.ingest;
        let wait = ingest.window + ingest.grace + Duration::from_millis(1);
        manual.advance_to(manual.now().plus_millis(millis(wait)));
        tally.examples = AttributionService::new(Arc::clone(&log), ingest.clone()).catch_up().await?.examples;
    }
    copy_all(&log, &store, &config.ingest).await?;
    report(&tally, arguments)
}

fn report(tally: &Tally, arguments: &Replay) -> anyhow::Result<()> {
    if arguments.json {
        return print(&(serde_json::to_string(tally)? + "\n"));
    }
    let Tally { received, accepted, duplicate, rejected, quarantined, sampled, displaced, examples } = tally;
    let mut text = format!(
        "{received} received = {accepted} accepted + {duplicate} duplicate + {rejected} rejected + {quarantined} quarantined\
         {}\n",
        if *sampled > 0 { format!(" + {sampled} sampled") } else { String::new() }
    );
    if arguments.event_time {
        if *displaced > 0 {
            text += &format!(
                "{displaced} events happened more than a window before events ahead of them in the file or in the \
                 data directory, and may miss their exposures: sort the file by time\n"
            );
        }
        text += &format!("{examples} examples\n");
    } else {
        text += "examples follow when `plaudit up` runs on this data directory and their windows close\n";
    }
    print(&text)
}

/// How time passes while a file is fed.
enum Pace<'a> {
    /// As fast as it goes, in the present.
    Full,
    /// With the pauses of the record, in the present; the first event and when it was fed.
    Recorded(Option<(Timestamp, Instant)>),
    /// As fast as it goes; the clock shows the time of each event.
    EventTime(&'a ManualClock),
}

/// Lines that are handed to intake together.
#[derive(Default)]
struct Batch {
    lines: Vec<Vec<u8>>,
    /// The time of each line; nothing for one that is no event.
    times: Vec<Option<Timestamp>>,
}

impl Batch {
    fn push(&mut self, line: Vec<u8>, ts: Option<Timestamp>) {
        self.lines.push(line);
        self.times.push(ts);
    }

    /// Milliseconds from the first time in the batch to `ts`.
    fn span_to(&self, ts: Option<Timestamp>) -> i64 {
        let first = self.times.iter().flatten().next();
        first.zip(ts).map_or(0, |(first, ts)| ts.millis_since(*first))
    }
}

struct Feeder<'a> {
    intake: Intake,
    pace: Pace<'a>,
    ingest: &'a plaudit_ingest::Config,
    tally: Tally,
}

impl Feeder<'_> {
    async fn feed(&mut self, path: &Path) -> anyhow::Result<()> {
        let (input, length) = open(path)?;
        let bar = progress_bar(length)?;
        let span = millis(self.ingest.window) / 10;
        let mut batch = Batch::default();
        for line in input.split(b'\n') {
            let line = line.with_context(|| format!("failed to read `{}`", path.display()))?;
            bar.inc(line.len() as u64 + 1);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let ts = if matches!(self.pace, Pace::Full) { None } else { time_of(&line) };
            let is_alone = matches!(self.pace, Pace::Recorded(_));
            if batch.lines.len() >= BATCH || batch.span_to(ts) > span || is_alone {
                self.send(std::mem::take(&mut batch)).await?;
                bar.set_message(format!("{} events", self.tally.received));
            }
            self.wait_for(ts).await;
            batch.push(line, ts);
        }
        self.send(batch).await?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Moves the clock to `ts`, or lets the time pass that passed in the record.
    async fn wait_for(&mut self, ts: Option<Timestamp>) {
        let Some(ts) = ts else { return };
        match &mut self.pace {
            Pace::Full => {}
            Pace::Recorded(start) => {
                let (first, fed) = *start.get_or_insert_with(|| (ts, Instant::now()));
                let after = u64::try_from(ts.millis_since(first)).unwrap_or(0);
                tokio::time::sleep_until(fed + Duration::from_millis(after)).await;
            }
            Pace::EventTime(clock) => {
                // A log never goes back in time: one event from the future would date all that come after it.
                let newest = SystemClock.now().plus_millis(millis(self.ingest.max_clock_skew));
                if ts <= newest {
                    clock.advance_to(ts);
                }
            }
        }
    }

    async fn send(&mut self, batch: Batch) -> anyhow::Result<()> {
        if batch.lines.is_empty() {
            return Ok(());
        }
        self.tally.received += batch.lines.len() as u64;
        let oldest = match &self.pace {
            Pace::EventTime(clock) => Some(clock.now().plus_millis(-millis(self.ingest.window))),
            _ => None,
        };
        for (outcome, ts) in self.intake.envelopes(batch.lines).await?.into_iter().zip(batch.times) {
            let count = match outcome {
                Outcome::Accepted => {
                    let is_displaced = ts.zip(oldest).is_some_and(|(ts, oldest)| ts < oldest);
                    self.tally.displaced += u64::from(is_displaced);
                    &mut self.tally.accepted
                }
                Outcome::Duplicate => &mut self.tally.duplicate,
                Outcome::Rejected(_) => &mut self.tally.rejected,
                Outcome::Quarantined(_) => &mut self.tally.quarantined,
                Outcome::Sampled => &mut self.tally.sampled,
            };
            *count += 1;
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Bytes read, where the length is known; else what was taken.
fn progress_bar(length: Option<u64>) -> anyhow::Result<ProgressBar> {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:40} {bytes}/{total_bytes}  {msg}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {msg}"),
    };
    bar.set_style(ProgressStyle::with_template(template)?);
    Ok(bar)
}

/// The input and its length in bytes, if it is a file.
fn open(path: &Path) -> anyhow::Result<(Box<dyn BufRead + Send>, Option<u64>)> {
    if path == Path::new("-") {
        let stdin: Box<dyn Read + Send> = Box::new(std::io::stdin());
        return Ok((Box::new(BufReader::new(stdin)), None));
    }
    let file = std::fs::File::open(path).with_context(|| format!("failed to open `{}`", path.display()))?;
    let length = file.metadata().ok().map(|metadata| metadata.len());
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
