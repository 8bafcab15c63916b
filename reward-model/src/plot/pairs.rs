//! Accuracy on pairs over the course of training.

use plotters::prelude::*;
use serde::Serialize;

use super::learning::draw_panel;
use super::{FONT, INK, PlotFormat, TITLE_SIZE, draw};
use crate::Error;

/// How well pairs are told after some of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairPoint {
    /// Pairs learned by then, each counted in every pass.
    pub pairs: u64,
    /// On the pairs since the point before, each before it was learned.
    pub accuracy: f64,
    /// On the same, in nats.
    pub log_loss: f64,
    /// On pairs held back.
    pub held_out_accuracy: Option<f64>,
    /// On pairs held back, in nats.
    pub held_out_log_loss: Option<f64>,
}

/// Accuracy and log-loss over the pairs learned, of new pairs in blue and of those held back in orange. Values that are
/// not finite are left out.
///
/// # Errors
/// Fails when a plot cannot be drawn of these numbers.
pub fn pairs_plot(format: PlotFormat, title: &str, points: &[PairPoint]) -> Result<Vec<u8>, Error> {
    draw(format, (720, 560), |area| {
        let area = area.margin(10, 4, 0, 10).titled(title, (FONT, TITLE_SIZE).into_font().color(&INK))?;
        let panels = area.split_evenly((2, 1));
        let last = points.iter().map(|point| point.pairs).max().unwrap_or(0).max(1) as f64;
        let line = |read: fn(&PairPoint) -> Option<f64>| -> Vec<(f64, f64)> {
            let point = |point: &PairPoint| Some((point.pairs as f64, read(point).filter(|y| y.is_finite())?));
            points.iter().filter_map(point).collect()
        };
        let accuracy = [line(|point| Some(point.accuracy)), line(|point| point.held_out_accuracy)];
        let log_loss = [line(|point| Some(point.log_loss)), line(|point| point.held_out_log_loss)];
        draw_panel(&panels[0], "accuracy (orange: held back)", &accuracy, (last, ""))?;
        draw_panel(&panels[1], "log-loss, nats", &log_loss, (last, "pairs"))
    })
}
