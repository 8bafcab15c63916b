//! The clock of a log: never goes back, and does not stand still while the wall clock is behind it.

use std::sync::Arc;

use plaudit_event::{Clock, Timestamp};

/// Most milliseconds that the clock goes on between two looks while the wall clock is behind. A wall
/// clock that moved further was set, and what it was set by did not pass.
const LONGEST_STEP_MS: i64 = 1_000;

/// How far ahead of the wall clock the newest record may be before somebody should look.
const NOTABLE_MS: i64 = 60_000;

/// The wall clock, as long as that is not behind what the log has stamped. When it is, because it was
/// set back, this clock goes on from where it stands at the pace of the wall clock: windows close
/// after the time that passes, not after the wall clock has caught up.
pub(super) struct LogClock {
    wall: Arc<dyn Clock>,
    /// What the wall clock said last.
    seen: Timestamp,
    /// No later append gets a time below this one.
    floor: Timestamp,
}

impl LogClock {
    /// A clock for a log whose newest record has the time `newest`, if there is one.
    pub(super) fn new(wall: Arc<dyn Clock>, newest: Option<Timestamp>) -> Self {
        let seen = wall.now();
        let clock = Self { wall, seen, floor: newest.unwrap_or(Timestamp::from_millis(i64::MIN)) };
        if clock.ahead_ms() > NOTABLE_MS {
            let ahead_seconds = clock.ahead_ms() / 1_000;
            tracing::warn!(ahead_seconds, "the newest record of the event log is ahead of the clock");
        }
        crate::metrics::log_clock_ahead(clock.ahead_ms());
        clock
    }

    /// The present of the log: no later append may get a time below it.
    pub(super) fn now(&mut self) -> Timestamp {
        let wall = self.wall.now();
        let passed = wall.millis_since(self.seen).clamp(0, LONGEST_STEP_MS);
        self.seen = wall;
        self.floor = wall.max(self.floor.plus_millis(if wall < self.floor { passed } else { 0 }));
        self.floor
    }

    /// How far this clock is ahead of the wall clock.
    pub(super) fn ahead_ms(&self) -> i64 {
        self.floor.millis_since(self.seen).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::SetClock;
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn it_follows_the_wall_clock_and_goes_on_when_that_is_set_back() {
        let wall = Arc::new(SetClock::new(at(500_000)));
        let mut clock = LogClock::new(wall.clone(), None);
        assert_eq!((clock.now(), clock.ahead_ms()), (at(500_000), 0));
        wall.set(at(200_000));
        assert_eq!((clock.now(), clock.ahead_ms()), (at(500_000), 300_000));
        wall.set(at(200_070));
        assert_eq!(clock.now(), at(500_070));
        wall.set(at(400_000));
        assert_eq!(clock.now(), at(501_070), "what it is set by does not pass");
        wall.set(at(600_000));
        assert_eq!((clock.now(), clock.ahead_ms()), (at(600_000), 0), "caught up");
    }

    #[test]
    fn after_a_restart_it_goes_on_from_the_newest_record() {
        let wall = Arc::new(SetClock::new(at(1_000)));
        let mut clock = LogClock::new(wall.clone(), Some(at(900_000)));
        assert_eq!((clock.now(), clock.ahead_ms()), (at(900_000), 899_000));
        wall.set(at(1_050));
        assert_eq!(clock.now(), at(900_050));
    }
}
