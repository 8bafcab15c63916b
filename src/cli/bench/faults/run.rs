//! One row: start, load, fault, settle, compare.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use plaudit_event::{Clock as _, Seed};
use plaudit_ingest::log::{self, EventLog};
use plaudit_ingest::store::{self, EventStore};

use super::check::{Findings, check, lacking};
use super::disk::SmallDisk;
use super::ledger::Ledger;
use super::load::Load;
use super::progress;
use super::proxy::Proxy;
use super::report::{RowReport, Verdict};
use super::row::{Mode, Row};
use super::script::{Extent, Stage, data_of_first};
use super::servers::Servers;
use super::site::{Backends, OPEN, Site};
use crate::clock::SystemClock;
use crate::config::Config;

/// How long attribution and sinks may take to catch up at the end.
const SETTLE: Duration = Duration::from_secs(120);

/// What all rows share.
pub(super) struct Bench {
    pub(super) servers: Option<Servers>,
    pub(super) kafka: Option<String>,
    pub(super) clickhouse: Option<String>,
    pub(super) extent: Extent,
    pub(super) seed: Seed,
}

impl Bench {
    /// Plays one row on files, topics and tables of its own.
    pub(super) async fn row(&self, mode: Mode, row: Row) -> anyhow::Result<RowReport> {
        if let Some(why) = self.left_out(mode, row) {
            return Ok(RowReport::left_out(mode, row, why));
        }
        let start = Instant::now();
        let dir = tempfile::tempdir().context("failed to create a temporary directory")?;
        let disk = match row {
            Row::DiskFull => match SmallDisk::mount(&data_of_first(dir.path())) {
                Ok(disk) => Some(disk),
                Err(error) => return Ok(RowReport::left_out(mode, row, error.to_string())),
            },
            _ => None,
        };
        let seed = self.seed.derive(row.as_str(), mode as u64);
        let proxy = match (row, self.clickhouse.as_deref().and_then(address)) {
            (Row::StoreErrors, Some(address)) => Some(Proxy::start(address.to_owned(), seed).await?),
            _ => None,
        };
        let backends = self.backends(mode, row, proxy.as_ref())?;
        let mut site = Site::new(dir.path(), &backends, row.roles(mode))?;
        for number in 0..site.len() {
            site.start(number)?;
        }
        site.ready().await?;
        let load = Load::start(&site.urls(), row.style(), seed);
        let mut stage = Stage {
            site: &mut site,
            servers: self.servers.as_ref().filter(|_| mode == Mode::Cluster),
            disk: disk.as_ref(),
            proxy: proxy.as_ref(),
            extent: self.extent,
            seed,
        };
        let done = stage.play(row).await;
        let ledger = load.finish().await?;
        let done = done?;
        progress("  settling");
        let counted = received_equals_outcomes(&site).await;
        let findings = self.settle(mode, &mut site, &ledger).await?;
        Ok(report(mode, row, done, ledger, findings, (counted, &site, start)))
    }

    /// Why a row cannot be played here.
    fn left_out(&self, mode: Mode, row: Row) -> Option<String> {
        let needs_servers = matches!(row, Row::Broker | Row::StoreDown | Row::DiskFull);
        if mode == Mode::Cluster && needs_servers && self.servers.is_none() {
            return Some("these servers may not be killed: give `--run-servers`".to_owned());
        }
        if matches!(row, Row::StoreDown | Row::StoreErrors) && self.clickhouse.is_none() {
            return Some("each process has a store of its own".to_owned());
        }
        None
    }

    fn backends(&self, mode: Mode, row: Row, proxy: Option<&Proxy>) -> anyhow::Result<Backends> {
        if mode == Mode::Embedded {
            return Ok(Backends::Embedded);
        }
        let log = self.kafka.clone().context("no broker")?;
        let name = format!("faults_{}_{}", row.as_str().replace('-', "_"), SystemClock.now().as_millis());
        let store = self.clickhouse.as_deref().map(|store| match (proxy, address(store)) {
            (Some(proxy), Some(address)) => with_database(&store.replace(address, &proxy.address), &name),
            _ => with_database(store, &name),
        });
        Ok(Backends::Cluster { log, store, prefix: format!("{name}.") })
    }

