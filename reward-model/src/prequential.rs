//! Test, then train: the newest predictions, each made before its example was trained on.

use std::collections::VecDeque;

use plaudit_event::ExposureId;
use serde::Serialize;

use crate::Quality;

/// One prediction and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The exposure.
    pub exposure_id: ExposureId,
    /// The calibrated probability, from before the example was trained on.
    pub p: f64,
    /// The label when the attribution window closed.
    pub label: f32,
    /// Length of the response.
    pub words: u32,
}

/// The newest predictions of one objective, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    pub(crate) predictions: VecDeque<Prediction>,
}

impl Window {
    pub(crate) fn push(&mut self, prediction: Prediction, capacity: usize) {
        while self.predictions.len() >= capacity {
            self.predictions.pop_front();
        }
        self.predictions.push_back(prediction);
    }

    pub(crate) fn quality(&self) -> Option<Quality> {
        let column = |read: fn(&Prediction) -> f64| -> Vec<f64> { self.predictions.iter().map(read).collect() };
        Quality::measure(
            &column(|prediction| prediction.p),
            &column(|prediction| f64::from(prediction.label)),
            &column(|prediction| f64::from(prediction.words)),
        )
    }
}
