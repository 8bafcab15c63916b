//! Interleaving: two or more rankings shown as one list, so that each user compares them.
//!
//! An A/B test of search variants compares people with each other; interleaving compares rankings within one
//! glance, and needs far fewer impressions to tell which is better. It does not say by how much.
//!
//! [`team_draft`] works for any number of rankings and any clicks; [`Optimised`] is for two rankings and gives
//! credit in proportion to how differently they rank what was clicked. What a unit's clicks say goes into
//! [`Preference`], which may be looked at any time, or into [`sign_test`], once.
//!
//! ```text
//! InterleavingConfig ─ draw ─▶ exposure with its Interleaving ─┐
//!                                          clicks ─────────────┴▶ Fold ─▶ Folded: one number a unit ─▶ Report
//! ```

mod config;
mod draw;
mod evidence;
mod fold;
mod optimised;
mod report;
mod team_draft;

use crate::Error;
use crate::error::require;

pub use config::{InterleavingConfig, MAX_INTERLEAVINGS, MAX_POLICIES, Method};
pub use draw::{Drawn, MAX_DRAFT_LENGTH};
pub use evidence::{Preference, sign_test};
pub use fold::{Fold, Folded, Ignored};
pub use optimised::{Credit, MAX_LENGTH, Optimised};
pub use report::{Comparison, Report, Sensitivity, Verdict, Warning};
pub use team_draft::{Interleaved, credit, distribution, probability, team_draft};

fn check_rankings<T: PartialEq>(rankings: &[Vec<T>], length: usize) -> Result<(), Error> {
    require("rankings", rankings.len() as f64, "at least 2", rankings.len() >= 2)?;
    require("length", length as f64, "at least 1", length >= 1)?;
    for (ranking, items) in rankings.iter().enumerate() {
        require("items", items.len() as f64, "at least 1 per ranking", !items.is_empty())?;
        for (second, item) in items.iter().enumerate() {
            if let Some(first) = items[..second].iter().position(|other| other == item) {
                return Err(Error::Repeated { ranking, first, second });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
