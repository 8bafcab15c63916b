//! Keeps a share of exposures, and the signals of those.

use plaudit_event::{Event, Exposure, Signal, Surface};
use serde_json::Value;

use crate::config::Sampling;
use crate::fingerprint::Fingerprint;

/// The attribute of a kept exposure that says for how many exposures it stands, when that is not 1.
pub const SAMPLING_WEIGHT_ATTRIBUTE: &str = "sampling_weight";

const SURFACES: [Surface; 3] = [Surface::Chat, Surface::Search, Surface::Decide];

/// Decides by the id of the exposure, so that every event about one exposure meets the same fate, and a
/// smaller share keeps a part of what a larger one keeps.
pub(crate) struct Sampler {
    shares: Sampling,
}

impl Sampler {
    pub(crate) fn new(config: &Sampling) -> Self {
        Self { shares: config.clone() }
    }

    /// Whether `event` is kept; a kept exposure gets its weight.
    pub(crate) fn keeps(&self, event: &mut Event) -> bool {
        match event {
            Event::Exposure(exposure) => self.keeps_exposure(exposure),
            Event::Signal(signal) => self.keeps_signal(signal),
            Event::Example(_) => true,
        }
    }

    fn keeps_exposure(&self, exposure: &mut Exposure) -> bool {
        let share = self.shares.share(exposure.surface);
        if share >= 1.0 {
            return true;
        }
        if place(exposure.exposure_id.as_str()) >= share {
            return false;
        }
        // What was sampled before, by a larger or smaller share, has survived the smaller of both.
        let before = exposure.attributes.get(SAMPLING_WEIGHT_ATTRIBUTE).and_then(Value::as_f64).unwrap_or(1.0);
        let weight = before.max(1.0 / share);
        exposure.attributes.insert(SAMPLING_WEIGHT_ATTRIBUTE.to_owned(), Value::from(weight));
        true
    }

    /// A signal does not say where its exposure was shown, unless it has a field `surface`; without one it
    /// goes only when its exposure has gone from every surface.
    fn keeps_signal(&self, signal: &Signal) -> bool {
        let surface = signal.unknown.get("surface").and_then(|surface| serde_json::from_value(surface.clone()).ok());
        let share = match surface {
            Some(surface) => self.shares.share(surface),
            None => SURFACES.iter().map(|&surface| self.shares.share(surface)).fold(0.0, f64::max),
        };
        share >= 1.0 || place(signal.exposure_id.as_str()) < share
    }
}

/// Where an exposure stands in \[0, 1): evenly spread, by a hash of its id.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn place(exposure_id: &str) -> f64 {
    let head = Fingerprint::of_id("sample", exposure_id).head();
    (head >> 11) as f64 / (1_u64 << 53) as f64
}
