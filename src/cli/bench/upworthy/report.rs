//! The figures, for people and for programs.

use std::fmt::{Result, Write};

use plaudit_datasets::upworthy::Counts;
use serde::Serialize;
use serde_json::{Value, json};

use super::ratio::{LEAST_FAULTY, LEVEL, MOST_OTHER, Period, Ratio};
use super::stream::Flow;
use super::tally::Difference;
use crate::cli::bench::disk;
use crate::cli::bench::meter::Stage;
use crate::config::Config;

/// Most differences shown to people.
const SHOWN: usize = 20;

/// Everything there is to say about a run.
pub(super) struct Report {
    pub(super) split: String,
    pub(super) seed: u64,
    pub(super) counts: Counts,
    pub(super) flow: Flow,
    /// Counting the store again: items are rows.
    pub(super) count: Stage,
    pub(super) disk: Disk,
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) differences: Vec<Difference>,
    pub(super) ratio: Ratio,
}

/// What the run left on the disk.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Disk {
    bytes: u64,
    bytes_per_exposure: f64,
}

impl Disk {
    /// Of the data directory after `exposures`.
    pub(super) fn of(config: &Config, exposures: u64) -> anyhow::Result<Self> {
        let bytes = disk::folder_bytes(&config.data_dir)?;
        Ok(Self { bytes, bytes_per_exposure: bytes as f64 / exposures.max(1) as f64 })
    }
}

impl Report {
    /// From the first event made to the last row stored: items are events.
    fn whole(&self) -> Stage {
        let Flow { expand, intake, attribution, sink, .. } = &self.flow;
        let stages = [expand, intake, attribution, sink];
        Stage {
            items: intake.items,
            wall: stages.iter().map(|stage| stage.wall).sum(),
            cpu: stages.iter().map(|stage| stage.cpu).sum(),
        }
    }

    /// One JSON object.
    pub(super) fn to_json(&self) -> Value {
        let (flow, counts) = (&self.flow, self.counts);
        json!({
            "dataset": "upworthy",
            "split": self.split,
            "seed": self.seed,
            "tests": counts.tests,
            "arms": counts.arms,
            "impressions": counts.impressions,
            "clicks": counts.clicks,
            "received": flow.totals.received,
            "accepted": flow.totals.accepted,
            "duplicate": flow.totals.duplicate,
            "rejected": flow.totals.rejected,
            "quarantined": flow.totals.quarantined,
            "expand": flow.expand.rate(),
            "intake": flow.intake.rate(),
            "attribution": flow.attribution.rate(),
            "sink": flow.sink.rate(),
            "whole": self.whole().rate(),
            "count": self.count.rate(),
            "peak_memory_bytes": self.peak_memory_bytes,
            "disk": self.disk,
            "mismatches": self.differences.len(),
            "differences": self.differences,
            "sample_ratio": self.ratio,
        })
    }

    /// A few tables.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text).expect("a string takes everything");
        text
    }

    fn write_text(&self, out: &mut impl Write) -> Result {
        let Counts { tests, arms, impressions, clicks } = self.counts;
        writeln!(
            out,
            "Upworthy, {} split: {tests} tests, {arms} arms, {impressions} impressions, {clicks} clicks",
            self.split
        )?;
        writeln!(out, "Time is that of the events: every window closes, and every click falls into one\n")?;
        writeln!(
            out,
            "{:<12} {:>10} {:<8} {:>9} {:>12} {:>12}",
            "stage", "items", "", "wall", "per second", "CPU each"
        )?;
        let flow = &self.flow;
        write_stage(out, "expand", "events", &flow.expand)?;
        write_stage(out, "intake", "events", &flow.intake)?;
        write_stage(out, "attribution", "examples", &flow.attribution)?;
        write_stage(out, "sink", "rows", &flow.sink)?;
        write_stage(out, "whole", "events", &self.whole())?;
        write_stage(out, "count again", "rows", &self.count)?;
        let totals = &flow.totals;
        writeln!(
            out,
            "\n{} received = {} accepted + {} duplicate + {} rejected + {} quarantined",
            totals.received, totals.accepted, totals.duplicate, totals.rejected, totals.quarantined
        )?;
        let memory =
            self.peak_memory_bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        let Disk { bytes, bytes_per_exposure } = self.disk;
        writeln!(
            out,
            "memory at its peak {memory}; on disk {} MiB, {bytes_per_exposure:.0} bytes per exposure",
            bytes >> 20
        )?;
        writeln!(out, "exposures, clicks, examples and labels of {arms} arms: {} mismatches", self.differences.len())?;
        for Difference { test, arm, what, expected, found } in self.differences.iter().take(SHOWN) {
            writeln!(out, "  test {test}, arm {arm}: {found} {what}, the data have {expected}")?;
        }
        self.write_ratio(out)
    }

    fn write_ratio(&self, out: &mut impl Write) -> Result {
        writeln!(out, "\nSample ratio of all tests of both splits, chi-square, alarm at p < {LEVEL}")?;
        writeln!(out, "{:<16} {:>6} {:>7} {:>8}", "randomisation", "tests", "alarms", "share")?;
        let mut line = |name: &str, period: Period, bound: String| {
            let Period { tests, alarms } = period;
            writeln!(out, "{name:<16} {tests:>6} {alarms:>7} {:>6.2} %  {bound}", 100.0 * period.share())
        };
        line("at fault", self.ratio.faulty, format!("expected: at least {:.0} %", 100.0 * LEAST_FAULTY))?;
        line("not in doubt", self.ratio.other, format!("expected: at most {:.0} %", 100.0 * MOST_OTHER))
    }
}

fn write_stage(out: &mut impl Write, name: &str, items: &str, stage: &Stage) -> Result {
    let rate = stage.rate();
    writeln!(
        out,
        "{name:<12} {:>10} {items:<8} {:>7.1} s {:>10.0}/s {:>9.1} µs",
        rate.items, rate.wall_seconds, rate.per_second, rate.cpu_us_per_item
    )
}
