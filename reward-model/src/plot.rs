//! Plots as SVG or PNG: what a reader sees at once and a number does not say.

mod canvas;
mod learning;
mod pairs;
mod png;

use std::error::Error as StdError;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Error;
use crate::quality::{Reliability, RocPoint};
pub use canvas::PlotFormat;
use canvas::{Canvas, load_font, pixels};
pub use learning::{LearningPoint, learning_plot};
pub use pairs::{PairPoint, pairs_plot};

/// What is drawn on.
type Area<'a> = DrawingArea<Canvas<'a>, Shift>;
type Drawn = Result<(), Box<dyn StdError + Send + Sync>>;

const BLUE_LINE: RGBColor = RGBColor(31, 99, 176);
const ORANGE_LINE: RGBColor = RGBColor(214, 104, 18);
const INK: RGBColor = RGBColor(51, 51, 51);
const PALE: RGBColor = RGBColor(160, 160, 160);
const GRID: RGBColor = RGBColor(232, 232, 232);
const FONT: &str = "sans-serif";
const TITLE_SIZE: u32 = 20;
const LABEL_SIZE: u32 = 14;

/// The ROC curve `points` (see [`roc`](crate::quality::roc)) with the diagonal of chance, and its area in the caption.
///
/// # Errors
/// Fails when a plot cannot be drawn of these numbers.
pub fn roc_plot(format: PlotFormat, title: &str, points: &[RocPoint], auroc: Option<f64>) -> Result<Vec<u8>, Error> {
    draw(format, (560, 560), |area| {
        let caption = auroc.map_or_else(|| title.to_owned(), |auroc| format!("{title} – AUROC {auroc:.3}"));
        let mut chart = ChartBuilder::on(area)
            .caption(caption, (FONT, TITLE_SIZE).into_font().color(&INK))
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(PALE)
            .label_style((FONT, LABEL_SIZE).into_font().color(&INK))
            .x_desc("false positive rate")
            .y_desc("true positive rate")
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], PALE.stroke_width(1)))?;
        let line = points.iter().map(|point| (point.false_positive_rate, point.true_positive_rate));
        chart.draw_series(LineSeries::new(line, BLUE_LINE.stroke_width(2)))?;
        Ok(())
    })
}

/// The reliability diagram of `bins` (see [`reliability`](crate::quality::reliability)): observed against predicted,
/// with 95 % intervals and the diagonal of perfect calibration; below, how many predictions there are of each.
///
/// # Errors
/// Fails when a plot cannot be drawn of these numbers.
pub fn reliability_plot(format: PlotFormat, title: &str, bins: &[Reliability]) -> Result<Vec<u8>, Error> {
    draw(format, (560, 700), |area| {
        let (upper, lower) = area.split_vertically(520);
        draw_reliability(&upper, title, bins)?;
        draw_counts(&lower, bins)
    })
}

fn draw_reliability(area: &Area<'_>, title: &str, bins: &[Reliability]) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, TITLE_SIZE).into_font().color(&INK))
        .margin(16)
        .margin_bottom(4)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(PALE)
        .label_style((FONT, LABEL_SIZE).into_font().color(&INK))
        .x_desc("predicted probability")
        .y_desc("observed share of positives")
        .draw()?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], PALE.stroke_width(1)))?;
    let interval = |bin: &Reliability| {
        PathElement::new(vec![(bin.mean_p, bin.low), (bin.mean_p, bin.high)], BLUE_LINE.mix(0.5).stroke_width(2))
    };
    chart.draw_series(bins.iter().map(interval))?;
    chart.draw_series(LineSeries::new(bins.iter().map(|bin| (bin.mean_p, bin.mean_y)), BLUE_LINE.stroke_width(2)))?;
    chart.draw_series(bins.iter().map(|bin| Circle::new((bin.mean_p, bin.mean_y), 4, BLUE_LINE.filled())))?;
    Ok(())
}

fn draw_counts(area: &Area<'_>, bins: &[Reliability]) -> Drawn {
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_top(4)
        .x_label_area_size(8)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..1.0, 0.0..1.25 * most)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(PALE)
        .x_labels(0)
        .y_labels(4)
        .y_label_formatter(&|count| format!("{count:.0}"))
        .label_style((FONT, LABEL_SIZE).into_font().color(&INK))
        .y_desc("predictions")
        .draw()?;
    // A bin is a tenth wide; its mean says which one it is.
    let left = |bin: &Reliability| (bin.mean_p * 10.0).floor().clamp(0.0, 9.0) / 10.0;
    let bar = |bin: &Reliability| {
        let from = left(bin);
        Rectangle::new([(from + 0.005, 0.0), (from + 0.095, bin.count as f64)], BLUE_LINE.mix(0.45).filled())
    };
    chart.draw_series(bins.iter().map(bar))?;
    let style = (FONT, 11).into_font().color(&INK);
    let number = |bin: &Reliability| {
        let above = bin.count as f64 + 0.17 * most;
        Text::new(bin.count.to_string(), (left(bin) + 0.02, above), style.clone())
    };
    chart.draw_series(bins.iter().map(number))?;
    Ok(())
}

