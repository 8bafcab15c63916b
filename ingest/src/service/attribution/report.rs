//! What attribution tells the metrics.

use plaudit_event::Timestamp;

use super::{Attributed, AttributionService, State};
use crate::log::{EventLog, Part, Topic};
use crate::{Error, metrics};

impl State {
    /// Counts what was done since the last report.
    pub(super) fn report(&mut self, done: Attributed) {
        let stats = self.joiner.stats();
        let before = std::mem::replace(&mut self.reported, stats);
        metrics::examples(done.examples, done.corrections);
        metrics::unused_signals("orphan", stats.orphans - before.orphans);
        metrics::unused_signals("late", stats.late - before.late);
        metrics::unused_signals("limit", stats.over_limit - before.over_limit);
        metrics::unused_signals("window", stats.outside_window - before.outside_window);
        metrics::unused_signals("item", stats.other_item - before.other_item);
    }

    /// Says that everything before `watermark` has been seen, and how much of the log has not.
    pub(super) async fn report_standing(&self, log: &dyn EventLog, watermark: Timestamp) -> Result<(), Error> {
        metrics::watermark(self.shard, watermark);
        metrics::open_exposures(self.shard, self.joiner.stats().open);
        for cursor in [&self.exposures, &self.signals] {
            let tail = log.tail(cursor.topic).await?;
            metrics::attribution_lag(Part { topic: cursor.topic, shard: self.shard }, cursor.lag(tail));
        }
        Ok(())
    }
}

impl Drop for AttributionService {
    /// Whoever works on the shard from now on has its windows and its lag.
    fn drop(&mut self) {
        let shard = self.log.this_shard();
        metrics::open_exposures(shard, 0);
        for topic in [Topic::Exposures, Topic::Signals] {
            metrics::attribution_lag(Part { topic, shard }, 0);
        }
    }
}
