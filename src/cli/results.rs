//! `plaudit experiment results`: stored events by the metrics of the configuration.

use clap::Args;
use plaudit_event::Clock as _;
use plaudit_experiment::metrics::{Choice, Report};
use plaudit_serving::experiment::{Definition, parse, read_texts};
use plaudit_serving::results::{self, Subject};

use super::moment::Moment;
use super::remote::{self, Ask};
use super::{Files, Remote, data, print};
use crate::clock::SystemClock;
use crate::config::Config;

/// Arguments of `experiment results`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The experiment, or the run of a rolling one.
    id: Option<String>,
    /// How metrics are tested that name no method themselves, such as exact_arms or asymptotic (docs/metrics-as-code.md).
    /// Default: that of the configuration.
    #[arg(long, requires = "id", value_parser = method)]
    method: Option<Choice>,
    /// Error rate, above 0 and below 0.5. Default: that of the configuration.
    #[arg(long, requires = "id")]
    alpha: Option<f64>,
    /// Only exposures from then on: a time, `2d ago`, or milliseconds since 1970.
    #[arg(long, requires = "id")]
    since: Option<Moment>,
    /// Only exposures before.
    #[arg(long, requires = "id")]
    until: Option<Moment>,
    /// Ask no server: read the store of the configuration, by its experiments and metrics.
    #[arg(long, requires = "id")]
    offline: bool,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    remote: Remote,
}

/// The method of that name, as a configuration has it.
fn method(name: &str) -> Result<Choice, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// Prints the report.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Some(id) = &arguments.id else { return remote::readouts(&arguments.remote).await };
    let now = SystemClock.now();
    let ask = results::Ask {
        method: arguments.method,
        alpha: arguments.alpha,
        since: arguments.since.map(|moment| moment.as_of(now)),
        until: arguments.until.map(|moment| moment.as_of(now)),
    };
    let report = match arguments.offline {
        true => stored(&arguments.files.load(Vec::new())?, id, &ask).await?,
        false => asked(&arguments.remote, id, &ask).await?,
    };
    if arguments.remote.json {
        return print(&(serde_json::to_string_pretty(&report)? + "\n"));
    }
    print(&report.to_text())
}

/// The report of the running server.
async fn asked(remote: &Remote, id: &str, ask: &results::Ask) -> anyhow::Result<Report> {
    let mut parts = Vec::new();
    if let Some(method) = ask.method {
        let name = serde_json::to_value(method)?;
        parts.push(format!("method={}", name.as_str().unwrap_or_default()));
    }
    parts.extend(ask.alpha.map(|alpha| format!("alpha={alpha}")));
    parts.extend(remote::range(ask));
    let path = format!("/admin/v1/experiments/{id}/results?{}", parts.join("&"));
    Ok(serde_json::from_value(Ask::get(&path).send(remote).await?)?)
}

/// The report of the store of `config`.
async fn stored(config: &Config, id: &str, ask: &results::Ask) -> anyhow::Result<Report> {
    let subject = Subject::of(&definition(config)?, id)?;
    let store = data::open_store(config)?;
    Ok(results::report(&*store, &config.serving.results, &subject, (ask, SystemClock.now())).await?)
}

/// The experiments of `config`.
pub(super) fn definition(config: &Config) -> anyhow::Result<Definition> {
    match config.serving.experiments.as_os_str().is_empty() {
        true => Ok(config.serving.assignment.clone()),
        false => Ok(parse(&read_texts(&config.serving.experiments)?)?),
    }
}
