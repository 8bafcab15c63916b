//! Logs on standard error and the Prometheus recorder with its bucket table.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Seconds; every histogram whose name ends in `_seconds`.
const SECONDS: &[f64] = &[0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

/// Starts logging. `filter` is a `tracing` filter such as `info` or `plaudit=debug`.
pub(crate) fn init_logs(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call in one process keeps the first subscriber.
    let _ = subscriber.try_init();
}

/// Installs the process-wide metrics recorder.
///
/// # Errors
/// Fails when a recorder is installed already.
pub(crate) fn init_metrics() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?;
    Ok(builder.install_recorder()?)
}