/// Draws a plot of this size, on white.
fn draw(format: PlotFormat, size: (u32, u32), into: impl FnOnce(&Area<'_>) -> Drawn) -> Result<Vec<u8>, Error> {
    load_font()?;
    let paint = |canvas: Canvas<'_>| -> Drawn {
        let area = canvas.into_drawing_area();
        area.fill(&WHITE)?;
        into(&area)?;
        area.present()?;
        Ok(())
    };
    let failed = |error: Box<dyn StdError + Send + Sync>| Error::Plot(error.to_string());
    match format {
        PlotFormat::Svg => {
            let mut text = String::new();
            paint(Canvas::Text(SVGBackend::with_string(&mut text, size))).map_err(failed)?;
            Ok(text.into_bytes())
        }
        PlotFormat::Png => {
            let (mut rgb, size) = pixels(size);
            paint(Canvas::Pixels(BitMapBackend::with_buffer(&mut rgb, size))).map_err(failed)?;
            png::encode(&rgb, size).map_err(|error| Error::Plot(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::{auroc, reliability, roc};

    #[test]
    fn plots_are_svg_with_labels_and_escaped_titles_or_png() {
        let p: Vec<f64> = (0..400).map(|i| f64::from(i) / 400.0).collect();
        let y: Vec<f64> = (0..400).map(|i| f64::from(u8::from((i * 7919) % 400 < i))).collect();
        let points: Vec<LearningPoint> = (1..40)
            .map(|i| LearningPoint {
                examples: 250 * i,
                auroc: (i > 2).then(|| 0.9 - 0.4 / i as f64),
                log_loss: 0.15 + 0.2 / i as f64,
                prior_log_loss: 0.21,
                ece: 0.01 + 0.05 / i as f64,
            })
            .collect();
        let title = "love <b> & co";
        let pairs: Vec<PairPoint> = points
            .iter()
            .map(|point| PairPoint {
                pairs: point.examples,
                accuracy: point.auroc.unwrap_or(0.5),
                log_loss: point.log_loss,
                held_out_accuracy: point.auroc.map(|area| area - 0.05),
                held_out_log_loss: Some(point.log_loss + 0.03),
            })
            .collect();
        let plots = |format| {
            [
                ("roc", roc_plot(format, title, &roc(&p, &y), auroc(&p, &y)).unwrap(), "false positive rate"),
                (
                    "reliability",
                    reliability_plot(format, title, &reliability(&p, &y)).unwrap(),
                    "predicted probability",
                ),
                ("learning", learning_plot(format, title, &points).unwrap(), "log-loss"),
                ("pairs", pairs_plot(format, title, &pairs).unwrap(), "held back"),
            ]
        };
        for (name, png, _) in plots(PlotFormat::Png) {
            // Colours other than white are in it: text and lines.
            assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000, "{name}: {} bytes", png.len());
            if let Some(dir) = option_env!("PLOT_DIR") {
                std::fs::write(format!("{dir}/{name}.png"), &png).unwrap();
            }
        }
        for (name, svg, label) in plots(PlotFormat::Svg) {
            let svg = String::from_utf8(svg).unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
            assert!(svg.contains(label) && svg.contains("&lt;b&gt; &amp; co") && !svg.contains("NaN"), "{name}");
        }
    }

    #[test]
    fn nothing_to_draw_is_an_empty_plot() {
        for format in [PlotFormat::Svg, PlotFormat::Png] {
            assert!(roc_plot(format, "t", &[], None).is_ok() && reliability_plot(format, "t", &[]).is_ok());
            assert!(learning_plot(format, "t", &[]).is_ok() && pairs_plot(format, "t", &[]).is_ok());
        }
        let broken = LearningPoint { examples: 0, auroc: None, log_loss: f64::NAN, prior_log_loss: 0.1, ece: f64::NAN };
        assert!(learning_plot(PlotFormat::Png, "t", &[broken; 2]).is_ok());
    }
}
