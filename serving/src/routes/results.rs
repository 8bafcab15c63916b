//! Results of an experiment by the metrics of the configuration.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use plaudit_event::Timestamp;
use plaudit_experiment::interleave;
use plaudit_experiment::metrics::{Choice, Report};
use serde::Deserialize;

use crate::Error;
use crate::results::Ask;
use crate::state::{AllocationReport, Serving};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultsQuery {
    method: Option<Choice>,
    alpha: Option<f64>,
    /// Milliseconds since 1970, as `until`.
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// The report of what the store holds.
pub(super) async fn show(
    State(serving): State<Arc<Serving>>,
    Path(id): Path<String>,
    query: Result<Query<ResultsQuery>, QueryRejection>,
) -> Result<Json<Report>, Error> {
    let Query(query) = query.map_err(|error| Error::invalid("query", error.body_text()))?;
    let ResultsQuery { method, alpha, since, until } = query;
    Ok(Json(serving.results(&id, &Ask { method, alpha, since, until }).await?))
}

/// What has come of an allocation.
pub(super) async fn allocation(
    State(serving): State<Arc<Serving>>,
    Path(id): Path<String>,
) -> Result<Json<AllocationReport>, Error> {
    Ok(Json(serving.allocation(&id)?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RangeQuery {
    /// Milliseconds since 1970, as `until`.
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// Which ranking the clicks in the store prefer.
pub(super) async fn interleaving(
    State(serving): State<Arc<Serving>>,
    Path(id): Path<String>,
    query: Result<Query<RangeQuery>, QueryRejection>,
) -> Result<Json<interleave::Report>, Error> {
    let Query(RangeQuery { since, until }) = query.map_err(|error| Error::invalid("query", error.body_text()))?;
    Ok(Json(serving.interleaving(&id, &Ask { since, until, ..Ask::default() }).await?))
}
