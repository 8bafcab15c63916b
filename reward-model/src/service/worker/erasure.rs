//! Forgetting what was erased.

use std::collections::HashSet;

use plaudit_ingest::erasure::ErasureRecord;
use plaudit_ingest::log::{self, Topic};

use super::{Progress, Worker};

/// Records of topic `checkpoints` read at a time.
const READ: usize = 500;

impl Worker {
    /// Forgets what was erased since it was looked at last. The checkpoints that hold rows of it are replaced by one
    /// without.
    pub(super) async fn erase(&self, progress: &mut Progress) -> Result<(), plaudit_ingest::Error> {
        let log = log::shard(&self.log, 0);
        loop {
            let records = log.read(Topic::Checkpoints, progress.erasures, READ).await?;
            let Some(last) = records.last() else { return Ok(()) };
            progress.erasures = last.offset + 1;
            let erasures = records.iter().filter_map(|record| ErasureRecord::decode(&record.value));
            let exposures: HashSet<u64> = erasures.flat_map(|record| record.rows).collect();
            let rows = progress.trainer.erase(&exposures);
            progress.erased.extend(exposures);
            if rows > 0 {
                tracing::info!(rows, "replay rows of erased exposures removed");
                progress.published = None;
                self.publish_if_new(progress);
                self.save_over(progress);
            }
        }
    }

    /// Writes a checkpoint and removes those that it goes back to.
    fn save_over(&self, progress: &mut Progress) {
        if progress.taken > 0 {
            self.write(progress, 0);
        }
    }
}
