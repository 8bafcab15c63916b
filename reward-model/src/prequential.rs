//! Test, then train: the newest predictions, each made before its example was trained on.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use plaudit_event::ExposureId;
use serde::Serialize;

use crate::Quality;
use crate::encode::hash_text;
use crate::segments::Segment;

/// One prediction and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The exposure.
    pub exposure_id: ExposureId,
    /// The calibrated probability, from before the example was trained on.
    pub p: f64,
    /// The label of the newest revision: from when the attribution window closed, or from a correction since.
    pub label: f32,
    /// Length of the response.
    pub words: u32,
    /// Number of its segment.
    #[serde(skip)]
    pub(crate) segment: Segment,
}

/// The newest predictions of one objective.
///
/// One whose label was taken back keeps its place, so that the window always covers the same number of predictions,
/// but is neither measured nor shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// Oldest first; a label that was taken back is NaN.
    predictions: VecDeque<Prediction>,
    /// How many left at the front.
    gone: u64,
    /// Number of each prediction, counted from the first, by hash of its exposure. Follows from the rest.
    places: HashMap<u64, u64>,
}

impl Window {
    /// A window that holds `predictions`, oldest first.
    pub(crate) fn of(predictions: VecDeque<Prediction>) -> Self {
        let hashes = predictions.iter().map(|prediction| hash_text(prediction.exposure_id.as_str()));
        let places = hashes.zip(0..).collect();
        Self { predictions, gone: 0, places }
    }

    /// Adds a prediction for the exposure with hash `exposure`; the oldest ones beyond `capacity` leave.
    pub(crate) fn push(&mut self, exposure: u64, prediction: Prediction, capacity: usize) {
        while self.predictions.len() >= capacity
            && let Some(oldest) = self.predictions.pop_front()
        {
            let hash = hash_text(oldest.exposure_id.as_str());
            if self.places.get(&hash) == Some(&self.gone) {
                self.places.remove(&hash);
            }
            self.gone += 1;
        }
        self.places.insert(exposure, self.gone + self.predictions.len() as u64);
        self.predictions.push_back(prediction);
    }

    /// Replaces the label of the exposure with hash `exposure`, if its prediction is still here; `None` takes it back.
    pub(crate) fn relabel(&mut self, exposure: u64, label: Option<f32>) {
        let place = self.places.get(&exposure).and_then(|number| usize::try_from(number - self.gone).ok());
        if let Some(prediction) = place.and_then(|place| self.predictions.get_mut(place)) {
            prediction.label = label.unwrap_or(f32::NAN);
        }
    }

    /// Removes the predictions for the exposures with these hashes.
    pub(crate) fn forget(&mut self, exposures: &HashSet<u64>) {
        if self.places.keys().any(|hash| exposures.contains(hash)) {
            let mut kept = std::mem::take(&mut self.predictions);
            kept.retain(|prediction| !exposures.contains(&hash_text(prediction.exposure_id.as_str())));
            *self = Self::of(kept);
        }
    }

    /// Every prediction in its place, also those whose label was taken back.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Prediction> {
        self.predictions.iter()
    }

    /// The predictions with a label, oldest first.
    pub(crate) fn labelled(&self) -> impl Iterator<Item = &Prediction> + Clone {
        self.predictions.iter().filter(|prediction| !prediction.label.is_nan())
    }

    pub(crate) fn quality(&self) -> Option<Quality> {
        measure(self.labelled())
    }

    /// Quality by segment.
    pub(crate) fn quality_by_segment(&self) -> BTreeMap<Segment, Quality> {
        let mut parts: BTreeMap<Segment, Vec<&Prediction>> = BTreeMap::new();
        for prediction in self.labelled() {
            parts.entry(prediction.segment).or_default().push(prediction);
        }
        let measured = |(segment, part): (Segment, Vec<&Prediction>)| Some((segment, measure(part.into_iter())?));
        parts.into_iter().filter_map(measured).collect()
    }
}

fn measure<'a>(predictions: impl Iterator<Item = &'a Prediction> + Clone) -> Option<Quality> {
    let column = |read: fn(&Prediction) -> f64| -> Vec<f64> { predictions.clone().map(read).collect() };
    Quality::measure(
        &column(|prediction| prediction.p),
        &column(|prediction| f64::from(prediction.label)),
        &column(|prediction| f64::from(prediction.words)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: usize = 5;

    fn prediction(number: u32) -> (u64, Prediction) {
        let exposure_id = ExposureId::new(format!("e{number}")).unwrap();
        let hash = hash_text(exposure_id.as_str());
        (hash, Prediction { exposure_id, p: 0.5, label: 0.0, words: number, segment: 0 })
    }

    fn filled(n: u32) -> Window {
        let mut window = Window::default();
        for number in 0..n {
            let (hash, prediction) = prediction(number);
            window.push(hash, prediction, CAPACITY);
        }
        window
    }

    #[test]
    fn labels_are_replaced_in_the_right_place_also_after_others_left() {
        for mut window in [filled(13), Window::of(filled(13).predictions)] {
            for number in 0..13 {
                window.relabel(prediction(number).0, Some(number as f32));
            }
            let labels: Vec<f32> = window.labelled().map(|prediction| prediction.label).collect();
            assert_eq!(labels, [8.0, 9.0, 10.0, 11.0, 12.0]);
            assert_eq!(window.places.len(), CAPACITY, "as many as there are predictions");
        }
    }

    #[test]
    fn a_label_taken_back_leaves_its_place_and_may_return() {
        let mut window = filled(5);
        window.relabel(prediction(2).0, None);
        assert_eq!((window.labelled().count(), window.places().count()), (4, 5));
        assert_eq!(window.quality().unwrap().n, 4);
        window.relabel(prediction(2).0, Some(1.0));
        assert_eq!(window.quality().unwrap().n, 5);
        for number in 0..5 {
            window.relabel(prediction(number).0, None);
        }
        assert_eq!(window.quality(), None);
    }

    #[test]
    fn an_exposure_predicted_twice_is_found_at_its_newest_place() {
        let mut window = filled(3);
        let (hash, again) = prediction(0);
        window.push(hash, again, CAPACITY);
        for number in 3..6 {
            let (hash, prediction) = prediction(number);
            window.push(hash, prediction, CAPACITY);
        }
        window.relabel(hash, Some(1.0));
        let labels: Vec<f32> = window.labelled().map(|prediction| prediction.label).collect();
        assert_eq!(labels, [0.0, 1.0, 0.0, 0.0, 0.0]);
    }
}
