//! The list of one exposure: a function of experiment, rankings and exposure id, so that it can be drawn again.

use plaudit_event::{ExposureId, Interleaving, Mixture, Seed, Stream};

use super::{InterleavingConfig, Method, Optimised, check_rankings, probability, team_draft};
use crate::Error;

/// Longest list of a team draft.
pub const MAX_DRAFT_LENGTH: usize = 100;

/// A list with what is logged of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// What is shown, from the top.
    pub items: Vec<String>,
    /// How it came about.
    pub interleaving: Interleaving,
}

impl InterleavingConfig {
    /// The list of exposure `id` made of `rankings`, in the order of the policies; they are cut to the length of a list.
    /// The control's ranking alone when nothing `is_mixed`. Two rankings without an unbiased mixture (see
    /// [`Optimised::new`]) are drafted.
    ///
    /// # Errors
    /// When there is not one ranking for each policy, one is empty, or one repeats an item.
    pub fn draw(&self, rankings: Vec<Vec<String>>, id: &ExposureId, is_mixed: bool) -> Result<Drawn, Error> {
        if rankings.len() != self.policies.len() {
            let value = rankings.len() as f64;
            return Err(Error::Value { field: "rankings", value, range: "one for each policy" });
        }
        check_rankings(&rankings, self.length)?;
        let mut rankings = rankings;
        rankings.iter_mut().for_each(|ranking| ranking.truncate(self.length));
        // Numbers are compared and copied faster than names.
        let (names, numbered) = number(&rankings);
        let mut list = List { method: Mixture::Control, ..List::default() };
        if is_mixed {
            let mut rng = stream(self.seed(), id);
            list = match self.method {
                Method::TeamDraft => drafted(&numbered, self.length, &mut rng)?,
                Method::Optimised => match self.optimised(&numbered, &mut rng) {
                    Err(Error::Biased { .. }) => drafted(&numbered, self.length, &mut rng)?,
                    other => other?,
                },
            };
        } else {
            list.items.clone_from(&numbered[0]);
        }
        let items = list.items.iter().map(|item| names[*item as usize].clone()).collect();
        let interleaving = Interleaving {
            experiment: self.id.clone(),
            method: list.method,
            policies: self.policies.clone(),
            rankings,
            seed: self.seed().to_owned(),
            propensity: list.propensity,
            teams: list.teams,
            credits: list.credits,
        };
        Ok(Drawn { items, interleaving })
    }

    fn optimised(&self, rankings: &[Vec<u32>], rng: &mut Stream) -> Result<List, Error> {
        let lists = Optimised::new(&rankings[0], &rankings[1], self.length, self.credit)?;
        let index = lists.draw(rng);
        let items = lists.list(index).to_vec();
        let credits = (0..items.len()).map(|place| lists.credit(index, &[place])).collect();
        let propensity = lists.lists().nth(index).map_or(1.0, |(_, probability)| probability);
        Ok(List { method: Mixture::Optimised, items, propensity, teams: Vec::new(), credits })
    }
}

struct List {
    method: Mixture,
    items: Vec<u32>,
    propensity: f64,
    teams: Vec<u32>,
    credits: Vec<f64>,
}

impl Default for List {
    fn default() -> Self {
        Self { method: Mixture::Control, items: Vec::new(), propensity: 1.0, teams: Vec::new(), credits: Vec::new() }
    }
}

fn drafted(rankings: &[Vec<u32>], length: usize, rng: &mut Stream) -> Result<List, Error> {
    let list = team_draft(rankings, length, rng)?;
    let propensity = probability(rankings, &list);
    let teams = list.teams.iter().map(|team| *team as u32).collect();
    Ok(List { method: Mixture::TeamDraft, items: list.items, propensity, teams, credits: Vec::new() })
}

/// The randomness of one list; nothing else is drawn from it.
fn stream(seed: &str, id: &ExposureId) -> Stream {
    Seed::new(0).stream(&format!("interleaving/{seed}/{id}"))
}

/// All names, and the rankings with a number for each.
fn number(rankings: &[Vec<String>]) -> (Vec<&String>, Vec<Vec<u32>>) {
    let mut names: Vec<&String> = rankings.iter().flatten().collect();
    names.sort_unstable();
    names.dedup();
    let place = |name: &String| names.binary_search(&name).map_or(0, |place| place as u32);
    let numbered = rankings.iter().map(|ranking| ranking.iter().map(place).collect()).collect();
    (names, numbered)
}
