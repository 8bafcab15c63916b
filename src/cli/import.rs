//! `plaudit import`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use plaudit_event::{Clock, Envelope, Event, ManualClock, Timestamp};
use plaudit_ingest::service::copy_all;
use plaudit_ingest::{Intake, Outcome};
use serde::Serialize;
use tokio::time::Instant;

use super::event_file::Lines;
use super::{Files, data, print};
use crate::clock::SystemClock;

/// Most events handed to intake at once.
const BATCH: usize = 500;

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files: one envelope per line, plain or compressed with gzip or zstd; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    files: Files,
    /// How fast.
    #[arg(long, value_enum, default_value_t = Speed::Full)]
    speed: Speed,
    /// Stamp each record with its own time instead of the present, and close every window at the end.
    /// The data directory must not hold newer records.
    #[arg(long)]
    event_time: bool,
    /// Print the counts as one JSON object.
    #[arg(long)]
    json: bool,
}

/// How fast a file is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Speed {
    /// As fast as it goes.
    Full,
    /// With the pauses between the recorded times.
    Recorded,
}

/// The fate of every line, and what came of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    pub(super) received: u64,
    pub(super) accepted: u64,
    pub(super) duplicate: u64,
    pub(super) rejected: u64,
    pub(super) quarantined: u64,
    pub(super) sampled: u64,
    /// How many were refused for which reason.
    pub(super) reasons: BTreeMap<&'static str, u64>,
    /// Accepted, but so late in the file that they count as later than they happened.
    displaced: u64,
    examples: u64,
}

impl Tally {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.received += 1;
        let count = match outcome {
            Outcome::Accepted => &mut self.accepted,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Rejected(_) => &mut self.rejected,
            Outcome::Quarantined(_) => &mut self.quarantined,
            Outcome::Sampled => &mut self.sampled,
        };
        *count += 1;
        if let Some(refusal) = outcome.refusal() {
            *self.reasons.entry(refusal.reason.as_str()).or_default() += 1;
        }
    }

    /// One line with the outcomes, and one for each reason.
    pub(super) fn describe(&self) -> String {
        let Self { received, accepted, duplicate, rejected, quarantined, sampled, reasons, .. } = self;
        let mut text = format!(
            "{received} received = {accepted} accepted + {duplicate} duplicate + {rejected} rejected + {quarantined} quarantined{}\n",
            if *sampled > 0 { format!(" + {sampled} sampled") } else { String::new() }
        );
        for (reason, count) in reasons {
            text += &format!("  {reason:<16} {count:>8}\n");
        }
        text
    }
}

/// Feeds the files through intake into the log of the data directory, and the log into the store.
pub(crate) async fn run(arguments: &Import) -> anyhow::Result<()> {
    let config = arguments.files.configuration()?;
    anyhow::ensure!(
        !(arguments.event_time && arguments.speed == Speed::Recorded),
        "`--event-time` and `--speed recorded` exclude each other: one moves the clock, the other waits for it"
    );
    let manual = Arc::new(ManualClock::default());
    let clock: Arc<dyn Clock> = if arguments.event_time { manual.clone() } else { Arc::new(SystemClock) };
    let log = data::make_log(&config, Arc::clone(&clock)).await?;
    // A shared log has a time of its own, in which no window would close.
    anyhow::ensure!(
        !(arguments.event_time && log.is_shared()),
        "`event_log` must be of one machine for `--event-time`, got `{}`",
        config.event_log
    );
    let store = data::open_store(&config)?;
    let intake = Intake::open(Arc::clone(&log), Arc::clone(&clock), &config.ingest).await?;
    // What the directory holds has happened before.
    manual.advance_to(log.horizon().await?);
    let pace = match arguments.speed {
        _ if arguments.event_time => Pace::EventTime(&manual),
        Speed::Recorded => Pace::Recorded(None),
        Speed::Full => Pace::Full,
    };
    let mut feeder = Feeder { intake, pace, ingest: &config.ingest, tally: Tally::default() };
    for input in &arguments.inputs {
        feeder.feed(input).await?;
    }
    let mut tally = feeder.tally;
    if arguments.event_time {
        let ingest = &config.ingest;
        let wait = ingest.window + ingest.grace + Duration::from_millis(1);
        manual.advance_to(manual.now().plus_millis(millis(wait)));
        tally.examples = data::attribute(&log, ingest).await?;
    }
    copy_all(&log, &store, &config.ingest).await?;
    report(&tally, arguments)
}

fn report(tally: &Tally, arguments: &Import) -> anyhow::Result<()> {
    if arguments.json {
        return print(&(serde_json::to_string(tally)? + "\n"));
    }
    let mut text = tally.describe();
    if !tally.reasons.is_empty() {
        text += "what was refused is kept: `plaudit dlq list` shows it\n";
    }
    if arguments.event_time {
        if tally.displaced > 0 {
            text += &format!(
                "{} events happened more than a window before events ahead of them in the files or in the \
                 data directory, and may miss their exposures: sort the files by time\n",
                tally.displaced
            );
        }
        text += &format!("{} examples\n", tally.examples);
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
        let mut lines = Lines::open(path)?;
        let span = millis(self.ingest.window) / 10;
        let most = BATCH.min(self.ingest.max_batch);
        let mut batch = Batch::default();
        while let Some(line) = lines.next()? {
            let ts = if matches!(self.pace, Pace::Full) { None } else { time_of(&line) };
            let is_alone = matches!(self.pace, Pace::Recorded(_));
            if batch.lines.len() >= most || batch.span_to(ts) > span || is_alone {
                self.send(std::mem::take(&mut batch)).await?;
                lines.say(format!("{} events", self.tally.received));
            }
            self.wait_for(ts).await;
            batch.push(line, ts);
        }
        self.send(batch).await
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
        let oldest = match &self.pace {
            Pace::EventTime(clock) => Some(clock.now().plus_millis(-millis(self.ingest.window))),
            _ => None,
        };
        for (outcome, ts) in self.intake.envelopes(batch.lines).await?.into_iter().zip(batch.times) {
            let is_displaced = ts.zip(oldest).is_some_and(|(ts, oldest)| ts < oldest);
            self.tally.displaced += u64::from(is_displaced && outcome == Outcome::Accepted);
            self.tally.count(&outcome);
        }
        Ok(())
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The time of the event on `line`; nothing when it is no event, which intake will then say.
fn time_of(line: &[u8]) -> Option<Timestamp> {
    match Envelope::decode(line).ok()?.event {
        Event::Exposure(exposure) => Some(exposure.ts),
        Event::Signal(signal) => Some(signal.ts),
        Event::Example(_) => None,
    }
}