    /// Waits until all windows are closed and all is copied, stops the processes, and compares.
    async fn settle(&self, mode: Mode, site: &mut Site, ledger: &Ledger) -> anyhow::Result<Findings> {
        site.rest(OPEN + Duration::from_millis(300)).await?;
        let has_one_store = self.clickhouse.is_some();
        if mode == Mode::Cluster {
            let config = site.config(0)?;
            let log = open_log(&config).await?;
            let stores = if has_one_store { vec![open_store(&config)?] } else { Vec::new() };
            let deadline = Instant::now() + SETTLE;
            loop {
                let lacking = lacking(&log, &stores, ledger).await?;
                if lacking.is_empty() || Instant::now() > deadline {
                    break;
                }
                progress(&format!("  not yet: {}", lacking.join(", ")));
                site.rest(Duration::from_secs(1)).await?;
            }
            progress("  stopping");
        }
        site.stop_all().await?;
        progress("  comparing");
        let config = site.config(0)?;
        let log = open_log(&config).await?;
        let mut stores = Vec::new();
        for number in 0..site.len() {
            if stores.is_empty() || (mode == Mode::Cluster && !has_one_store) {
                stores.push(open_store(&site.config(number)?)?);
            }
        }
        check(&log, &stores, &config.ingest, ledger).await
    }
}

async fn open_log(config: &Config) -> anyhow::Result<Arc<dyn EventLog>> {
    Ok(log::open(&config.event_log_uri(), &config.ingest.kafka, Arc::new(SystemClock)).await?)
}

fn open_store(config: &Config) -> anyhow::Result<Arc<dyn EventStore>> {
    Ok(store::open(&config.event_store_uri(), &config.ingest)?)
}

/// The `HOST:PORT` of a location.
fn address(location: &str) -> Option<&str> {
    let server = location.split_once("://")?.1.split('/').next()?;
    server.rsplit('@').next()
}

/// `location` with another database.
fn with_database(location: &str, name: &str) -> String {
    let server =
        Path::new(location).parent().map_or_else(|| location.to_owned(), |parent| parent.display().to_string());
    format!("{server}/{name}")
}

/// Whether every process that serves has counted one outcome for each event that it received; nothing when none can be
/// asked.
async fn received_equals_outcomes(site: &Site) -> Result<(), String> {
    let urls: Vec<String> = site.urls().borrow().values().cloned().collect();
    for url in urls {
        let asked = async { reqwest::get(format!("{url}/metrics")).await?.text().await };
        let metrics = asked.await.map_err(|error| format!("{url}/metrics cannot be read: {error}"))?;
        let (received, outcomes) = (
            sum(&metrics, plaudit_ingest::metrics::INTAKE_RECEIVED),
            sum(&metrics, plaudit_ingest::metrics::INTAKE_OUTCOMES),
        );
        if received != outcomes {
            return Err(format!("received {received} ≠ {outcomes} outcomes"));
        }
    }
    Ok(())
}

/// The sum over all labels of the metric `name`.
fn sum(metrics: &str, name: &str) -> u64 {
    let mut total = 0;
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        if rest.starts_with(['{', ' ']) {
            total += rest.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    total
}

fn report(
    mode: Mode,
    row: Row,
    done: String,
    ledger: Ledger,
    findings: Findings,
    (counted, site, start): (Result<(), String>, &Site, Instant),
) -> RowReport {
    let mut problems = findings.problems();
    problems.extend(counted.err());
    if ledger.sent != ledger.answered() + ledger.unanswered {
        problems.push(format!(
            "{} events sent ≠ {} outcomes + {} unanswered",
            ledger.sent,
            ledger.answered(),
            ledger.unanswered
        ));
    }
    let twice = ledger.accepted_twice();
    if twice > 0 {
        problems.push(format!("{twice} events were accepted twice"));
    }
    if mode == Mode::Embedded && findings.log_copies > 0 {
        problems.push(format!("{} events are in the log twice", findings.log_copies));
    }
    if ledger.given_up > 0 {
        problems.push(format!("{} events were never acknowledged", ledger.given_up));
    }
    if ledger.exposures.is_empty() || ledger.signals.is_empty() {
        problems.push("there was no load".to_owned());
    }
    problems.extend(ledger.surprises.iter().cloned());
    problems.extend(site.failures.iter().cloned());
    let verdict = if problems.is_empty() { Verdict::Passed } else { Verdict::Failed };
    let seconds = start.elapsed().as_secs_f64();
    RowReport { mode, row, what: done, tally: Some((&ledger).into()), findings, seconds, problems, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let text = "# HELP a_total x\na_total{outcome=\"x\"} 3\na_total{outcome=\"y\"} 4\na_total_more 9\nb 1\n";
        assert_eq!((sum(text, "a_total"), sum(text, "b"), sum(text, "c")), (7, 1, 0));
    }

    #[test]
    fn a_row_has_a_database_of_its_own() {
        assert_eq!(with_database("clickhouse://h:1/plaudit", "x"), "clickhouse://h:1/x");
        assert_eq!(address("clickhouse://u:p@h:1/plaudit"), Some("h:1"));
    }
}
