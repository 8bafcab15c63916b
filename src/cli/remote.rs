//! `plaudit experiment` and `plaudit policy`: questions to a running server.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Policy, Remote, print};

/// Shows the experiments.
pub(crate) async fn experiments(remote: &Remote) -> anyhow::Result<()> {
    let answer = ask(remote, "/admin/v1/experiments", None).await?;
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
        Policy::List(remote) => (remote, ask(remote, "/admin/v1/policies", None).await?),
        Policy::Rollback { remote, reason, policy } => {
            let mut body = json!({"reason": reason});
            if let Some(policy) = policy {
                body["policy_id"] = json!(policy);
            }
            (remote, ask(remote, "/admin/v1/policies/rollback", Some(body)).await?)
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
    let answer = ask(remote, "/admin/v1/policies/backtest", None).await?;
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

async fn ask(remote: &Remote, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    let url = format!("{}{path}", remote.server.trim_end_matches('/'));
    let client = reqwest::Client::new();
    let mut request = match &body {
        Some(body) => client.post(&url).json(body),
        None => client.get(&url),
    };
    if let Some(key) = &remote.key {
        request = request.bearer_auth(key);
    }
    let response = request.send().await.with_context(|| format!("no answer from {url}; is `plaudit up` running?"))?;
    let status = response.status();
    let answer: Value = response.json().await.with_context(|| format!("{url} did not answer with JSON"))?;
    let message = answer["error"]["message"].as_str().unwrap_or("no reason given");
    anyhow::ensure!(status.is_success(), "{url} answered {status}: {message}");
    Ok(answer)
}
