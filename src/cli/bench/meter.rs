//! What a stage of the path costs: wall-clock and processor time per item.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use serde::Serialize;

/// A stretch of work under way.
pub(super) struct Watch {
    wall: Instant,
    cpu: ProcessTime,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self { wall: Instant::now(), cpu: ProcessTime::now() }
    }
}

/// All stretches of one stage. Stages run one after the other, so that the processor time of the process is theirs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stage {
    pub(super) items: u64,
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

impl Stage {
    /// Ends a stretch in which `items` were handled.
    pub(super) fn add(&mut self, watch: &Watch, items: u64) {
        self.items += items;
        self.wall += watch.wall.elapsed();
        self.cpu += watch.cpu.elapsed();
    }

    pub(super) fn rate(&self) -> Rate {
        let (items, wall) = (self.items as f64, self.wall.as_secs_f64());
        Rate {
            items: self.items,
            wall_seconds: wall,
            per_second: if wall > 0.0 { items / wall } else { 0.0 },
            cpu_us_per_item: if self.items > 0 { self.cpu.as_secs_f64() * 1e6 / items } else { 0.0 },
        }
    }
}

/// A stage in figures.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Rate {
    pub(super) items: u64,
    pub(super) wall_seconds: f64,
    pub(super) per_second: f64,
    pub(super) cpu_us_per_item: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_one_stage_add_up() {
        let mut stage = Stage { items: 3, wall: Duration::from_secs(2), cpu: Duration::from_micros(30) };
        let rate = stage.rate();
        assert_eq!((rate.items, rate.wall_seconds, rate.per_second, rate.cpu_us_per_item), (3, 2.0, 1.5, 10.0));
        stage.add(&Watch::start(), 4);
        assert_eq!(stage.items, 7);
        assert!(stage.wall >= Duration::from_secs(2));
        assert_eq!(Stage::default().rate().per_second, 0.0);
    }
}
