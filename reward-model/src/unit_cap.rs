//! The bound on what one unit can teach per day.

use std::collections::BTreeMap;

use plaudit_event::Timestamp;

/// Most units told apart per day; examples of further ones are not bounded.
const MAX_UNITS: usize = 1_000_000;

const DAY_MILLIS: i64 = 86_400_000;

/// Counts examples per unit and day (UTC).
#[derive(Debug, Clone, Default)]
pub(crate) struct UnitCap {
    pub(crate) day: i64,
    /// By hash of the unit's id.
    pub(crate) counts: BTreeMap<u64, u32>,
}

impl UnitCap {
    /// Counts an example; whether it is within the bound.
    pub(crate) fn admit(&mut self, unit: u64, at: Timestamp, limit: u32) -> bool {
        let day = at.as_millis().div_euclid(DAY_MILLIS);
        if day > self.day {
            self.day = day;
            self.counts.clear();
        }
        if self.counts.len() >= MAX_UNITS && !self.counts.contains_key(&unit) {
            return true;
        }
        let count = self.counts.entry(unit).or_insert(0);
        *count = count.saturating_add(1);
        *count <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_per_unit_and_per_day() {
        let mut cap = UnitCap::default();
        let noon = |day: i64| Timestamp::from_millis(day * DAY_MILLIS + DAY_MILLIS / 2);
        let admitted = (0..5).filter(|_| cap.admit(1, noon(3), 3)).count();
        assert_eq!(admitted, 3);
        assert!(cap.admit(2, noon(3), 3));
        assert!(!cap.admit(1, noon(2), 3), "an earlier day counts with the newest");
        assert!(cap.admit(1, noon(4), 3));
    }
}
