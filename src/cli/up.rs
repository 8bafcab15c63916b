//! `plaudit up`.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use toml::Value;

use super::{Up, print};
use crate::app::App;
use crate::clock::SystemClock;
use crate::telemetry;

/// Serves until the process is asked to stop.
pub(crate) async fn run(arguments: &Up) -> anyhow::Result<()> {
    let mut flags = Vec::new();
    if let Some(listen) = arguments.listen {
        flags.push(("serving.listen".to_owned(), Value::String(listen.to_string())));
    }
    let config = arguments.files.load(flags)?.salted(std::env::vars_os())?;
    let metrics = telemetry::init_metrics()?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to wait for signals")?;
    let app = Box::pin(App::start(&config, Arc::new(SystemClock), metrics)).await?;
    match &app.url {
        Some(url) => print(&format!("listening on {url}\n"))?,
        None => print("running without the role serve\n")?,
    }
    let failure = tokio::select! {
        _ = tokio::signal::ctrl_c() => None,
        _ = terminate.recv() => None,
        failure = app.failure() => Some(failure),
    };
    let stopped = app.stop().await;
    match failure {
        Some(failure) => Err(failure),
        None => stopped,
    }
}
