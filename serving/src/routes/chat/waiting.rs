//! Answers that somebody waits for.

use super::Turn;
use crate::Error;
use crate::metrics::Stopwatch;

/// An answer that somebody waits for as a whole. Dropped before there is one, it is a failure that its unit met, unless
/// the caller left of its own accord.
pub(super) struct Waiting {
    turn: Option<Box<Turn>>,
    started: Stopwatch,
}

impl Waiting {
    pub(super) fn new(turn: Turn) -> Self {
        Self { turn: Some(Box::new(turn)), started: Stopwatch::start() }
    }

    pub(super) fn take(&mut self) -> Result<Turn, Error> {
        let turn = self.turn.take().ok_or_else(|| Error::Engine("an answer was taken twice".to_owned()))?;
        Ok(*turn)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Who is there until shortly before the deadline is turned away by it, or leaves because of it.
        let elapsed = self.started.elapsed();
        if let Some(turn) = self.turn.take().filter(|turn| 10 * elapsed >= 9 * turn.serving.config().deadline) {
            turn.fail();
        }
    }
}
