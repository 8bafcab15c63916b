//! What is remembered of predictions, as columns.

use std::collections::{BTreeMap, VecDeque};

use plaudit_event::{ExposureId, Objective};

use super::tensors::{Reader, Writer};
use crate::drift::Monitors;
use crate::prequential::Window;
use crate::{Error, Prediction, Statistic};

pub(super) fn write_window(to: &mut Writer, objective: &Objective, window: &Window) -> Result<(), Error> {
    to.f64s(&format!("{objective}.p"), window.places().map(|p| p.p))?;
    to.f32s(&format!("{objective}.label"), window.places().map(|p| p.label))?;
    to.u32s(&format!("{objective}.words"), window.places().map(|p| p.words))?;
    to.u32s(&format!("{objective}.segment"), window.places().map(|p| u32::from(p.segment)))
}

pub(super) fn read_window(from: &Reader, objective: &Objective, ids: &[ExposureId]) -> Result<Window, Error> {
    let probabilities = from.f64s(&format!("{objective}.p"))?;
    let labels = from.f32s(&format!("{objective}.label"))?;
    let words = from.u32s(&format!("{objective}.words"))?;
    let segments = from.segments(&format!("{objective}.segment"))?;
    let columns = probabilities.into_iter().zip(labels).zip(words.into_iter().zip(segments));
    let predictions: VecDeque<Prediction> = columns
        .zip(ids)
        .map(|(((p, label), (words, segment)), id)| Prediction { exposure_id: id.clone(), p, label, words, segment })
        .collect();
    Ok(Window::of(predictions))
}

pub(super) fn write_drift(to: &mut Writer, objective: &Objective, drift: &Monitors) -> Result<(), Error> {
    for (statistic, counts, sums) in drift.to_columns() {
        let name = format!("{objective}.drift.{}", statistic.as_str());
        to.u64s(&format!("{name}.counts"), counts.into_iter())?;
        to.f64s(&format!("{name}.sums"), sums.into_iter())?;
    }
    Ok(())
}

/// New detectors where the checkpoint is of before there were any; nothing where it is damaged.
pub(super) fn read_drift(from: &Reader, objective: &Objective) -> Result<Option<Monitors>, Error> {
    let mut columns = BTreeMap::new();
    for statistic in Statistic::ALL {
        let name = format!("{objective}.drift.{}", statistic.as_str());
        columns.insert(statistic, (from.u64s(&format!("{name}.counts"))?, from.f64s(&format!("{name}.sums"))?));
    }
    if columns.values().all(|(counts, sums)| counts.is_empty() && sums.is_empty()) {
        return Ok(Some(Monitors::default()));
    }
    Ok(Monitors::of_columns(|statistic| columns.remove(&statistic)))
}
