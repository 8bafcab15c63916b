//! Erasing a unit while the server runs.

use std::sync::Arc;

use plaudit_event::UnitId;
use plaudit_ingest::erasure::{self, Report, Request};
use plaudit_ingest::store::EventStore;

use super::Serving;
use crate::Error;

/// What erasing needs beside the log.
pub struct Eraser {
    /// The store that is copied from the log.
    pub store: Arc<dyn EventStore>,
    /// The request to erase a unit, for whom and why: with the checkpoints there are at that moment.
    pub request: RequestOf,
}

/// Makes a request to erase from a unit, who asked, and why; fails when the checkpoints cannot be listed.
pub type RequestOf = Box<dyn Fn(UnitId, &str, &str) -> Result<Request, Error> + Send + Sync>;

impl Serving {
    /// Takes everything about `unit` out of log and store. It goes on when its caller does not wait for the end, and can
    /// be repeated.
    ///
    /// # Errors
    /// Fails when this process has no store, and when log or store cannot be read or written.
    pub async fn erase(self: &Arc<Self>, unit: UnitId, by: String, reason: String) -> Result<Report, Error> {
        let serving = Arc::clone(self);
        let task = tokio::spawn(async move {
            let parts = &serving.parts;
            let Some(eraser) = &parts.eraser else {
                return Err(Error::unavailable("this process has no store to erase from"));
            };
            // One at a time: two would read the log at once for the same.
            let _turn = serving.erasing.lock().await;
            let request = (eraser.request)(unit, &by, &reason)?;
            let report = erasure::erase(&parts.log, &*eraser.store, &request, Some(&parts.intake)).await?;
            serving.journal.look_again().await?;
            tracing::info!(is_clean = report.is_clean(), "unit erased");
            Ok(report)
        });
        task.await.unwrap_or_else(|error| Err(Error::Task { what: "erasing a unit", detail: error.to_string() }))
    }
}
