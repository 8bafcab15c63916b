//! What `bench evaluator` says.

use plaudit_policy::gate::{Correlation, Interval};
use serde_json::{Value, json};

use super::holdout::Holdout;

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
        if self.policies > 0 {
            text += &self.differences();
            text.push('\n');
        }
        text += &self.holdouts();
        if self.policies > 0 {
            text.push('\n');
            text += &self.correlations();
        }
        text
    }

    fn differences(&self) -> String {
        let mut text = String::new();
        if let Some(trial) = self.trials.first() {
            text += &format!("differences to the reference in love per 100 answers, seed {}\n", trial.seed);
            text += "  policy           offline, P[love]        online, loved\n";
            for row in &trial.rows {
                text += &format!("  {:<16} {}   {}\n", row.name, interval(row.offline), interval(row.online));
            }
        }
        text
    }

    /// Of the model, and beside it of the truth on the same exposures.
    fn holdouts(&self) -> String {
        let mut text =
            "P[love] on the exposures after those learned from; `truth` is what reactions are drawn from, `luck` \
             the calibration error that it has on average, and at most in 95 %\n  \
             seed       n  AUROC  truth   without     ECE   truth  luck              r with length  truth  without\n"
                .to_owned();
        for Trial { seed, holdout, .. } in &self.trials {
            let Holdout { n, quality, oracle, ece_floor: [mean, high], .. } = holdout;
            let areas = [quality.auroc, oracle.auroc, holdout.debiased_auroc].map(number);
            let [_, paid] = holdout.debiased_correlations;
            let lengths = [quality.length_correlation, oracle.length_correlation, paid].map(number);
            text += &format!(
                "  {seed:>4}  {n:>6}  {}  {}    {}  {:.4}  {:.4}  {mean:.4} to {high:.4}          {}  {}    {}\n",
                areas[0], areas[1], areas[2], quality.ece, oracle.ece, lengths[0], lengths[1], lengths[2]
            );
        }
        text + "`without`: the score that leaves length out, which policies are rewarded with under `length.debias`\n"
    }

    fn correlations(&self) -> String {
        let mut text = "  seed   n      r   95 % interval\n".to_owned();
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
