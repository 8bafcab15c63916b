//! Errors as HTTP answers.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::Error;

/// The body of an error.
pub(super) fn error_body(error: &Error) -> Value {
    let mut inner = json!({"type": error.code(), "message": message(error)});
    if let Some(field) = error.field() {
        inner["field"] = Value::from(field);
    }
    json!({"error": inner})
}

/// What the caller may read. Causes inside the server are for its log only.
fn message(error: &Error) -> String {
    if error.status() == 500 {
        return "an internal error; see the log of the server".to_owned();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn log(error: &Error) {
    if error.status() == 500 {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(error = %error, cause, "request failed");
    } else {
        tracing::debug!(error = %error, "request refused");
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        log(&self);
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(error_body(&self))).into_response();
        if let Some(wait) = self.retry_after() {
            let seconds = HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Every path that exists, for who asked for another.
const ROUTES: [&str; 20] = [
    "POST /v1/chat/completions",
    "POST /v1/decide",
    "POST /v1/interleave",
    "POST /v1/score",
    "POST /v1/score/openrlhf",
    "POST /v1/signals",
    "POST /v1/exposures",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /admin/v1/experiments",
    "GET /admin/v1/experiments/{id}",
    "GET /admin/v1/experiments/{id}/results",
    "GET /admin/v1/experiments/{id}/allocation",
    "GET /admin/v1/experiments/{id}/interleaving",
    "GET /admin/v1/policies",
    "GET /admin/v1/policies/backtest",
    "GET /admin/v1/policies/{id}/why",
    "POST /admin/v1/policies/{id}/approve",
    "POST /admin/v1/policies/rollback",
];

pub(super) async fn no_route(request: Request) -> Error {
    let known = ROUTES.iter().map(ToString::to_string).collect();
    Error::NotFound { what: "route", name: request.uri().path().to_owned(), known }
}

pub(super) async fn wrong_method(request: Request) -> Response {
    let name = format!("{} {}", request.method(), request.uri().path());
    let known = ROUTES.iter().map(ToString::to_string).collect();
    let error = Error::NotFound { what: "route", name, known };
    (StatusCode::METHOD_NOT_ALLOWED, Json(error_body(&error))).into_response()
}
