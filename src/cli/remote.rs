//! `plaudit experiment` and `plaudit policy`: questions to a running server.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Policy, Remote, print};

/// Shows what experiments found.
pub(crate) async fn results(id: Option<&str>, remote: &Remote) -> anyhow::Result<()> {
    let path = id.map_or_else(|| "/admin/v1/experiments".to_owned(), |id| format!("/admin/v1/experiments/{id}"));
    let answer = Ask::get(&path).send(remote).await?;
    if remote.json {
        return print(&(serde_json::to_string_pretty(&answer)? + "\n"));
    }
    if id.is_some() {
        return print(&describe(&answer));
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
        let decision = comparison["verdict"]["decision"].as_str().unwrap_or("?");
        text += &format!("  {name}: love lift {}, verdict {decision}\n", interval(&comparison["lift"]));
    }
    let ratio = &readout["sample_ratio"];
    if let Some(ok) = ratio["ok"].as_bool() {
        let verdict = if ok { "fine" } else { "MISMATCH" };
        text += &format!("  sample ratio: p {}, {verdict}\n", ratio["sequential_p"]);
    }
    text
}

/// Lists policies or rolls back.
pub(crate) async fn policy(verb: &Policy) -> anyhow::Result<()> {
    let (remote, answer) = match verb {
        Policy::Backtest(remote) => return backtest(remote).await,
        Policy::List(remote) => (remote, Ask::get("/admin/v1/policies").send(remote).await?),
        Policy::Rollback { remote, reason, policy } => {
            let mut body = json!({"reason": reason});
            if let Some(policy) = policy {
                body["policy_id"] = json!(policy);
            }
            (remote, Ask::post("/admin/v1/policies/rollback", body).send(remote).await?)
        }
    };
    if remote.json {
        return print(&(serde_json::to_string_pretty(&answer)? + "\n"));
    }
    let mut text = String::new();
    for policy in answer["policies"].as_array().into_iter().flatten() {
        let (id, stage) = (policy["policy_id"].as_str().unwrap_or("?"), policy["stage"].as_str().unwrap_or("?"));
        let reasons: Vec<&str> = policy["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let erasures = policy["erasures"].as_u64().unwrap_or(0);
        let erased =
            if erasures > 0 { format!(" [trained on what {erasures} erasures took out]") } else { String::new() };
        text += &format!("{id}  {stage:<11} {}{erased}\n", reasons.join("; "));
    }
    print(&text)
}

/// Shows the permanent record of candidates.
async fn backtest(remote: &Remote) -> anyhow::Result<()> {
    let answer = Ask::get("/admin/v1/policies/backtest").send(remote).await?;
    if remote.json {
        return print(&(serde_json::to_string_pretty(&answer)? + "\n"));
    }
    let points = |value: &Value| value.as_f64().map_or("–".to_owned(), |value| format!("{:+.2}", 100.0 * value));
    let interval = |value: &Value| {
        format!("{} [{}, {}]", points(&value["value"]), points(&value["lower"]), points(&value["upper"]))
    };
    let mut text = "differences to the champion in love per 100 answers\n".to_owned();
    for candidate in answer["candidates"].as_array().into_iter().flatten() {
        let id = candidate["policy_id"].as_str().unwrap_or("?");
        let gate = if candidate["passed"] == true { "passed" } else { "refused" };
        let (offline, online) = (interval(&candidate["offline"]), &candidate["online"]);
        let online = if online.is_null() { "not tried".to_owned() } else { interval(online) };
        text += &format!("  {id}  {gate:<7}  offline {offline}  online {online}\n");
    }
    let correlation = &answer["correlation"];
    let number = |value: &Value| value.as_f64().map_or("–".to_owned(), |value| format!("{value:.3}"));
    let proven = if answer["proven"] == true { "proven" } else { "not proven yet" };
    let [r, low, high] = ["r", "low", "high"].map(|key| number(&correlation[key]));
    text +=
        &format!("{} candidates with both: r {r} [{low}, {high}], the offline score is {proven}\n", correlation["n"]);
    print(&text)
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

    const fn post(path: &'a str, body: Value) -> Self {
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
