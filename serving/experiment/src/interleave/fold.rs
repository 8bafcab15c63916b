//! From exposures and signals to one preference per unit.
//!
//! Pure, and independent of the order in which events come, but that a list must come before the clicks on it.

use std::collections::{BTreeMap, HashMap};

use plaudit_event::{Actor, Exposure, Interleaving, Mixture, Signal, Timestamp};
use serde::{Deserialize, Serialize};

use super::{InterleavingConfig, Method, Report};
use crate::Error;

/// How much earlier than its list a click may seem: clocks disagree.
const EARLY_MS: i64 = 60_000;

/// What was left out, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    /// Lists by the control alone: it was paused or killed.
    pub control: u64,
    /// Lists of other policies than those that are compared.
    pub other_policies: u64,
    /// Lists shown after the days in which a unit's lists count.
    pub after_days: u64,
    /// Exposures and clicks that came twice.
    pub duplicates: u64,
    /// Clicks on what the list did not show.
    pub not_shown: u64,
    /// Clicks before their list, or after its window.
    pub outside_window: u64,
    /// Clicks that were taken back.
    pub taken_back: u64,
    /// Clicks that no person made.
    pub not_by_users: u64,
}

/// What all events together say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Folded {
    /// For each policy but the control what each final unit prefers, in \[−1, 1\], positive for the policy; in the order in
    /// which units began.
    pub preferences: Vec<Vec<f64>>,
    /// For each policy but the control the clicks for the control and for it.
    pub clicks: Vec<[u64; 2]>,
    /// Final units that clicked.
    pub clicked: u64,
    /// Units that are not final yet.
    pub open: u64,
    /// Lists of final units.
    pub lists: u64,
    /// Of those, lists of rankings that are all the same: clicks on them count for nobody.
    pub equal: u64,
    /// Of those, lists drafted because the two rankings have no unbiased mixture.
    pub fallbacks: u64,
    /// What was left out.
    pub ignored: Ignored,
}

/// Takes the events of one interleaving experiment.
#[derive(Debug)]
pub struct Fold {
    config: InterleavingConfig,
    lists: HashMap<String, List>,
    ignored: Ignored,
}

#[derive(Debug)]
struct List {
    unit: String,
    ts: Timestamp,
    items: Vec<String>,
    chosen: usize,
    worth: Worth,
    clicks: Vec<Click>,
    taken_back: Vec<String>,
}

#[derive(Debug)]
struct Click {
    signal: String,
    place: usize,
}

/// What places count.
#[derive(Debug)]
enum Worth {
    /// Nothing: all rankings are the same.
    Nothing,
    /// One for the policy that put the item there.
    Teams(Vec<u32>),
    /// As much for the control.
    Credits(Vec<f64>),
}

impl Worth {
    fn of(interleaving: &Interleaving) -> Self {
        let rankings = &interleaving.rankings;
        if !rankings.is_empty() && rankings.iter().all(|ranking| *ranking == rankings[0]) {
            return Self::Nothing;
        }
        match interleaving.method {
            Mixture::Optimised => Self::Credits(interleaving.credits.clone()),
            _ => Self::Teams(interleaving.teams.clone()),
        }
    }

    /// What a click on `place` is worth to `policy` against the control, in \[−1, 1\].
    fn place(&self, place: usize, policy: u32) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Teams(teams) => match teams.get(place) {
                Some(0) => -1.0,
                Some(team) if *team == policy => 1.0,
                _ => 0.0,
            },
            Self::Credits(credits) => -credits.get(place).copied().unwrap_or(0.0).clamp(-1.0, 1.0),
        }
    }
}

