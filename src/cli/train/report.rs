//! What a training came to, in figures and plots.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use plaudit_event::{Example, Objective};
use plaudit_reward_model::card::{confusable_table, forgetting_table};
use plaudit_reward_model::plot::{
    LearningPoint, PairPoint, PlotFormat, learning_plot, pairs_plot, reliability_plot, roc_plot,
};
use plaudit_reward_model::{
    ConfusablePair, Estimate, GoldenReport, Quality, Report, RewardModel, Row, Trainer, quality,
};
use serde::Serialize;

/// Learning curves by objective.
pub(super) type Curves = BTreeMap<Objective, Vec<LearningPoint>>;

/// Rows scored at once.
const SCORE_ROWS: usize = 1_024;

/// What a training came to.
#[derive(Debug, Serialize)]
pub(super) struct Trained {
    checkpoint: String,
    train_examples: usize,
    test_examples: usize,
    /// Of the newest predictions, each made before its example was trained on.
    prequential: BTreeMap<Objective, Quality>,
    /// The same by segment.
    segments: BTreeMap<Objective, BTreeMap<String, Quality>>,
    /// On golden slices, with what was forgotten.
    golden: GoldenReport,
    /// Segments that are easily confused.
    confusable: Vec<ConfusablePair>,
    /// On the examples held back.
    test: BTreeMap<Objective, Report>,
}

impl Trained {
    pub(super) fn new(
        checkpoint: String,
        train_examples: usize,
        test_examples: usize,
        trainer: &Trainer,
        test: BTreeMap<Objective, Report>,
    ) -> anyhow::Result<Self> {
        let objectives = trainer.objectives().iter();
        let prequential = objectives.clone().filter_map(|o| Some((o.clone(), trainer.quality(&o.0)?))).collect();
        let segments = objectives.map(|o| (o.clone(), trainer.quality_by_segment(&o.0))).collect();
        let (golden, confusable) = (trainer.golden()?, trainer.confusable());
        Ok(Self { checkpoint, train_examples, test_examples, prequential, segments, golden, confusable, test })
    }

    pub(super) fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    pub(super) fn to_text(&self, out: &Path) -> String {
        let mut text = format!(
            "trained on {} examples in one pass, {} newer ones held back\n",
            self.train_examples, self.test_examples
        );
        for (objective, report) in &self.test {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n{objective}: {} labels, {:.2} % positive", report.n, 100.0 * report.base_rate);
            let mut line = |name: &str, estimate: &Estimate| {
                let Estimate { value, low, high } = estimate;
                let _ = writeln!(text, "  {name:<15} {value:.4} [{low:.4}, {high:.4}]");
            };
            if let Some(auroc) = &report.auroc {
                line("AUROC", auroc);
            }
            line("log-loss", &report.log_loss);
            line("prior log-loss", &report.prior_log_loss);
            line("ECE", &report.ece);
            if let Some(r) = report.length_correlation {
                let _ = writeln!(text, "  r with length   {r:.3}");
            }
        }
        if !self.confusable.is_empty() {
            let _ = writeln!(text, "\nSegments easily confused\n\n{}", confusable_table(&self.confusable).trim_end());
        }
        let _ = writeln!(text, "\nForgetting\n\n{}", forgetting_table(&self.golden).trim_end());
        let _ = writeln!(text, "\n{}: {}, card.md, report.json, plots", out.display(), self.checkpoint);
        text
    }
}

/// Plots by file name: ROC and reliability on `test`, and the learning curves.
pub(super) fn plots(
    trainer: &Trainer,
    test: &[Example],
    curves: &Curves,
    format: PlotFormat,
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut plots = Vec::new();
    for (objective, points) in curves {
        let title = format!("P[{objective}] while learning");
        plots.push((file(objective, "learning", format), learning_plot(format, &title, points)?));
    }
    for (objective, (p, y)) in &predictions(trainer, test)? {
        let title = format!("P[{objective}] on the newest examples");
        let roc = roc_plot(format, &title, &quality::roc(p, y), quality::auroc(p, y))?;
        plots.push((file(objective, "roc", format), roc));
        let bins = quality::reliability(p, y);
        plots.push((file(objective, "reliability", format), reliability_plot(format, &title, &bins)?));
    }
    Ok(plots)
}

/// The learning curve of pairs.
pub(super) fn curve_of_pairs(
    objective: &Objective,
    points: &[PairPoint],
    format: PlotFormat,
) -> anyhow::Result<(String, Vec<u8>)> {
    let title = format!("Which response is preferred: {objective}");
    Ok((file(objective, "pairs", format), pairs_plot(format, &title, points)?))
}

/// The name of a plot; names of objectives are anything, those of files are not.
fn file(objective: &Objective, kind: &str, format: PlotFormat) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("{}.{kind}.{}", objective.0.chars().map(kept).collect::<String>(), format.ending())
}

/// Probabilities and labels by objective.
type Columns = BTreeMap<Objective, (Vec<f64>, Vec<f64>)>;

fn predictions(trainer: &Trainer, test: &[Example]) -> anyhow::Result<Columns> {
    let model = trainer.snapshot();
    let mut columns = Columns::new();
    for part in test.chunks(SCORE_ROWS) {
        let rows: Vec<Row<'_>> = part.iter().map(|e| Row { context: &e.context, response: &e.response }).collect();
        for (example, scores) in part.iter().zip(model.score(&rows)?) {
            for (objective, label) in &example.labels {
                if let Some(p) = scores.prob(&objective.0) {
                    let (probabilities, labels) = columns.entry(objective.clone()).or_default();
                    probabilities.push(p);
                    labels.push(f64::from(label.value));
                }
            }
        }
    }
    Ok(columns)
}
