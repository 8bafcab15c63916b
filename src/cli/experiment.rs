//! `plaudit experiment`: experiments of a running server, and what they need.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use plaudit_experiment::stats::{anytime_units_per_arm, minimum_detectable_lift, units_per_arm};
use plaudit_serving::experiment::{Definition, parse, read_texts, validate};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::Ask;
use super::{Remote, print};

const DEFINITION: &str = "/admin/v1/definition";

/// Verbs of `experiment`.
#[derive(Debug, Subcommand)]
pub(crate) enum Experiment {
    /// Print the definition in force, or one experiment of it.
    Show {
        /// The experiment; all when left out.
        id: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// What an experiment has found by the metrics of the configuration, from stored events; without a name, what the
    /// running server counts now, of every experiment.
    Results(Box<super::results::Arguments>),
    /// How an experiment whose weights follow what was seen has split its cohorts, and why.
    Allocation {
        /// The experiment.
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Which ranking users prefer in an interleaving, from stored exposures and clicks.
    Interleaving(Box<super::interleaving::Arguments>),
    /// Check a file or directory of experiments, and say what applying it would change.
    Plan {
        /// A `.toml` file, or a directory of them.
        path: PathBuf,
        /// Only check the file; ask no server.
        #[arg(long)]
        offline: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Put a file or directory of experiments in force, as a whole.
    Apply {
        /// A `.toml` file, or a directory of them.
        path: PathBuf,
        #[command(flatten)]
        edit: Edit,
    },
    /// Let an experiment enrol units, or more of them.
    Start {
        /// The experiment.
        id: String,
        /// Fraction of the layer enrolled from now on; may only grow.
        #[arg(long)]
        share: Option<f64>,
        #[command(flatten)]
        edit: Edit,
    },
    /// Let an experiment enrol nobody until it is started again.
    Pause {
        /// The experiment.
        id: String,
        #[command(flatten)]
        edit: Edit,
    },
    /// End an experiment for good.
    Stop {
        /// The experiment.
        id: String,
        #[command(flatten)]
        edit: Edit,
    },
    /// Who changed the experiments, when and why.
    Audit(Remote),
    /// How many units a comparison of two rates needs, or what it can find.
    Power(Power),
}

/// How to make an edit.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Kept in the audit trail.
    #[arg(long)]
    reason: String,
    /// Who asks, where the API key has no name.
    #[arg(long)]
    who: Option<String>,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `experiment power`.
#[derive(Debug, Args)]
pub(crate) struct Power {
    /// Rate of control, above 0 and below 1.
    #[arg(long)]
    base: f64,
    /// Relative lift to be found, such as 0.1; left out, the smallest that `--units` can find is told.
    #[arg(long, required_unless_present = "units")]
    lift: Option<f64>,
    /// Units per variant.
    #[arg(long)]
    units: Option<f64>,
    /// Error rate.
    #[arg(long, default_value_t = 0.05)]
    alpha: f64,
    /// Probability to find the lift.
    #[arg(long, default_value_t = 0.8)]
    power: f64,
    /// Units per variant and day, to tell the days.
    #[arg(long)]
    per_day: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs a verb.
pub(crate) async fn run(verb: &Experiment) -> anyhow::Result<()> {
    match verb {
        Experiment::Show { id, remote } => show(id.as_deref(), remote).await,
        Experiment::Results(arguments) => super::results::run(arguments).await,
        Experiment::Allocation { id, remote } => super::allocation::run(id, remote).await,
        Experiment::Interleaving(arguments) => super::interleaving::run(arguments).await,
        Experiment::Plan { path, offline, remote } => plan(path, *offline, remote).await,
        Experiment::Apply { path, edit } => {
            let definition = read(path)?;
            let body = json!({"definition": definition});
            send(edit, Method::PUT, DEFINITION, body, Some(in_force(&edit.remote).await?.0)).await
        }
        Experiment::Start { id, share, edit } => {
            let body = share.map_or(json!({}), |share| json!({"share": share}));
            send(edit, Method::POST, &verb_path(id, "start"), body, None).await
        }
        Experiment::Pause { id, edit } => send(edit, Method::POST, &verb_path(id, "pause"), json!({}), None).await,
        Experiment::Stop { id, edit } => send(edit, Method::POST, &verb_path(id, "stop"), json!({}), None).await,
        Experiment::Audit(remote) => audit(remote).await,
        Experiment::Power(arguments) => power(arguments),
    }
}

fn verb_path(id: &str, verb: &str) -> String {
    format!("/admin/v1/experiments/{id}/{verb}")
}

/// The definition at `path`, without faults.
fn read(path: &Path) -> anyhow::Result<Definition> {
    let definition = parse(&read_texts(path)?)?;
    let problems = validate("", &definition);
    let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    anyhow::ensure!(lines.is_empty(), "{} cannot be used:\n{}", path.display(), lines.join("\n"));
    Ok(definition)
}

/// Hash and definition that the server has in force.
async fn in_force(remote: &Remote) -> anyhow::Result<(String, Value)> {
    let mut answer = Ask::get(DEFINITION).send(remote).await?;
    let hash = answer["hash"].as_str().context("the server told no hash of its experiments")?.to_owned();
    Ok((hash, answer["definition"].take()))
}

async fn show(id: Option<&str>, remote: &Remote) -> anyhow::Result<()> {
    let (hash, definition) = in_force(remote).await?;
    let shown = match id {
        None => json!({"hash": hash, "definition": definition}),
        Some(id) => {
            let lists = ["experiments", "interleavings"].map(|list| definition[list].as_array());
            let experiments: Vec<&Value> = lists.into_iter().flatten().flatten().collect();
            let known: Vec<&str> = experiments.iter().filter_map(|experiment| experiment["id"].as_str()).collect();
            let found = experiments.into_iter().find(|experiment| experiment["id"] == id);
            found.with_context(|| format!("unknown experiment `{id}`; there is {}", known.join(", ")))?.clone()
        }
    };
    if remote.json {
        return print(&(serde_json::to_string_pretty(&shown)? + "\n"));
    }
    let shown = if id.is_some() { json!({"experiments": [shown]}) } else { definition };
    let text = toml::to_string_pretty(&without_nulls(shown))?;
    print(&format!("# hash {hash}\n{text}"))
}

/// TOML has no null.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        scalar => scalar,
    }
}

async fn plan(path: &Path, offline: bool, remote: &Remote) -> anyhow::Result<()> {
    let definition = read(path)?;
    if offline {
        let (experiments, layers) = (definition.experiments.len(), definition.layers.len());
        let mut text = format!("{}: {experiments} experiments in {layers} layers", path.display());
        if !definition.interleavings.is_empty() {
            text += &format!(", {} interleavings", definition.interleavings.len());
        }
        return print(&(text + ", no faults\n"));
    }
    let (hash, _) = in_force(remote).await?;
    let body = json!({"definition": definition, "reason": "plan"});
    let ask = Ask {
        method: Method::PUT,
        path: &format!("{DEFINITION}?dry_run=true"),
        body: Some(body),
        expected: Some(hash),
    };
    tell(&ask.send(remote).await?, remote.json)
}

async fn send(
    edit: &Edit,
    method: Method,
    path: &str,
    mut body: Value,
    expected: Option<String>,
) -> anyhow::Result<()> {
    body["reason"] = json!(edit.reason);
    if let Some(who) = &edit.who {
        body["who"] = json!(who);
    }
    let path = if edit.dry_run { format!("{path}?dry_run=true") } else { path.to_owned() };
    let ask = Ask { method, path: &path, body: Some(body), expected };
    tell(&ask.send(&edit.remote).await?, edit.remote.json)
}

/// Prints what an edit changed or would change.
fn tell(answer: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return print(&(serde_json::to_string_pretty(answer)? + "\n"));
    }
    let lines: Vec<&str> = answer["text"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let verb = if answer["dry_run"] == true { "would be" } else { "is" };
    let hash = answer["hash"].as_str().unwrap_or("?");
    let changed = if lines.is_empty() { "nothing changes".to_owned() } else { lines.join("\n") };
    print(&format!("{changed}\nin force {verb} {hash}\n"))
}

async fn audit(remote: &Remote) -> anyhow::Result<()> {
    let answer = Ask::get("/admin/v1/definition/audit").send(remote).await?;
    if remote.json {
        return print(&(serde_json::to_string_pretty(&answer)? + "\n"));
    }
    let mut text = String::new();
    for entry in answer["audit"].as_array().into_iter().flatten() {
        let of = |key: &str| entry[key].as_str().unwrap_or("?");
        let at = entry["at"].as_i64().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let at = at.map_or("?".to_owned(), |at| at.to_string());
        text += &format!("{at}  {}: {}  ({})\n", of("who"), of("reason"), of("hash"));
        for edit in entry["edits"].as_array().into_iter().flatten() {
            let (path, before, after) = (edit["path"].as_str().unwrap_or("?"), &edit["before"], &edit["after"]);
            text += &format!("    {path}: {before} -> {after}\n");
        }
    }
    print(&text)
}

/// Units per variant of a base rate, a relative lift, an error rate and a power.
type Size = fn(f64, f64, f64, f64) -> f64;

fn power(arguments: &Power) -> anyhow::Result<()> {
    let Power { base, alpha, power, .. } = *arguments;
    let inside = |name: &str, value: f64| {
        anyhow::ensure!(value > 0.0 && value < 1.0, "`--{name}` must be above 0 and below 1, got {value}");
        Ok(())
    };
    inside("base", base)?;
    inside("alpha", alpha)?;
    inside("power", power)?;
    let sizes: [(&str, Size); 2] = [("watched at any time", anytime_units_per_arm), ("looked at once", units_per_arm)];
    let mut answer = json!({"base": base, "alpha": alpha, "power": power});
    let mut text = String::new();
    for (name, size) in sizes {
        let key = name.replace(' ', "_");
        if let Some(lift) = arguments.lift {
            let raised = base * (1.0 + lift);
            anyhow::ensure!(
                lift != 0.0 && raised > 0.0 && raised < 1.0,
                "`--lift` must not be 0 and must leave the rate between 0 and 1, got {lift}"
            );
            let units = size(base, lift, alpha, power).ceil();
            answer[&key]["units_per_variant"] = json!(units);
            text += &format!("{name}: {units:.0} units per variant to find {base} -> {raised:.4}");
            if let Some(per_day) = arguments.per_day {
                anyhow::ensure!(per_day > 0.0, "`--per-day` must be above 0, got {per_day}");
                answer[&key]["days"] = json!(units / per_day);
                text += &format!(", {:.1} days", units / per_day);
            }
            text.push('\n');
        }
        if let Some(units) = arguments.units {
            anyhow::ensure!(units >= 2.0, "`--units` must be at least 2, got {units}");
            let lift = minimum_detectable_lift(units, |lift| size(base, lift, alpha, power));
            answer[&key]["detectable_lift"] = json!(lift);
            let lift = lift.map_or("no lift at all".to_owned(), |lift| format!("a lift of {:.1} %", 100.0 * lift));
            text += &format!("{name}: {units:.0} units per variant find {lift}\n");
        }
    }
    if arguments.json { print(&(serde_json::to_string_pretty(&answer)? + "\n")) } else { print(&text) }
}
