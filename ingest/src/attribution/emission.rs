//! What the joiner emits.

use plaudit_event::{Example, Exposure, Labels, Remarks, Timestamp};
use serde::{Deserialize, Serialize};

use super::remark::within;

/// Where an emission stands among all emissions: they leave the joiner in strictly rising order.
///
/// Kept beside every example in the log, so that after a crash the last record tells which emissions
/// were written already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Order {
    /// When it came about.
    pub at: Timestamp,
    /// Closes before corrections of the same time.
    pub phase: Phase,
    /// Offset of the cause: the exposure that closed, or the signal that corrected.
    pub cause: u64,
}

/// What caused an emission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A window closed.
    Close,
    /// A late or retracting signal changed a label.
    Correction,
}

/// One example to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// Its place among all emissions.
    pub order: Order,
    /// Offset of the exposure in its topic.
    pub exposure_offset: u64,
    /// 0 at the close; each correction adds 1.
    pub revision: u32,
    /// The labels as they are now.
    pub labels: Labels,
    /// The labels of the revision before; empty at the close.
    pub replaced: Labels,
    /// What was said about parts of the response, and why; parts may lie beyond its end.
    pub remarks: Remarks,
    /// Every exposure below this offset has been closed, or was one that was known already.
    pub closed: u64,
}

impl Emission {
    /// The example: `exposure`, which must be the one at `exposure_offset`, with these labels.
    #[must_use]
    pub fn example(&self, exposure: Exposure) -> Example {
        let chosen = exposure.slate.into_iter().nth(exposure.chosen as usize);
        let (item_id, position, response) =
            chosen.map_or_else(Default::default, |item| (item.item_id, item.position, item.content));
        let length = u32::try_from(response.chars().count()).unwrap_or(u32::MAX);
        Example {
            exposure_id: exposure.exposure_id,
            revision: self.revision,
            unit_id: exposure.unit_id,
            surface: exposure.surface,
            context: exposure.context,
            response,
            item_id,
            position,
            policy_id: exposure.policy_id,
            propensity: exposure.propensity,
            assignments: exposure.assignments,
            attributes: exposure.attributes,
            labels: self.labels.clone(),
            replaced: self.replaced.clone(),
            remarks: within(&self.remarks, length),
            exposure_ts: exposure.ts,
            ts: self.order.at,
        }
    }
}
