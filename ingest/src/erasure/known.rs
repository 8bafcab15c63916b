//! What readers of the log pass over.

use std::collections::HashSet;
use std::sync::Arc;

use super::ErasureRecord;
use crate::Error;
use crate::fingerprint::Fingerprint;
use crate::log::{self, EventLog, Topic};

/// Records read at a time.
const READ: usize = 500;

/// The exposures that were erased, as far as topic `checkpoints` was read.
#[derive(Debug, Default)]
pub struct Erasures {
    next: u64,
    exposures: HashSet<Fingerprint>,
}

impl Erasures {
    /// Reads what is new in `log`; whether that was any erasure.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn follow(&mut self, log: &Arc<dyn EventLog>) -> Result<bool, Error> {
        let first = log::shard(log, 0);
        let known = self.exposures.len();
        loop {
            let page = first.read(Topic::Checkpoints, self.next, READ).await?;
            let Some(last) = page.last() else { return Ok(self.exposures.len() > known) };
            self.next = last.offset + 1;
            for record in page.iter().filter_map(|stored| ErasureRecord::decode(&stored.value)) {
                self.add(record.exposures.iter().filter_map(|print| Fingerprint::from_hex(print)));
            }
        }
    }

    pub(crate) fn add(&mut self, exposures: impl IntoIterator<Item = Fingerprint>) {
        self.exposures.extend(exposures);
    }

    /// Whether the exposure `id` was erased.
    #[must_use]
    pub fn contain(&self, id: &str) -> bool {
        !self.exposures.is_empty() && self.exposures.contains(&Fingerprint::of_id("exposure", id))
    }
}
