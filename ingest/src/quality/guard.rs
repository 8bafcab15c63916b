//! What one unit may do: the stateful steps, fed with what intake is about to accept.
//!
//! A signal names an exposure and no unit, so the newest exposures are remembered with theirs. Where the
//! unit is not known (the exposure comes later, was forgotten, or was never taken) the exposure itself has
//! the bucket that a unit has.
//!
//! Memory is bounded, and read back from the log after a restart: as far back as ids are. So the state is a
//! function of the accepted exposures and signals in the order of the log, up to these things: what is
//! further back than that is forgotten; signals are stamped by the log a little later than they arrive here;
//! and what was let in but could not be written counts until a restart.

use std::collections::HashSet;

use plaudit_event::{Actor, Event, SignalKind, Timestamp};

use super::generations::Generations;
use super::rates::Rates;
use super::suspects::{Suspect, Suspects};
use crate::Config;
use crate::fingerprint::Fingerprint;
use crate::outcome::{Reason, Refusal};

/// What the guard needs of an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Facts {
    /// Of an exposure.
    Exposure { exposure: Fingerprint, unit: String, policy: u64, ts: Timestamp },
    /// Of a signal.
    Signal { exposure: Fingerprint, is_reaction: bool, ts: Timestamp },
}

/// Which facts are needed; pure.
pub(crate) struct Witness {
    kinds: Vec<SignalKind>,
    is_needed: bool,
}

impl Witness {
    pub(crate) fn new(config: &Config) -> Self {
        let quality = &config.quality;
        let is_needed = quality.suspicion.enabled || quality.rates.signals > 0;
        Self { kinds: quality.suspicion.kinds.clone(), is_needed }
    }

    /// The facts of `event`, whose unit is named as it will be stored.
    pub(crate) fn facts(&self, event: &Event) -> Option<Facts> {
        match event {
            _ if !self.is_needed => None,
            Event::Exposure(exposure) => Some(Facts::Exposure {
                exposure: Fingerprint::of_id("exposure", exposure.exposure_id.as_str()),
                unit: exposure.unit_id.to_string(),
                policy: Fingerprint::of_id("policy", exposure.policy_id.as_str()).head(),
                ts: exposure.ts,
            }),
            Event::Signal(signal) => Some(Facts::Signal {
                exposure: Fingerprint::of_id("exposure", signal.exposure_id.as_str()),
                is_reaction: signal.actor == Actor::User
                    && signal.retracts.is_none()
                    && self.kinds.contains(&signal.kind),
                ts: signal.ts,
            }),
            Event::Example(_) => None,
        }
    }
}

/// The state of all units.
pub(crate) struct Guard {
    rates: Option<Rates>,
    suspects: Option<Suspects>,
    shown: Generations<Shown>,
    /// Units that are never held back.
    allowed: HashSet<Fingerprint>,
}

/// A remembered exposure.
struct Shown {
    unit: Fingerprint,
    policy: u64,
    ts: Timestamp,
    has_reaction: bool,
}

impl Guard {
    pub(crate) fn new(config: &Config) -> Self {
        let quality = &config.quality;
        let salt = quality.hashing.salt();
        let name = |unit: &String| salt.map_or_else(|| unit.clone(), |salt| salt.hash(unit));
        Self {
            rates: Rates::new(&quality.rates),
            suspects: Suspects::new(&quality.suspicion),
            shown: Generations::new(quality.max_exposures),
            allowed: quality.allow.iter().map(|unit| key_of_unit(&name(unit))).collect(),
        }
    }

    pub(crate) fn suspects(&self, now: Timestamp) -> Vec<Suspect> {
        self.suspects.as_ref().map(|suspects| suspects.list(now)).unwrap_or_default()
    }

    /// Takes note of an event that is new, or says why it must wait.
    pub(crate) fn admit(&mut self, facts: &Facts, now: Timestamp) -> Result<(), Refusal> {
        match facts {
            Facts::Exposure { exposure, unit, policy, ts } => {
                self.exposure(*exposure, unit, *policy, *ts, now);
                Ok(())
            }
            Facts::Signal { exposure, is_reaction, ts } => self.signal(*exposure, *is_reaction, *ts, now),
        }
    }

    fn exposure(&mut self, exposure: Fingerprint, unit: &str, policy: u64, ts: Timestamp, now: Timestamp) {
        // One that could not be written comes again.
        if self.shown.get_mut(exposure).is_some() {
            return;
        }
        let key = key_of_unit(unit);
        self.shown.insert(exposure, Shown { unit: key, policy, ts, has_reaction: false });
        if let Some(suspects) = self.suspects.as_mut().filter(|_| !self.allowed.contains(&key)) {
            suspects.exposed(key, unit, policy, now);
        }
    }

    fn signal(
        &mut self,
        exposure: Fingerprint,
        is_reaction: bool,
        ts: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let shown = self.shown.get_mut(exposure);
        let unit = shown.as_ref().map(|shown| shown.unit);
        if unit.is_some_and(|unit| self.allowed.contains(&unit)) {
            return Ok(());
        }
        if let Some((suspects, unit)) = self.suspects.as_mut().zip(unit)
            && let Some(suspect) = suspects.suspect(unit, now)
        {
            let (score, until) = (suspect.score.as_str(), suspect.until.as_millis());
            let got = format!("one that is until {until} (score `{score}`)");
            return Err(Refusal::new(Reason::UnitSuspect, "exposure_id", "of a unit that is not suspect", got));
        }
        if let Some(rates) = &mut self.rates
            && !rates.admit(unit.unwrap_or(exposure), now)
        {
            let allowed = "of a unit that sends no more than `quality.rates` allows";
            return Err(Refusal::new(Reason::UnitRate, "exposure_id", allowed, "one signal more"));
        }
        if let Some((suspects, shown)) = self.suspects.as_mut().zip(shown)
            && is_reaction
            && !shown.has_reaction
        {
            shown.has_reaction = true;
            suspects.reacted(shown.unit, shown.policy, ts.millis_since(shown.ts), now);
        }
        Ok(())
    }
}

fn key_of_unit(unit: &str) -> Fingerprint {
    Fingerprint::of_id("unit", unit)
}
