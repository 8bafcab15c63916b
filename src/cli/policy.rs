//! `plaudit policy`: the policies of a running server.

use clap::Subcommand;
use serde_json::{Value, json};

use super::remote::Ask;
use super::{Remote, print};

/// Verbs of `policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// List policies and their stage, and where the delivery under way stands.
    List(Remote),
    /// Say why a policy is where it is: each step, with the numbers that it rests on.
    Why {
        /// The policy.
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Let a candidate go on that waits for a person; with `serving.autopilot = "off"`, any candidate.
    Approve {
        /// The candidate.
        id: String,
        /// Who asks, where the API key has no name.
        #[arg(long)]
        who: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show what was expected of every candidate offline, what experiments found, and how well the two agree.
    Backtest(Remote),
    /// Stop the delivery under way, or return to the policy that served before the last promotion.
    Rollback {
        #[command(flatten)]
        remote: Remote,
        /// Kept in the audit trail.
        #[arg(long)]
        reason: String,
        /// Who asks, where the API key has no name.
        #[arg(long)]
        who: Option<String>,
        /// The policy to take out; refused when another one would leave, because something has changed meanwhile.
        #[arg(long)]
        policy: Option<String>,
    },
}

/// Runs a verb.
pub(crate) async fn run(verb: &Policy) -> anyhow::Result<()> {
    let (remote, answer) = match verb {
        Policy::Backtest(remote) => return backtest(remote).await,
        Policy::Why { id, remote } => return why(id, remote).await,
        Policy::List(remote) => (remote, Ask::get("/admin/v1/policies").send(remote).await?),
        Policy::Approve { id, who, remote } => {
            let body = who.as_ref().map_or(json!({}), |who| json!({"who": who}));
            (remote, Ask::post(&format!("/admin/v1/policies/{id}/approve"), body).send(remote).await?)
        }
        Policy::Rollback { remote, reason, who, policy } => {
            let mut body = json!({"reason": reason});
            for (key, value) in [("policy_id", policy), ("who", who)] {
                if let Some(value) = value {
                    body[key] = json!(value);
                }
            }
            (remote, Ask::post("/admin/v1/policies/rollback", body).send(remote).await?)
        }
    };
    if remote.json {
        return print(&(serde_json::to_string_pretty(&answer)? + "\n"));
    }
    print(&list(&answer))
}

fn list(answer: &Value) -> String {
    let mut text = String::new();
    for policy in answer["policies"].as_array().into_iter().flatten() {
        let (id, stage) = (policy["policy_id"].as_str().unwrap_or("?"), policy["stage"].as_str().unwrap_or("?"));
        let reasons: Vec<&str> = policy["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let erasures = policy["erasures"].as_u64().unwrap_or(0);
        let erased =
            if erasures > 0 { format!(" [trained on what {erasures} erasures took out]") } else { String::new() };
        text += &format!("{id}  {stage:<11} {}{erased}\n", reasons.join("; "));
    }
    let delivery = &answer["delivery"];
    if let (Some(id), Some(state)) = (answer["treatment"]["policy_id"].as_str(), delivery["state"].as_str()) {
        let held = delivery["held"].as_str().map_or_else(String::new, |held| format!(", waits for a person: {held}"));
        let share = delivery["shares"]["treatment"].as_f64().unwrap_or(0.0);
        text += &format!("delivery of {id}: {state}, {} % of the units{held}\n", 100.0 * share);
    }
    text
}

async fn why(id: &str, remote: &Remote) -> anyhow::Result<()> {
    let answer = Ask::get(&format!("/admin/v1/policies/{id}/why")).send(remote).await?;
    if remote.json {
        return print(&(serde_json::to_string_pretty(&answer)? + "\n"));
    }
    let mut text = format!("{id} is {}\n", answer["stage"].as_str().unwrap_or("?"));
    for step in answer["steps"].as_array().into_iter().flatten() {
        text += &told(step);
        if let Some(number) = step["evaluations"].as_u64().filter(|number| *number > 0) {
            text += &format!("    then {number} evaluations without a change\n");
        }
    }
    if answer["now"].is_object() {
        text += "if it were evaluated now:\n";
        text += &told(&answer["now"]);
    }
    print(&text)
}

fn told(step: &Value) -> String {
    let at = step["at"].as_i64().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let at = at.map_or("?".to_owned(), |at| at.to_string());
    let lines: Vec<&str> = step["text"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    format!("{at}  {}\n", lines.join("\n  "))
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
