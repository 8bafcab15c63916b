//! Records of the log as examples, learned a batch at a time.

use plaudit_event::{Envelope, Event, Example, Timestamp};
use plaudit_ingest::log::Stored;

use super::Progress;
use crate::service::freshness::Moments;
use crate::{Error, StepReport};

/// Examples that are learned in one step, so that a network sees many rows at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) examples: Vec<Example>,
    /// When each was appended.
    pub(super) appended: Vec<Timestamp>,
    /// Offset after the last.
    pub(super) end: u64,
}

/// Learns `batch`, which was read at `read`.
pub(super) fn learn(progress: &mut Progress, batch: Batch, read: Timestamp) -> Result<StepReport, Error> {
    let mut total = StepReport::default();
    if batch.examples.is_empty() {
        return Ok(total);
    }
    let Progress { trainer, timer, .. } = progress;
    trainer.try_step_each(&batch.examples, |number, step| {
        let example = &batch.examples[number];
        if step.trained > 0 && example.revision == 0 {
            timer.note(Moments { closed: example.ts, appended: batch.appended[number], read });
        }
        total += step;
    })?;
    progress.taken = batch.end;
    Ok(total)
}

/// The example of a record; what cannot be read is reported and passed over.
pub(super) fn decode(record: &Stored) -> Option<Example> {
    match Envelope::decode(&record.value) {
        Ok(Envelope { event: Event::Example(example), .. }) => Some(example),
        Ok(_) => {
            tracing::warn!(offset = record.offset, "record is not an example");
            None
        }
        Err(error) => {
            tracing::warn!(offset = record.offset, %error, "example cannot be read");
            None
        }
    }
}
