//! `plaudit bench faults`: nothing acknowledged is lost and nothing is there twice, whatever breaks.
//!
//! The processes under test are this binary. Each row starts them anew, lets clients send over HTTP, breaks something,
//! mends it, and compares what is in log and store with what the clients were promised.

mod check;
mod disk;
mod ledger;
mod load;
mod process;
mod proxy;
mod report;
mod row;
mod run;
mod script;
mod servers;
mod site;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use plaudit_event::Seed;
use tempfile::TempDir;

use crate::cli::print;
use report::{Report, Verdict};
use row::{Mode, Row};
use run::Bench;
use script::Extent;
use servers::Servers;

/// Arguments of `bench faults`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// On which backends: `embedded` is SQLite in one process, `cluster` Kafka and ClickHouse with several.
    #[arg(long, value_enum, default_value_t = Which::Embedded)]
    mode: Which,
    /// Only these rows.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Row>,
    /// How many processes are killed in row `kill`.
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// How long the store is down in row `store-down`.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "60s")]
    outage: Duration,
    /// Root of all randomness: the events, the victims, the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run folder of development servers that may be killed; those that do not run are started, and stay. Default: a
    /// temporary folder, whose servers are stopped at the end.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kafka", "clickhouse"])]
    run_servers: Option<PathBuf>,
    /// The script that starts, kills and stops them.
    #[arg(long, value_name = "FILE", default_value = "deploy/dev/servers")]
    servers: PathBuf,
    /// A broker of others, `kafka://HOST:PORT`: it is not killed, and rows that need that are left out.
    #[arg(long, value_name = "URI")]
    kafka: Option<String>,
    /// A store of others, `clickhouse://HOST:PORT/DATABASE`, likewise; without it each process has a file of its own.
    #[arg(long, value_name = "URI", requires = "kafka")]
    clickhouse: Option<String>,
    /// Print the table as one JSON object.
    #[arg(long)]
    json: bool,
}

/// The backends as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// SQLite, one process.
    Embedded,
    /// Kafka and ClickHouse, several processes.
    Cluster,
    /// Both, one after the other.
    All,
}

impl Which {
    const fn modes(self) -> &'static [Mode] {
        match self {
            Self::Embedded => &[Mode::Embedded],
            Self::Cluster => &[Mode::Cluster],
            Self::All => &[Mode::Embedded, Mode::Cluster],
        }
    }
}

/// Plays the rows and prints the table.
///
/// # Errors
/// Fails when a row could not be played to its end, and when one did not pass.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let has_cluster = arguments.mode.modes().contains(&Mode::Cluster);
    let own = match has_cluster && arguments.kafka.is_none() && arguments.run_servers.is_none() {
        true => Some(tempfile::tempdir().context("failed to create a temporary directory")?),
        false => None,
    };
    let servers = match (has_cluster, arguments.run_servers.as_deref().or(own.as_ref().map(TempDir::path))) {
        (true, Some(folder)) => {
            progress("starting broker and store");
            Some(Servers::up(&arguments.servers, folder).await?)
        }
        _ => None,
    };
    let played = play(arguments, servers.as_ref()).await;
    if own.is_some()
        && let Some(servers) = &servers
    {
        servers.run("down").await?;
    }
    let report = played?;
    match arguments.json {
        true => print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        false => print(&report.to_text())?,
    }
    let num_failed = report.rows.iter().filter(|row| row.verdict == Verdict::Failed).count();
    anyhow::ensure!(num_failed == 0, "{num_failed} of {} rows failed", report.rows.len());
    Ok(())
}

async fn play(arguments: &Arguments, servers: Option<&Servers>) -> anyhow::Result<Report> {
    let (mut kafka, mut clickhouse) = (arguments.kafka.clone(), arguments.clickhouse.clone());
    if let Some(servers) = servers {
        let (log, store) = servers.locations().await?;
        (kafka, clickhouse) = (Some(log), Some(store));
    }
    let bench = Bench {
        servers: servers.cloned(),
        kafka,
        clickhouse,
        extent: Extent { kills: arguments.kills, outage: arguments.outage },
        seed: Seed::new(arguments.seed),
    };
    let mut report = Report { seed: arguments.seed, rows: Vec::new() };
    for mode in arguments.mode.modes() {
        for row in Row::ALL {
            let is_asked = arguments.only.is_empty() || arguments.only.contains(&row);
            if is_asked && row.is_of(*mode) {
                progress(&format!("{} {}", mode.as_str(), row.as_str()));
                let played = bench.row(*mode, row).await;
                report.rows.push(played.with_context(|| format!("row {} of {}", row.as_str(), mode.as_str()))?);
            }
        }
    }
    anyhow::ensure!(!report.rows.is_empty(), "no such row in this mode: see `plaudit bench faults --help`");
    Ok(report)
}

/// A line about what happens, on standard error.
fn progress(line: &str) {
    use std::io::Write as _;
    // Nobody needs to read it.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
