//! Reading topics in the order of the log.

use std::collections::VecDeque;

use plaudit_event::Timestamp;

use super::{EventLog, Stored, Topic};
use crate::Error;

/// A reading position in a topic.
pub(crate) struct Cursor {
    pub(crate) topic: Topic,
    next: u64,
    /// Records read at a time.
    page: usize,
    buffer: VecDeque<Stored>,
    /// No record is taken to be older than one before it.
    newest: Timestamp,
}

impl Cursor {
    pub(crate) const fn new(topic: Topic, next: u64, page: usize) -> Self {
        Self { topic, next, page, buffer: VecDeque::new(), newest: Timestamp::from_millis(i64::MIN) }
    }

    /// The time of the next record with content, if there is one.
    pub(crate) async fn peek(&mut self, log: &dyn EventLog) -> Result<Option<Timestamp>, Error> {
        loop {
            if self.buffer.is_empty() {
                self.buffer = log.read(self.topic, self.next, self.page).await?.into();
            }
            let Some(front) = self.buffer.front_mut() else { return Ok(None) };
            self.newest = self.newest.max(front.appended);
            front.appended = self.newest;
            if front.origin.has_content() {
                return Ok(Some(self.newest));
            }
            self.pop();
        }
    }

    /// How many offsets before `tail` have not been popped.
    pub(crate) const fn lag(&self, tail: u64) -> u64 {
        tail.saturating_sub(self.next)
    }

    /// The offset of the record that was peeked at.
    pub(crate) fn next_offset(&self) -> Option<u64> {
        self.buffer.front().map(|stored| stored.offset)
    }

    /// The record that was peeked at.
    pub(crate) fn pop(&mut self) -> Option<Stored> {
        let stored = self.buffer.pop_front()?;
        self.next = stored.offset + 1;
        Some(stored)
    }
}

/// Which topic goes on, given the times of the next exposure and of the next signal: of equal times
/// the exposure. Nothing when both have ended.
pub(crate) fn is_exposure_next(exposure: Option<Timestamp>, signal: Option<Timestamp>) -> Option<bool> {
    match (exposure, signal) {
        (None, None) => None,
        (Some(exposure), Some(signal)) => Some(exposure <= signal),
        (exposure, _) => Some(exposure.is_some()),
    }
}
