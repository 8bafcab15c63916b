//! The HTTP interface: this file is the route table, one file per group of handlers.
//!
//! Every error is `{"error": {"type", "message", "field"?}}`. Overload and missing policies come with
//! `Retry-After`. Nothing here computes: handlers decode, ask the state, and encode.

mod admin;
mod chat;
mod decide;
mod events;
mod experiments;
mod extract;
mod guard;
mod health;
mod interleave;
mod limits;
mod ofrep;
mod rate;
mod reply;
mod results;
mod score;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post, put};

use crate::config::ApiRole;
use crate::state::Serving;
use guard::Gate;

/// All routes over `serving`.
pub fn router(serving: Arc<Serving>) -> Router {
    let gate = Arc::new(Gate::new(Arc::clone(&serving)));
    let guarded = |routes: Router<Arc<Serving>>, role: ApiRole| {
        let gate = Arc::clone(&gate);
        routes
            .route_layer(middleware::from_fn(move |request, next| guard::guard(Arc::clone(&gate), role, request, next)))
    };
    let write = Router::new()
        .route("/v1/chat/completions", post(chat::handle))
        .route("/v1/decide", post(decide::handle))
        .route("/v1/interleave", post(interleave::handle))
        .route("/ofrep/v1/evaluate/flags", post(ofrep::all))
        .route("/ofrep/v1/evaluate/flags/{key}", post(ofrep::one))
        .route("/v1/score", post(score::handle))
        .route("/v1/score/openrlhf", post(score::openrlhf::handle))
        .route("/v1/signals", post(events::signals))
        .route("/v1/exposures", post(events::exposures));
    let read = Router::new()
        .route("/metrics", get(health::metrics))
        .route("/admin/v1/experiments", get(admin::experiments))
        .route("/admin/v1/experiments/{id}", get(admin::experiment))
        .route("/admin/v1/experiments/{id}/results", get(results::show))
        .route("/admin/v1/experiments/{id}/allocation", get(results::allocation))
        .route("/admin/v1/experiments/{id}/interleaving", get(results::interleaving))
        .route("/admin/v1/definition", get(experiments::show))
        .route("/admin/v1/definition/audit", get(experiments::audit))
        .route("/admin/v1/policies", get(admin::policies))
        .route("/admin/v1/policies/backtest", get(admin::backtest))
        .route("/admin/v1/decisions", get(decide::status))
        .route("/admin/v1/policies/{id}/why", get(admin::why))
        .route("/admin/v1/suspects", get(admin::suspects));
    let admin = Router::new()
        .route("/admin/v1/definition", put(experiments::replace))
        .route("/admin/v1/experiments/{id}/{verb}", post(experiments::verb))
        .route("/admin/v1/policies/rollback", post(admin::rollback))
        .route("/admin/v1/policies/{id}/approve", post(admin::approve))
        .route("/admin/v1/units/{id}", delete(admin::erase));
    Router::new()
        .merge(guarded(write, ApiRole::Write))
        .merge(guarded(read, ApiRole::Read))
        .merge(guarded(admin, ApiRole::Admin))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(reply::no_route)
        .method_not_allowed_fallback(reply::wrong_method)
        .with_state(serving)
}
