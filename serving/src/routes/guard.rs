//! What every guarded request passes: key, number of requests, deadline, metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Error;
use crate::config::ApiRole;
use crate::metrics::{self, Stopwatch};
use crate::state::Serving;

use super::ofrep;
use super::rate::Rate;

/// Who asks, by the name of the API key; empty where that has none.
#[derive(Debug, Clone, Default)]
pub(super) struct Who(String);

impl Who {
    /// The name of the key, which nobody can forge, or else the one `given`.
    pub(super) fn or(self, given: Option<String>) -> Result<String, Error> {
        let name = if self.0.is_empty() { given.unwrap_or_else(|| "operator".to_owned()) } else { self.0 };
        let length = name.trim().len();
        if length == 0 || length > MAX_NAME_BYTES {
            return Err(Error::invalid("who", format!("must have 1 to {MAX_NAME_BYTES} bytes, got {length}")));
        }
        Ok(name.trim().to_owned())
    }
}

/// Longest name of who asks, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Shared by all guarded routes.
pub(super) struct Gate {
    serving: Arc<Serving>,
    /// Digests of the keys: comparing digests takes the same time for every wrong key.
    keys: Vec<([u8; 32], ApiRole, Who)>,
    requests: Semaphore,
    /// The limit of requests for flags, of each key, or of everybody where there is none; empty without a limit.
    flags: Vec<Rate>,
}

impl Gate {
    pub(super) fn new(serving: Arc<Serving>) -> Self {
        let config = serving.config();
        let keys = config.api_keys.iter().map(|key| (digest(&key.key), key.role, Who(key.name.clone()))).collect();
        let num_limits = config.api_keys.len().max(1);
        let flags = (0..num_limits).filter_map(|_| Rate::new(config.flags_per_second)).collect();
        Self { keys, requests: Semaphore::new(config.max_concurrent), flags, serving }
    }

    /// Place and bearer of the key.
    fn check_key(&self, request: &Request, needed: ApiRole) -> Result<(usize, Who), Error> {
        if self.keys.is_empty() {
            return Ok((0, Who::default()));
        }
        let given = digest(key_of(request).ok_or(Error::Unauthorized)?);
        match self.keys.iter().enumerate().find(|(_, (digest, ..))| *digest == given) {
            None => Err(Error::Unauthorized),
            Some((_, (_, role, _))) if *role < needed => Err(Error::Forbidden { role: needed.as_str() }),
            Some((place, (.., who))) => Ok((place, who.clone())),
        }
    }

    /// A place among the requests handled at once. Operators need none: they must see and stop what overloads
    /// the server.
    fn admit(&self, role: ApiRole) -> Result<Option<SemaphorePermit<'_>>, Error> {
        if role != ApiRole::Write {
            return Ok(None);
        }
        let full = Error::Overloaded { what: "the server", retry_after: Duration::from_secs(1) };
        self.requests.try_acquire().map(Some).map_err(|_| full)
    }

    async fn pass(&self, role: ApiRole, mut request: Request, next: Next) -> Result<Response, Error> {
        let (place, who) = self.check_key(&request, role)?;
        request.extensions_mut().insert(who);
        if self.serving.is_draining() {
            return Err(Error::unavailable("the server is shutting down"));
        }
        if let Some(limit) = self.flags.get(place).filter(|_| is_for_flags(&request)) {
            let full = |wait| Error::Overloaded { what: "the limit of flag requests", retry_after: wait };
            limit.take(self.serving.parts().clock.now()).map_err(full)?;
        }
        let _permit = self.admit(role)?;
        let deadline = self.serving.config().deadline;
        let answered = tokio::time::timeout(deadline, next.run(request)).await;
        answered.map_err(|_| Error::unavailable("no answer within the deadline"))
    }
}

fn is_for_flags(request: &Request) -> bool {
    request.uri().path().starts_with("/ofrep/")
}

/// The bearer of `authorization`, or `x-api-key`.
fn key_of(request: &Request) -> Option<&str> {
    let text = |name: HeaderName| request.headers().get(name)?.to_str().ok();
    let bearer = text(header::AUTHORIZATION).and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key)
    });
    bearer.or_else(|| text(HeaderName::from_static("x-api-key"))).map(str::trim)
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

pub(super) async fn guard(gate: Arc<Gate>, role: ApiRole, request: Request, next: Next) -> Response {
    let stopwatch = Stopwatch::start();
    let route = route_name(request.uri().path());
    let speaks_ofrep = is_for_flags(&request);
    let response = match gate.pass(role, request, next).await {
        Ok(response) => response,
        Err(error) if speaks_ofrep => ofrep::refused(error),
        Err(error) => error.into_response(),
    };
    metrics::answered(route, response.status().as_u16(), stopwatch);
    response
}

/// The label of a route: a short, closed list.
fn route_name(path: &str) -> &'static str {
    match path {
        "/v1/chat/completions" => "chat",
        "/v1/decide" => "decide",
        path if path.starts_with("/v1/score") => "score",
        "/v1/signals" => "signals",
        "/v1/exposures" => "exposures",
        "/metrics" => "metrics",
        path if path.starts_with("/admin/") => "admin",
        path if path.starts_with("/ofrep/") => "ofrep",
        _ => "other",
    }
}
