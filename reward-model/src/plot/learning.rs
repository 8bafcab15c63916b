//! Quality over the course of training.

use std::ops::Range;

use plotters::prelude::*;
use serde::Serialize;

use super::{Area, BLUE_LINE, Drawn, FONT, GRID, INK, LABEL_SIZE, ORANGE_LINE, PALE, PlotFormat, TITLE_SIZE, draw};
use crate::{Error, Quality};

/// Quality after some examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LearningPoint {
    /// Examples taken by then.
    pub examples: u64,
    /// Area under the ROC curve; left out where absent.
    pub auroc: Option<f64>,
    /// In nats.
    pub log_loss: f64,
    /// Log-loss of the best constant, in nats.
    pub prior_log_loss: f64,
    /// Expected calibration error.
    pub ece: f64,
}

impl LearningPoint {
    /// The point of `quality` after `examples`.
    #[must_use]
    pub const fn new(examples: u64, quality: &Quality) -> Self {
        let Quality { auroc, log_loss, prior_log_loss, ece, .. } = *quality;
        Self { examples, auroc, log_loss, prior_log_loss, ece }
    }
}

/// AUROC, log-loss (with that of the base rate, in orange) and ECE, one above the other, over the examples taken.
/// Values that are not finite are left out.
///
/// # Errors
/// Fails when a plot cannot be drawn of these numbers.
pub fn learning_plot(format: PlotFormat, title: &str, points: &[LearningPoint]) -> Result<Vec<u8>, Error> {
    draw(format, (720, 760), |area| {
        let area = area.margin(10, 4, 0, 10).titled(title, (FONT, TITLE_SIZE).into_font().color(&INK))?;
        let panels = area.split_evenly((3, 1));
        let last = points.iter().map(|point| point.examples).max().unwrap_or(0).max(1) as f64;
        let line = |read: fn(&LearningPoint) -> Option<f64>| -> Vec<(f64, f64)> {
            let point = |point: &LearningPoint| Some((point.examples as f64, read(point).filter(|y| y.is_finite())?));
            points.iter().filter_map(point).collect()
        };
        let figures = [
            ("AUROC", vec![line(|point| point.auroc)]),
            (
                "log-loss, nats (orange: base rate)",
                vec![line(|point| Some(point.log_loss)), line(|point| Some(point.prior_log_loss))],
            ),
            ("ECE", vec![line(|point| Some(point.ece))]),
        ];
        for (panel, (name, lines)) in panels.iter().zip(figures) {
            draw_panel(panel, name, &lines, (last, if name == "ECE" { "examples" } else { "" }))?;
        }
        Ok(())
    })
}

/// The first line in blue, the second in orange and thin; the horizontal axis goes to `last` and is described where
/// there are words for it.
pub(super) fn draw_panel(area: &Area<'_>, name: &str, lines: &[Vec<(f64, f64)>], (last, x_name): (f64, &str)) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(if x_name.is_empty() { 24 } else { 44 })
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, range(lines.iter().flatten().map(|point| point.1)))?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(PALE)
        .y_labels(5)
        .x_label_formatter(&|examples| format!("{examples:.0}"))
        .label_style((FONT, LABEL_SIZE).into_font().color(&INK))
        .x_desc(x_name)
        .y_desc(name)
        .draw()?;
    for (line, style) in lines.iter().zip([BLUE_LINE.stroke_width(2), ORANGE_LINE.stroke_width(1)]) {
        chart.draw_series(LineSeries::new(line.iter().copied(), style))?;
    }
    Ok(())
}

/// The range of `values` with a little air; 0 to 1 without any.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
    if low > high {
        return 0.0..1.0;
    }
    let air = (0.08 * (high - low)).max(1e-6 + 1e-6 * high.abs());
    low - air..high + air
}
