//! What was written under the configuration before.

use std::collections::HashMap;

use plaudit_event::{ExposureId, Labels, Remarks, Timestamp};
use serde::Deserialize;

use super::progress::Takeover;
use crate::attribution::Emission;
use crate::fingerprint::Fingerprint;
use crate::log::{EventLog, Stored, Topic, data};
use crate::{Error, metrics};

/// Records read at a time.
const READ: usize = 256;

/// The newest revision of every exposure that another configuration closed and that can still be
/// corrected. Empty, unless the configuration changed a short time ago.
///
/// The joiner, which knows one configuration only, would number revisions from its own close.
#[derive(Default)]
pub(super) struct Earlier {
    /// Exposures below this offset were closed by another configuration.
    closed: u64,
    /// When none of them can be corrected any more.
    until: Timestamp,
    newest: HashMap<Fingerprint, Revision>,
}

struct Revision {
    number: u32,
    labels: Labels,
    remarks: Remarks,
}

impl Earlier {
    /// Reads back what was written since `from`.
    pub(super) async fn read(
        log: &dyn EventLog,
        takeover: Takeover,
        from: Timestamp,
        lookback_ms: i64,
    ) -> Result<Self, Error> {
        let until = takeover.last.at.plus_millis(lookback_ms);
        let mut earlier = Self { closed: takeover.closed, until, newest: HashMap::new() };
        let mut next = log.seek(Topic::Examples, from).await?;
        if next >= takeover.examples {
            return Ok(earlier);
        }
        loop {
            let records = log.read(Topic::Examples, next, READ).await?;
            let Some(last) = records.last() else { return Ok(earlier) };
            next = last.offset + 1;
            for stored in &records {
                earlier.note(stored, takeover.examples);
            }
        }
    }

    /// Of examples from the offset `since` on, only the corrections of those before count.
    fn note(&mut self, stored: &Stored, since: u64) {
        #[derive(Deserialize)]
        struct Head {
            exposure_id: String,
            revision: u32,
            labels: Labels,
            #[serde(default)]
            remarks: Remarks,
        }
        if !stored.origin.has_content() {
            return;
        }
        let Ok(head) = data::<Head>(stored) else {
            tracing::error!(topic = %Topic::Examples, offset = stored.offset, "record cannot be read");
            metrics::unreadable(Topic::Examples, "attribution");
            return;
        };
        let id = Fingerprint::of_id("exposure", &head.exposure_id);
        let revision = Revision { number: head.revision, labels: head.labels, remarks: head.remarks };
        if stored.offset < since {
            self.newest.insert(id, revision);
        } else if revision.number > 0
            && let Some(known) = self.newest.get_mut(&id)
        {
            *known = revision;
        }
    }

    /// `emission`, which is about the exposure `id`, as it goes on from what was written; nothing when
    /// it says the same.
    pub(super) fn continued(&mut self, emission: Emission, id: &ExposureId) -> Option<Emission> {
        if emission.exposure_offset >= self.closed {
            return Some(emission);
        }
        let Some(newest) = self.newest.get_mut(&Fingerprint::of_id("exposure", id.as_str())) else {
            return Some(emission);
        };
        // Remarks are compared as examples have them, but for parts beyond a response, which only the exposure tells.
        if newest.labels == emission.labels && newest.remarks == emission.remarks {
            return None;
        }
        newest.remarks.clone_from(&emission.remarks);
        newest.number += 1;
        let replaced = std::mem::replace(&mut newest.labels, emission.labels.clone());
        Some(Emission { revision: newest.number, replaced, ..emission })
    }

    /// Lets go of everything once the time is `now`, when nothing of it can be corrected.
    pub(super) fn forget(&mut self, now: Timestamp) {
        if now > self.until && !self.newest.is_empty() {
            self.newest = HashMap::new();
        }
    }
}
