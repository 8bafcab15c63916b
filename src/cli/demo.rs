//! `plaudit demo`.

use super::{Demo, print};
use crate::config::Config;
use crate::demo::{self, Options};
use crate::telemetry;

/// Runs the demo and prints its report.
pub(crate) async fn run(arguments: Demo) -> anyhow::Result<()> {
    let metrics = telemetry::init_metrics()?;
    let options = Options {
        seed: arguments.seed,
        data: arguments.data,
        judges: !arguments.no_judges,
        scenario: arguments.scenario,
        max_time: arguments.max_time,
        config: Config::load(None, std::env::vars_os(), &[])?,
    };
    let report = Box::pin(demo::run(&options, metrics)).await?;
    if arguments.json {
        return print(&(serde_json::to_string_pretty(&report)? + "\n"));
    }
    print(&report.to_text())
}
