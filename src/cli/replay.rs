//! `plaudit replay`: old traffic under the present configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event::{Clock, Envelope, ManualClock};
use plaudit_ingest::log::{self, EventLog, MemoryLog, Part, Topic};
use plaudit_ingest::service::{AttributionService, Bound, Compared, Stretch, compare, copy_all, copy_stretch};
use serde::Serialize;

use super::event_file::Output;
use super::moment::{ALLOWED, Moment};
use super::{Files, data, print};
use crate::clock::SystemClock;
use crate::config::Config;

/// Numbers below are offsets, those from here on milliseconds since 1970: of 1973.
const FIRST_MILLIS: i64 = 100_000_000_000;
/// Records read at a time.
const PAGE: usize = 500;

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true).args(["out", "into"]))]
pub(crate) struct Replay {
    #[command(flatten)]
    files: Files,
    /// Where the exposures begin: a time (RFC 3339, `2h ago`, milliseconds) at which they were appended, or an offset
    /// (`exposures:123`, `exposures/1:123` in shard 1, or a plain number in shard 0).
    #[arg(long, value_parser = edge)]
    from: Edge,
    /// Where they end, which is not in it. Default: the end of the log.
    #[arg(long, value_parser = edge)]
    to: Option<Edge>,
    /// Write the examples to this file, compressed if its name ends with `.gz` or `.zst`.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Make a data directory with the records of the stretch, their times, and the examples.
    #[arg(long)]
    into: Option<PathBuf>,
    /// Print the counts as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Moment(Moment),
    Offset(Part, u64),
}

impl Edge {
    fn bound(self) -> Bound {
        match self {
            Self::Moment(moment) => Bound::Time(moment.as_of(SystemClock.now())),
            Self::Offset(part, offset) => Bound::Offset(part, offset),
        }
    }
}

fn edge(text: &str) -> Result<Edge, String> {
    let part = Part { topic: Topic::Exposures, shard: 0 };
    if let Ok(number) = text.parse::<i64>()
        && number < FIRST_MILLIS
    {
        let offset = u64::try_from(number).map_err(|_| format!("an offset must be at least 0, got {number}"))?;
        return Ok(Edge::Offset(part, offset));
    }
    if let Some((name, offset)) = text.rsplit_once(':')
        && let Ok(offset) = offset.parse()
    {
        let (topic, shard) = name.split_once('/').unwrap_or((name, "0"));
        let topic = [Topic::Exposures, Topic::Signals].into_iter().find(|known| known.as_str() == topic);
        if let (Some(topic), Ok(shard)) = (topic, shard.parse()) {
            return Ok(Edge::Offset(Part { topic, shard }, offset));
        }
    }
    let moment: Result<Moment, String> = text.parse();
    moment.map(Edge::Moment).map_err(|_| {
        format!(
            "must be {ALLOWED}, or an offset such as `exposures:123`, `signals/1:123` or a plain number, got `{text}`"
        )
    })
}

#[derive(Debug, Serialize)]
struct Report {
    exposures: u64,
    signals: u64,
    examples: u64,
    corrections: u64,
    /// Exposures whose window has not closed yet.
    open: u64,
    #[serde(flatten)]
    compared: Compared,
}

