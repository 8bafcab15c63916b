//! Reading a topic up to a time.

use std::collections::VecDeque;

use plaudit_event::Timestamp;

use super::READ;
use crate::Error;
use crate::log::{EventLog, Stored, Topic};

/// A reading position in a topic.
pub(super) struct Cursor {
    pub(super) topic: Topic,
    next: u64,
    buffer: VecDeque<Stored>,
}

impl Cursor {
    pub(super) const fn new(topic: Topic, next: u64) -> Self {
        Self { topic, next, buffer: VecDeque::new() }
    }

    /// The time of the next record, if it was appended before `horizon`.
    pub(super) async fn peek(&mut self, log: &dyn EventLog, horizon: Timestamp) -> Result<Option<Timestamp>, Error> {
        if self.buffer.is_empty() {
            self.buffer = log.read(self.topic, self.next, READ).await?.into();
        }
        let appended = self.buffer.front().map(|stored| stored.appended);
        Ok(appended.filter(|appended| *appended < horizon))
    }

    pub(super) fn pop(&mut self) -> Option<Stored> {
        let stored = self.buffer.pop_front()?;
        self.next = stored.offset + 1;
        Some(stored)
    }
}
