//! Questions to a running server.

use anyhow::Context as _;
use plaudit_serving::results;
use reqwest::Method;
use serde_json::Value;

use super::{Remote, print};

/// Shows what the server counts of experiments.
pub(super) async fn readouts(remote: &Remote) -> anyhow::Result<()> {
    let answer = Ask::get("/admin/v1/experiments").send(remote).await?;
    if remote.json {
        return print(&(serde_json::to_string_pretty(&answer)? + "\n"));
    }
    let mut text = String::new();
    for readout in ["finished", "experiments"].into_iter().filter_map(|key| answer[key].as_array()).flatten() {
        text += &describe(readout);
    }
    print(if text.is_empty() { "no experiment has run yet\n" } else { &text })
}

fn describe(readout: &Value) -> String {
    let percent = |value: &Value| value.as_f64().map_or("–".to_owned(), |value| format!("{:.2} %", 100.0 * value));
    let interval = |value: &Value| {
        format!("{} [{}, {}]", percent(&value["value"]), percent(&value["lower"]), percent(&value["upper"]))
    };
    let ended = &readout["ended"];
    let state = ended["outcome"].as_str().unwrap_or("running").replace('_', " ");
    let reason = ended["reason"].as_str().map_or_else(String::new, |reason| format!(": {reason}"));
    let mut text = format!("{} ({state}{reason})\n", readout["experiment"].as_str().unwrap_or("?"));
    for variant in readout["variants"].as_array().into_iter().flatten() {
        let name = variant["variant"].as_str().unwrap_or("?");
        let (units, love) = (&variant["units"], interval(&variant["love"]));
        let (help, closings) =
            (interval(&variant["helpfulness"]), interval(&variant["tripwires"]["unsolicited_closing"]));
        text += &format!("  {name:<10} {units:>7} units  love {love}  helpfulness {help}  closings {closings}\n");
    }
    for comparison in readout["comparisons"].as_array().into_iter().flatten() {
        let name = comparison["variant"].as_str().unwrap_or("?");
        let (help, closings) = (interval(&comparison["helpfulness"]), interval(&comparison["closings"]));
        text += &format!(
            "  {name}: love lift {}, helpfulness {help}, closings {closings}\n",
            interval(&comparison["lift"])
        );
    }
    let ratio = &readout["sample_ratio"];
    if let Some(ok) = ratio["ok"].as_bool() {
        let verdict = if ok { "fine" } else { "MISMATCH" };
        text += &format!("  sample ratio: p {}, {verdict}\n", ratio["sequential_p"]);
    }
    text
}

/// A question to the server.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<Value>,
    /// The version that an edit was made on.
    pub(super) expected: Option<String>,
}

impl<'a> Ask<'a> {
    pub(super) const fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, expected: None }
    }

    pub(super) const fn post(path: &'a str, body: Value) -> Self {
        Self { method: Method::POST, path, body: Some(body), expected: None }
    }

    /// The answer, or the reason why there is none.
    pub(super) async fn send(self, remote: &Remote) -> anyhow::Result<Value> {
        let url = format!("{}{}", remote.server.trim_end_matches('/'), self.path);
        let mut request = reqwest::Client::new().request(self.method, &url);
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        if let Some(expected) = &self.expected {
            request = request.header("if-match", format!("\"{expected}\""));
        }
        if let Some(key) = &remote.key {
            request = request.bearer_auth(key);
        }
        let response =
            request.send().await.with_context(|| format!("no answer from {url}; is `plaudit up` running?"))?;
        let status = response.status();
        let answer: Value = response.json().await.with_context(|| format!("{url} did not answer with JSON"))?;
        let message = answer["error"]["message"].as_str().unwrap_or("no reason given");
        anyhow::ensure!(status.is_success(), "{url} answered {status}: {message}");
        Ok(answer)
    }
}

/// The range of `ask`, as parts of a query.
pub(super) fn range(ask: &results::Ask) -> Vec<String> {
    let ends = [("since", ask.since), ("until", ask.until)];
    ends.into_iter().filter_map(|(name, end)| Some(format!("{name}={}", end?.as_millis()))).collect()
}
