//! What the clients sent and what they were answered.

use std::collections::BTreeMap;

/// The book of all clients of one row.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Events sent, each copy and each attempt counted.
    pub(super) sent: u64,
    /// Of these, events of requests that got no answer, or one that asks to try again.
    pub(super) unanswered: u64,
    /// The others, by outcome.
    pub(super) outcomes: BTreeMap<String, u64>,
    /// Acknowledged exposures: how often each was answered `accepted`.
    pub(super) exposures: BTreeMap<String, u32>,
    /// Acknowledged signals: how often each was answered `accepted`.
    pub(super) signals: BTreeMap<String, u32>,
    /// Whether an exposure must be labelled as loved, for those whose signals were all acknowledged.
    pub(super) loved: BTreeMap<String, bool>,
    /// Events that were never acknowledged, although the clients went on asking.
    pub(super) given_up: u64,
    /// What no client should see.
    pub(super) surprises: Vec<String>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Exposure,
    Signal,
}

impl What {
    /// The path that takes it, the key of the batch, and the key of the id.
    pub(super) const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Exposure => ("/v1/exposures", "exposures", "exposure_id"),
            Self::Signal => ("/v1/signals", "signals", "signal_id"),
        }
    }
}

impl Ledger {
    /// Notes the outcome of one event.
    pub(super) fn note(&mut self, what: What, id: &str, outcome: &str) {
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        let acknowledged = match what {
            What::Exposure => &mut self.exposures,
            What::Signal => &mut self.signals,
        };
        match outcome {
            "accepted" => *acknowledged.entry(id.to_owned()).or_default() += 1,
            "duplicate" => drop(acknowledged.entry(id.to_owned()).or_default()),
            other => self.surprise(format!("{id} was {other}")),
        }
    }

    /// Notes what should not happen; only the first ones are kept.
    pub(super) fn surprise(&mut self, what: String) {
        if self.surprises.len() < 20 {
            self.surprises.push(what);
        }
    }

    /// Adds the book of another client.
    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.unanswered += other.unanswered;
        self.given_up += other.given_up;
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.exposures.extend(other.exposures);
        self.signals.extend(other.signals);
        self.loved.extend(other.loved);
        for surprise in other.surprises {
            self.surprise(surprise);
        }
    }

    /// Answered events: the sum of all outcomes.
    pub(super) fn answered(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// How many events had this outcome.
    pub(super) fn outcome(&self, name: &str) -> u64 {
        self.outcomes.get(name).copied().unwrap_or(0)
    }

    /// Ids that were answered `accepted` more than once.
    pub(super) fn accepted_twice(&self) -> u64 {
        self.exposures.values().chain(self.signals.values()).filter(|count| **count > 1).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_twice_shows_and_a_duplicate_is_acknowledged() {
        let mut ledger = Ledger::default();
        ledger.note(What::Exposure, "e-1", "accepted");
        ledger.note(What::Exposure, "e-1", "duplicate");
        ledger.note(What::Signal, "s-1", "duplicate");
        assert_eq!((ledger.accepted_twice(), ledger.answered()), (0, 3));
        assert!(ledger.signals.contains_key("s-1"), "a duplicate is durable, too");
        ledger.note(What::Exposure, "e-1", "accepted");
        assert_eq!(ledger.accepted_twice(), 1);
        assert!(ledger.surprises.is_empty());
        ledger.note(What::Signal, "s-2", "rejected");
        assert_eq!(ledger.surprises, ["s-2 was rejected"]);
        assert!(!ledger.signals.contains_key("s-2"));
    }
}