impl List {
    /// Places with a click that stands, each once.
    fn clicked(&self) -> Vec<usize> {
        let standing = self.clicks.iter().filter(|click| !self.taken_back.contains(&click.signal));
        let mut places: Vec<usize> = standing.map(|click| click.place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

impl Fold {
    /// Of the experiment `config`.
    #[must_use]
    pub fn new(config: InterleavingConfig) -> Self {
        Self { config, lists: HashMap::new(), ignored: Ignored::default() }
    }

    /// Takes an exposure; those of other experiments are passed over.
    pub fn exposure(&mut self, exposure: &Exposure) {
        let of = exposure.interleaving.as_deref().filter(|interleaving| interleaving.experiment == self.config.id);
        let Some(interleaving) = of else { return };
        if self.lists.contains_key(exposure.exposure_id.as_str()) {
            self.ignored.duplicates += 1;
        } else if interleaving.method == Mixture::Control {
            self.ignored.control += 1;
        } else if interleaving.policies != self.config.policies {
            self.ignored.other_policies += 1;
        } else {
            let list = List {
                unit: exposure.unit_id.to_string(),
                ts: exposure.ts,
                items: exposure.slate.iter().map(|impression| impression.item_id.clone()).collect(),
                chosen: exposure.chosen as usize,
                worth: Worth::of(interleaving),
                clicks: Vec::new(),
                taken_back: Vec::new(),
            };
            self.lists.insert(exposure.exposure_id.to_string(), list);
        }
    }

    /// Takes a signal, after its exposure; what is no click on a list that counts is passed over.
    pub fn signal(&mut self, signal: &Signal) {
        let Some(list) = self.lists.get_mut(signal.exposure_id.as_str()) else { return };
        let delay = signal.ts.millis_since(list.ts);
        let is_in_time = (-EARLY_MS..=self.config.window_ms()).contains(&delay);
        if let Some(earlier) = &signal.retracts {
            // What comes after the window changes nothing, so that a final unit stays as it is.
            if is_in_time {
                list.taken_back.push(earlier.to_string());
            }
            return;
        }
        if !self.config.clicks.contains(&signal.kind) {
            return;
        }
        let place = match &signal.item_id {
            None => Some(list.chosen).filter(|place| *place < list.items.len()),
            Some(item) => list.items.iter().position(|shown| shown == item),
        };
        match place {
            _ if signal.actor != Actor::User => self.ignored.not_by_users += 1,
            None => self.ignored.not_shown += 1,
            Some(_) if !is_in_time => self.ignored.outside_window += 1,
            Some(_) if list.clicks.iter().any(|click| click.signal == signal.signal_id.as_str()) => {
                self.ignored.duplicates += 1;
            }
            Some(place) => list.clicks.push(Click { signal: signal.signal_id.to_string(), place }),
        }
    }

    /// The report as of `now`.
    ///
    /// # Errors
    /// As [`Report::new`].
    pub fn report(&self, now: Timestamp) -> Result<Report, Error> {
        Report::new(&self.config, &self.finish(now))
    }

    /// What they say as of `now`.
    #[must_use]
    pub fn finish(&self, now: Timestamp) -> Folded {
        let mut units: BTreeMap<&str, Vec<&List>> = BTreeMap::new();
        for list in self.lists.values() {
            units.entry(&list.unit).or_default().push(list);
        }
        let mut begun: Vec<(Timestamp, Vec<&List>)> = Vec::with_capacity(units.len());
        for lists in units.into_values() {
            let first = lists.iter().map(|list| list.ts).min().expect("a unit has a list");
            begun.push((first, lists));
        }
        // Stable: units that began at once stay in the order of their names.
        begun.sort_by_key(|(first, _)| *first);
        let challengers = self.config.policies.len().saturating_sub(1);
        let mut folded = Folded {
            preferences: vec![Vec::new(); challengers],
            clicks: vec![[0; 2]; challengers],
            ignored: self.ignored,
            ..Folded::default()
        };
        for (first, mut lists) in begun {
            let end = first.plus_millis(self.config.period_ms());
            let all = lists.len();
            lists.retain(|list| list.ts < end);
            folded.ignored.after_days += (all - lists.len()) as u64;
            if now < end.plus_millis(self.config.window_ms()) {
                folded.open += 1;
            } else {
                self.unit(&lists, &mut folded);
            }
        }
        folded
    }

    fn unit(&self, lists: &[&List], folded: &mut Folded) {
        let clicked: Vec<Vec<usize>> = lists.iter().map(|list| list.clicked()).collect();
        folded.clicked += u64::from(clicked.iter().any(|places| !places.is_empty()));
        folded.lists += lists.len() as u64;
        for list in lists {
            folded.equal += u64::from(matches!(list.worth, Worth::Nothing));
            let is_fallback = self.config.method == Method::Optimised && matches!(list.worth, Worth::Teams(_));
            folded.fallbacks += u64::from(is_fallback);
            let is_gone = |click: &&Click| list.taken_back.contains(&click.signal);
            folded.ignored.taken_back += list.clicks.iter().filter(is_gone).count() as u64;
        }
        for (index, clicks) in folded.clicks.iter_mut().enumerate() {
            let policy = index as u32 + 1;
            let (mut sum, mut mean) = (0.0, 0.0);
            for (list, places) in lists.iter().zip(&clicked) {
                let worths: Vec<f64> = places.iter().map(|place| list.worth.place(*place, policy)).collect();
                clicks[0] += worths.iter().filter(|worth| **worth < 0.0).count() as u64;
                clicks[1] += worths.iter().filter(|worth| **worth > 0.0).count() as u64;
                let worth: f64 = worths.iter().sum();
                sum += worth;
                // Credits are shares of the most that a list can give; turns are made so.
                let most = if matches!(list.worth, Worth::Teams(_)) { list.items.len().max(1) as f64 } else { 1.0 };
                mean += (worth / most).clamp(-1.0, 1.0) / lists.len() as f64;
            }
            let preference = match self.config.method {
                Method::TeamDraft if sum == 0.0 => 0.0,
                Method::TeamDraft => sum.signum(),
                Method::Optimised => mean.clamp(-1.0, 1.0),
            };
            folded.preferences[index].push(preference);
        }
    }
}
