//! Drawing prompts from the newest exposures.

use std::collections::HashSet;

use plaudit_event::{Context, Seed};
use rand::Rng;

/// Prompts are drawn from this many times as many distinct newest ones.
const SIZE: usize = 4;
/// Exposures read per prompt asked for, at most.
const SCAN: usize = 64;

/// Distinct contexts, newest first.
pub(super) struct Pool {
    count: usize,
    contexts: Vec<Context>,
    seen: HashSet<String>,
    num_read: usize,
}

impl Pool {
    /// A pool from which `count` contexts can be drawn.
    pub(super) fn new(count: usize) -> Self {
        Self { count, contexts: Vec::new(), seen: HashSet::new(), num_read: 0 }
    }

    pub(super) fn wants_more(&self) -> bool {
        self.contexts.len() < self.count * SIZE && self.num_read < self.count * SCAN
    }

    /// Adds the context of the next exposure, if there is room and it is not known.
    pub(super) fn add(&mut self, context: Context) {
        self.num_read += 1;
        let text = serde_json::to_string(&context).expect("a context has only string keys");
        if self.contexts.len() < self.count * SIZE && self.seen.insert(text) {
            self.contexts.push(context);
        }
    }

    /// Draws by `seed`.
    pub(super) fn draw(mut self, seed: Seed) -> Vec<Context> {
        let mut rng = seed.stream("store prompts");
        let drawn = self.count.min(self.contexts.len());
        for index in 0..drawn {
            let other = rng.random_range(index..self.contexts.len());
            self.contexts.swap(index, other);
        }
        self.contexts.truncate(drawn);
        self.contexts
    }
}
