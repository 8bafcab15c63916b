//! Whether the process lives, whether it can answer, and its metrics.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::state::Serving;

pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

pub(super) async fn ready(State(serving): State<Arc<Serving>>) -> Response {
    let rollout = serving.rollout();
    let champion = rollout.champion();
    let (status, text) = if serving.is_ready() {
        (StatusCode::OK, "ready")
    } else if serving.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no policy serves yet")
    };
    (status, Json(json!({"status": text, "champion": champion}))).into_response()
}

pub(super) async fn metrics(State(serving): State<Arc<Serving>>) -> Response {
    let text = serving.parts().metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
