//! What `bench evaluator` says.

use plaudit_policy::gate::{Correlation, Interval};
use serde_json::{Value, json};

use super::world::Holdout;

/// What the paper behind P\[love\] found over ten candidates.
const WANTED_R: f64 = 0.95;
/// The lower end of the interval that is asked for.
const WANTED_LOW: f64 = 0.80;

/// One policy against the reference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison {
    pub(super) name: &'static str,
    /// Difference of mean P\[love\] on the fixed prompts.
    pub(super) offline: Interval,
    /// Difference of the love rate in the experiment.
    pub(super) online: Interval,
}

/// All policies in one world.
pub(super) struct Trial {
    seed: u64,
    holdout: Holdout,
    rows: Vec<Comparison>,
    correlation: Correlation,
}

/// Everything.
pub(super) struct Report {
    pub(super) policies: usize,
    pub(super) trials: Vec<Trial>,
}

impl Trial {
    pub(super) fn new(seed: u64, holdout: Holdout, rows: Vec<Comparison>) -> Self {
        let column = |of: fn(&Comparison) -> f64| rows.iter().map(of).collect::<Vec<f64>>();
        let correlation = Correlation::of(&column(|row| row.offline.value), &column(|row| row.online.value));
        Self { seed, holdout, rows, correlation }
    }

    fn reaches(&self) -> bool {
        let Correlation { r, low, .. } = self.correlation;
        r.is_some_and(|r| r >= WANTED_R) && low.is_some_and(|low| low >= WANTED_LOW)
    }

    fn to_json(&self) -> Value {
        let row = |row: &Comparison| json!({"policy": row.name, "offline": row.offline, "online": row.online});
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({"seed": self.seed, "holdout": self.holdout, "correlation": self.correlation, "policies": rows,
            "reaches_target": self.reaches()})
    }
}

impl Report {
    pub(super) fn to_json(&self) -> Value {
        let trials: Vec<Value> = self.trials.iter().map(Trial::to_json).collect();
        json!({"policies": self.policies, "target": {"r": WANTED_R, "low": WANTED_LOW}, "trials": trials})
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        if let Some(trial) = self.trials.first() {
            text += &format!("differences to the reference in love per 100 answers, seed {}\n", trial.seed);
            text += "  policy           offline, P[love]        online, loved\n";
            for row in &trial.rows {
                text += &format!("  {:<16} {}   {}\n", row.name, interval(row.offline), interval(row.online));
            }
        }
        text += "\nP[love] on the exposures after those learned from\n  seed       n  AUROC  of the truth     ECE  r with length\n";
        for Trial { seed, holdout: Holdout { n, quality, oracle_auroc }, .. } in &self.trials {
            let [auroc, r] = [quality.auroc, quality.length_correlation].map(number);
            text +=
                &format!("  {seed:>4}  {n:>6}  {auroc}         {oracle_auroc:.3}  {:.4}          {r}\n", quality.ece);
        }
        text += "\n  seed   n      r   95 % interval\n";
        for trial in &self.trials {
            let Correlation { n, r, low, high } = trial.correlation;
            let [r, low, high] = [r, low, high].map(number);
            let mark = if trial.reaches() { "" } else { "   below the target" };
            text += &format!("  {:>4}  {n:>2}  {r}   [{low}, {high}]{mark}\n", trial.seed);
        }
        let reached = self.trials.iter().filter(|trial| trial.reaches()).count();
        text + &format!(
            "\nr at least {WANTED_R} with a lower end of at least {WANTED_LOW:.2}: {reached} of {} seeds\n",
            self.trials.len()
        )
    }
}

fn interval(interval: Interval) -> String {
    let [value, lower, upper] = [interval.value, interval.lower, interval.upper].map(|value| 100.0 * value);
    format!("{value:>6.2} [{lower:>5.2}, {upper:>5.2}]")
}

fn number(value: Option<f64>) -> String {
    value.map_or("    –".to_owned(), |value| format!("{value:.3}"))
}
