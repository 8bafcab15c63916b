//! `plaudit experiment interleaving`: which ranking users prefer.

use clap::Args;
use plaudit_event::Clock as _;
use plaudit_experiment::interleave::Report;
use plaudit_serving::experiment::interleaving;
use plaudit_serving::results;

use super::moment::Moment;
use super::remote::{Ask, range};
use super::results::definition;
use super::{Files, Remote, data, print};
use crate::clock::SystemClock;

/// Arguments of `experiment interleaving`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The interleaving.
    id: String,
    /// Only lists shown from then on: a time, `2d ago`, or milliseconds since 1970.
    #[arg(long)]
    since: Option<Moment>,
    /// Only lists shown before.
    #[arg(long)]
    until: Option<Moment>,
    /// Ask no server: read the store of the configuration, by its experiments.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    remote: Remote,
}

/// Prints the report.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { id, offline, files, remote, .. } = arguments;
    let now = SystemClock.now();
    let ask = results::Ask {
        since: arguments.since.map(|moment| moment.as_of(now)),
        until: arguments.until.map(|moment| moment.as_of(now)),
        ..results::Ask::default()
    };
    let report: Report = if *offline {
        let config = files.load(Vec::new())?;
        let definition = definition(&config)?;
        let store = data::open_store(&config)?;
        results::interleaving(&*store, interleaving(&definition, id)?, (&ask, now)).await?
    } else {
        let path = format!("/admin/v1/experiments/{id}/interleaving?{}", range(&ask).join("&"));
        serde_json::from_value(Ask::get(&path).send(remote).await?)?
    };
    let text = if remote.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_text() };
    print(&text)
}
