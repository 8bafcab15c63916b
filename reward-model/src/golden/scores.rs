//! What a model says of held-out rows.

use std::sync::Arc;

use plaudit_event::Objective;

use super::GoldenRow;
use crate::{Error, RewardModel, Row, quality};

/// The probability that `model` gives to each row; NaN where it has none.
pub(crate) fn probabilities(
    model: &dyn RewardModel,
    rows: &[Arc<GoldenRow>],
    objective: &Objective,
) -> Result<Vec<f64>, Error> {
    let asked: Vec<Row<'_>> = rows.iter().map(|row| Row { context: &row.context, response: &row.response }).collect();
    let scores = model.score(&asked)?;
    Ok(scores.iter().map(|scores| scores.prob(&objective.0).unwrap_or(f64::NAN)).collect())
}

/// Area under the ROC curve of `probabilities` for `rows`.
pub(crate) fn slice_area(probabilities: &[f64], rows: &[Arc<GoldenRow>]) -> Option<f64> {
    let labels: Vec<f64> = rows.iter().map(|row| f64::from(row.label)).collect();
    quality::auroc(probabilities, &labels)
}