/// Attributes the stretch again.
pub(crate) async fn run(arguments: &Replay) -> anyhow::Result<()> {
    let config = arguments.files.configuration()?;
    let source = data::open_log(&config, Arc::new(SystemClock)).await?;
    let clock = Arc::new(ManualClock::default());
    let other = match &arguments.into {
        Some(dir) => Some(directory(&config, dir)?),
        None => None,
    };
    let target: Arc<dyn EventLog> = match &other {
        Some(other) => {
            log::open(&other.event_log_uri(), &config.ingest.kafka, Arc::clone(&clock) as Arc<dyn Clock>).await?
        }
        None => Arc::new(MemoryLog::new(Arc::clone(&clock) as Arc<dyn Clock>)),
    };
    let stretch = Stretch { from: arguments.from.bound(), to: arguments.to.map(Edge::bound) };
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} records  {per_sec}")?);
    let copied = copy_stretch(&source, stretch, &config.ingest, (&*target, &*clock), |count| bar.inc(count)).await?;
    let mut attribution = AttributionService::new(Arc::clone(&target), config.ingest.clone());
    let done = attribution.catch_up().await?;
    bar.finish_and_clear();
    let compared = compare(&source, &*target, &copied).await?;
    let report = Report {
        exposures: copied.exposures,
        signals: copied.signals,
        examples: done.examples,
        corrections: done.corrections,
        open: attribution.stats().open,
        compared,
    };
    if let Some(out) = &arguments.out {
        write(&*target, out).await?;
    }
    if let Some(other) = &other {
        copy_all(&target, &data::open_store(other)?, &config.ingest).await?;
    }
    print(&match arguments.json {
        true => serde_json::to_string(&report)? + "\n",
        false => describe(&report),
    })
}

/// The configuration of a data directory in `dir`, which must be new.
fn directory(config: &Config, dir: &Path) -> anyhow::Result<Config> {
    let is_free = !dir.exists() || std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    anyhow::ensure!(is_free, "`--into` must name an empty or new directory, got `{}`", dir.display());
    std::fs::create_dir_all(dir).with_context(|| format!("failed to create `{}`", dir.display()))?;
    let auto = "sqlite:auto".to_owned();
    Ok(Config { data_dir: dir.to_owned(), event_log: auto.clone(), event_store: auto, ..config.clone() })
}

/// Writes the examples, corrections too, in the order in which they were made.
async fn write(log: &dyn EventLog, out: &Path) -> anyhow::Result<()> {
    let mut output = Output::create(Some(out))?;
    let fail = || format!("failed to write to `{}`", out.display());
    let mut next = 0;
    loop {
        let page = log.read(Topic::Examples, next, PAGE).await?;
        let Some(last) = page.last() else { break };
        next = last.offset + 1;
        for stored in &page {
            let envelope: Envelope = serde_json::from_slice(&stored.value).context("an example cannot be read")?;
            output.write(envelope.encode()).with_context(fail)?;
        }
    }
    output.finish().with_context(fail)
}

fn describe(report: &Report) -> String {
    let Report { exposures, signals, examples, corrections, open, compared } = report;
    let Compared { equal, different, objectives, new, gone } = compared;
    let mut text =
        format!("{exposures} exposures and {signals} signals: {examples} examples, {corrections} corrections\n");
    if *open > 0 {
        text += &format!("{open} exposures have windows that are still open\n");
    }
    text += &format!(
        "compared with the log: {equal} equal, {different} different, {new} new, {gone} that only the log has\n"
    );
    for (objective, count) in objectives {
        text += &format!("  {count} differ in {objective}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use plaudit_event::Timestamp;

    use super::*;

    #[test]
    fn bounds_are_times_or_offsets() {
        let part = |topic, shard| Part { topic, shard };
        assert_eq!(edge("12"), Ok(Edge::Offset(part(Topic::Exposures, 0), 12)));
        assert_eq!(edge("exposures:12"), edge("12"));
        assert_eq!(edge("signals/3:7"), Ok(Edge::Offset(part(Topic::Signals, 3), 7)));
        let at = Timestamp::from_millis(1_600_000_000_000);
        assert_eq!(edge("1600000000000"), Ok(Edge::Moment(Moment::At(at))));
        assert_eq!(edge("2020-09-13T12:26:40Z"), edge("1600000000000"));
        assert_eq!(edge("90s ago"), Ok(Edge::Moment(Moment::Ago(90_000))));
        for bad in ["examples:3", "-3", "soon"] {
            assert!(edge(bad).is_err(), "{bad}");
        }
    }
}
