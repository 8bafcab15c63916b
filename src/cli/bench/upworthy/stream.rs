//! The path itself: events → intake → log → attribution → log → sink → store.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_datasets::upworthy::Upworthy;
use plaudit_event::{Clock, Event, ManualClock, Seed, Timestamp};
use plaudit_ingest::log::{EventLog, Topic};
use plaudit_ingest::service::{AttributionService, StoreSink};
use plaudit_ingest::store::EventStore;
use plaudit_ingest::{Intake, Totals, log, store};
use tokio::task::JoinSet;

use crate::cli::bench::meter::{Stage, Watch};
use crate::config::Config;

/// Most events that are on their way at once.
const SLICE: usize = 8_000;
/// Batches that they are sent in.
const SENDERS: usize = 4;
/// Fewest events that are worth a batch of their own.
const SMALLEST_BATCH: usize = 100;
/// Events after which attribution and sink catch up.
const FOLLOW: usize = 50_000;

/// What ran, and what each part of it cost.
pub(super) struct Flow {
    /// Making the events: items are events.
    pub(super) expand: Stage,
    /// Until the acknowledgement: items are events.
    pub(super) intake: Stage,
    /// Items are examples.
    pub(super) attribution: Stage,
    /// Items are rows.
    pub(super) sink: Stage,
    /// The fate of every event.
    pub(super) totals: Totals,
    /// Where it all ended up.
    pub(super) store: Arc<dyn EventStore>,
}

/// Streams the events of `set` into the log and the store of `config`.
pub(super) async fn run(set: &Upworthy, seed: Seed, config: &Config) -> anyhow::Result<Flow> {
    let counts = set.counts();
    let num_events = counts.impressions + counts.clicks;
    let bar = ProgressBar::new(num_events);
    bar.set_style(ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} events  {per_sec}  {eta} left")?);
    let mut path = Path::open(config, num_events).await?;
    let mut events = set.events(seed).peekable();
    // Records of a slice get one time, so a click may come half a window late, which is early enough.
    let span = millis(config.ingest.window) / 2;
    let most = SLICE.min(config.ingest.max_in_flight);
    let mut num_unread = 0;
    while events.peek().is_some() {
        let watch = Watch::start();
        let mut slice: Vec<Event> = Vec::new();
        let mut first = None;
        while slice.len() < most
            && let Some(event) =
                events.next_if(|event| time(event).millis_since(*first.get_or_insert(time(event))) <= span)
        {
            slice.push(event);
        }
        let length = slice.len();
        path.flow.expand.add(&watch, length as u64);
        path.send(slice).await?;
        bar.inc(length as u64);
        num_unread += length;
        if num_unread >= FOLLOW {
            path.follow().await?;
            num_unread = 0;
        }
    }
    path.close_windows();
    path.follow().await?;
    bar.finish_and_clear();
    path.flow.totals = path.intake.totals();
    Ok(path.flow)
}

/// Everything on the way.
struct Path<'a> {
    config: &'a Config,
    clock: Arc<ManualClock>,
    intake: Intake,
    attribution: AttributionService,
    sink: StoreSink,
    flow: Flow,
}

impl<'a> Path<'a> {
    async fn open(config: &'a Config, num_events: u64) -> anyhow::Result<Self> {
        let clock = Arc::new(ManualClock::default());
        let log =
            log::open(&config.event_log_uri(), &config.ingest.kafka, Arc::clone(&clock) as Arc<dyn Clock>).await?;
        // A shared log has a time of its own, in which no window would close.
        anyhow::ensure!(
            !log.is_shared(),
            "`event_log` must be of one machine to run in event time, got `{}`",
            config.event_log
        );
        let store = store::open(&config.event_store_uri(), &config.ingest)?;
        let mut ingest = config.ingest.clone();
        if log.tail(Topic::Exposures).await? > 0 {
            // Events that are there from a run before are duplicates only if their ids are remembered, all of them.
            let twice = usize::try_from(2 * num_events).context("too many events for this machine")?;
            ingest.dedup_capacity = ingest.dedup_capacity.max(twice);
        }
        let intake = Intake::open(Arc::clone(&log), Arc::clone(&clock) as Arc<dyn Clock>, &ingest).await?;
        // What the directory holds has happened before.
        clock.advance_to(log.horizon().await?);
        let attribution = AttributionService::new(Arc::clone(&log), config.ingest.clone());
        let sink = StoreSink::new(Arc::clone(&log) as Arc<dyn EventLog>, Arc::clone(&store), &config.ingest);
        let flow = Flow {
            expand: Stage::default(),
            intake: Stage::default(),
            attribution: Stage::default(),
            sink: Stage::default(),
            totals: intake.totals(),
            store,
        };
        Ok(Self { config, clock, intake, attribution, sink, flow })
    }

    /// Hands `slice` to intake in a few batches at once, and waits for every acknowledgement.
    async fn send(&mut self, slice: Vec<Event>) -> anyhow::Result<()> {
        let watch = Watch::start();
        let length = slice.len();
        if let Some(last) = slice.last() {
            self.clock.advance_to(time(last));
        }
        let size = length.div_ceil(SENDERS).max(SMALLEST_BATCH).min(self.config.ingest.max_batch);
        let mut senders = JoinSet::new();
        let mut events = slice.into_iter().peekable();
        while events.peek().is_some() {
            let batch: Vec<Event> = events.by_ref().take(size).collect();
            let intake = self.intake.clone();
            senders.spawn(async move { intake.events(batch).await });
        }
        while let Some(sent) = senders.join_next().await {
            sent.context("a sender ended in a panic")??;
        }
        self.flow.intake.add(&watch, length as u64);
        Ok(())
    }

    /// Attributes and stores what is in the log.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let watch = Watch::start();
        let attributed = self.attribution.catch_up().await?;
        self.flow.attribution.add(&watch, attributed.examples);
        let watch = Watch::start();
        let sinked = self.sink.catch_up().await?;
        self.flow.sink.add(&watch, sinked.rows);
        Ok(())
    }

    /// Lets the windows of all exposures pass.
    fn close_windows(&self) {
        let wait = self.config.ingest.window + self.config.ingest.grace + Duration::from_millis(1);
        self.clock.advance_to(self.clock.now().plus_millis(millis(wait)));
    }
}

const fn time(event: &Event) -> Timestamp {
    match event {
        Event::Exposure(exposure) => exposure.ts,
        Event::Signal(signal) => signal.ts,
        Event::Example(example) => example.ts,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
