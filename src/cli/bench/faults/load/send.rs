//! One request.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::ledger::What;

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Why there is no answer.
pub(super) enum Failure {
    /// Nobody is there, or asks to try again.
    Unavailable,
    /// What a correct request should not get.
    Refused(String),
}

/// Sends a batch; the answer, if it was one.
pub(super) async fn send(http: &reqwest::Client, url: &str, what: What, events: &[Value]) -> Result<Value, Failure> {
    let (path, key, _) = what.names();
    post(http, &format!("{url}{path}"), &json!({key: events})).await
}

/// Asks; the answer, if it was one.
pub(super) async fn post(http: &reqwest::Client, url: &str, body: &Value) -> Result<Value, Failure> {
    let answer = http.post(url).timeout(TIMEOUT).json(body).send().await.map_err(|_| Failure::Unavailable)?;
    let status = answer.status();
    let has_retry_after = answer.headers().contains_key("retry-after");
    let body: Value = answer.json().await.map_err(|_| Failure::Unavailable)?;
    match status.as_u16() {
        200 => Ok(body),
        429 | 503 if has_retry_after => Err(Failure::Unavailable),
        code => Err(Failure::Refused(format!("{code} {body}"))),
    }
}
