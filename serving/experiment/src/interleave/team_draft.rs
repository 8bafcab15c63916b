//! Team draft: rankers take turns as captains do (Radlinski, Kurup & Joachims 2008), for more than two rankers
//! team-draft multileaving (Schuth et al. 2014).

use rand::Rng;

use super::check_rankings;
use crate::Error;
use crate::error::require;

/// A list that was made of several.
#[derive(Debug, Clone, PartialEq)]
pub struct Interleaved<T> {
    /// What is shown, from the top.
    pub items: Vec<T>,
    /// For each item which ranking put it there.
    pub teams: Vec<usize>,
}

/// A list under construction, with the rankings that have not picked in this round.
#[derive(Clone)]
struct Draft<T> {
    list: Interleaved<T>,
    waiting: Vec<usize>,
}

impl<T: Clone + PartialEq> Draft<T> {
    fn new(rankings: usize) -> Self {
        Self { list: Interleaved { items: Vec::new(), teams: Vec::new() }, waiting: (0..rankings).collect() }
    }

    /// Whether the list is full, or nobody has anything left.
    fn is_done(&self, rankings: &[Vec<T>], length: usize) -> bool {
        let is_shown = |item: &T| self.list.items.contains(item);
        self.list.items.len() >= length || rankings.iter().flatten().all(is_shown)
    }

    /// The ranking at `turn` among those waiting picks its best item that is not shown; without one it passes.
    fn pick(&mut self, rankings: &[Vec<T>], turn: usize) {
        let team = self.waiting.remove(turn);
        if let Some(item) = rankings[team].iter().find(|item| !self.list.items.contains(item)) {
            self.list.items.push(item.clone());
            self.list.teams.push(team);
        }
        if self.waiting.is_empty() {
            self.waiting = (0..rankings.len()).collect();
        }
    }
}

/// Draws a list of up to `length` items: in each round all rankings, in a random order, each put in their best
/// item that is not there yet.
///
/// # Errors
/// With fewer than two rankings, an empty one, an item twice in one, or a length of zero.
pub fn team_draft<T: Clone + PartialEq>(
    rankings: &[Vec<T>],
    length: usize,
    rng: &mut impl Rng,
) -> Result<Interleaved<T>, Error> {
    check_rankings(rankings, length)?;
    let mut draft = Draft::new(rankings.len());
    while !draft.is_done(rankings, length) {
        let turn = rng.random_range(0..draft.waiting.len());
        draft.pick(rankings, turn);
    }
    Ok(draft.list)
}

/// All lists that [`team_draft`] can draw, each with its probability.
///
/// # Errors
/// As [`team_draft`], and with more than 5 rankings or a length above 10: there are up to `(K!)^⌈length/K⌉` lists.
pub fn distribution<T: Clone + PartialEq>(
    rankings: &[Vec<T>],
    length: usize,
) -> Result<Vec<(Interleaved<T>, f64)>, Error> {
    check_rankings(rankings, length)?;
    require("rankings", rankings.len() as f64, "at most 5", rankings.len() <= 5)?;
    require("length", length as f64, "at most 10", length <= 10)?;
    let mut lists: Vec<(Interleaved<T>, f64)> = Vec::new();
    let mut open = vec![(Draft::new(rankings.len()), 1.0)];
    while let Some((draft, probability)) = open.pop() {
        if draft.is_done(rankings, length) {
            match lists.iter_mut().find(|(list, _)| *list == draft.list) {
                Some((_, total)) => *total += probability,
                None => lists.push((draft.list, probability)),
            }
            continue;
        }
        let turns = draft.waiting.len();
        for turn in 0..turns {
            let mut next = draft.clone();
            next.pick(rankings, turn);
            open.push((next, probability / turns as f64));
        }
    }
    Ok(lists)
}

/// The probability that [`team_draft`] makes `list`, teams included, of `rankings`; zero when it cannot.
#[must_use]
pub fn probability<T: Clone + PartialEq>(rankings: &[Vec<T>], list: &Interleaved<T>) -> f64 {
    let all: Vec<usize> = (0..rankings.len()).collect();
    // Who waits, with what probability: more than one set only where rankings without anything left have passed.
    let mut states = vec![(all, 1.0)];
    for (place, (item, team)) in list.items.iter().zip(&list.teams).enumerate() {
        let is_shown = |item: &T| list.items[..place].contains(item);
        if rankings.iter().flatten().all(is_shown) {
            return 0.0;
        }
        let mut next: Vec<(Vec<usize>, f64)> = Vec::new();
        while let Some((waiting, probability)) = states.pop() {
            for turn in 0..waiting.len() {
                let mut draft = Draft {
                    list: Interleaved { items: list.items[..place].to_vec(), teams: Vec::new() },
                    waiting: waiting.clone(),
                };
                let turns = waiting.len() as f64;
                draft.pick(rankings, turn);
                let into = match draft.list.items.get(place) {
                    None => &mut states,
                    Some(picked) if picked == item && draft.list.teams == [*team] => &mut next,
                    Some(_) => continue,
                };
                match into.iter_mut().find(|(known, _)| *known == draft.waiting) {
                    Some((_, sum)) => *sum += probability / turns,
                    None => into.push((draft.waiting, probability / turns)),
                }
            }
        }
        states = next;
    }
    states.iter().map(|(_, probability)| probability).sum()
}

/// Clicks on each ranking's team; `clicked` are indices into the list, and those beyond it count for nobody.
#[must_use]
pub fn credit(teams: &[usize], rankings: usize, clicked: &[usize]) -> Vec<u32> {
    let mut credit = vec![0; rankings];
    for team in clicked.iter().filter_map(|place| teams.get(*place)) {
        if let Some(clicks) = credit.get_mut(*team) {
            *clicks += 1;
        }
    }
    credit
}
