//! The report for people.

use std::fmt::Write as _;

use super::{Comparison, Report, Verdict, Warning};
use crate::interleave::Method;

impl Report {
    /// As lines of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let method = match self.method {
            Method::TeamDraft => "team draft",
            Method::Optimised => "optimised",
        };
        let mut text = format!("{}: {method}, control {}, alpha {}\n", self.experiment, self.control, self.alpha);
        let _ = writeln!(
            text,
            "{} units final, {} open; {} lists, {} of equal rankings, {} drafted for want of an unbiased mixture",
            self.units, self.open_units, self.lists, self.equal_lists, self.drafted_lists
        );
        for comparison in &self.comparisons {
            text += &comparison.to_text(&self.control);
        }
        let ignored = &self.ignored;
        let left_out = [
            (ignored.control, "lists by the control alone"),
            (ignored.after_days, "lists after a unit's days"),
            (ignored.outside_window, "clicks outside the window"),
            (ignored.taken_back, "clicks taken back"),
            (ignored.not_by_users, "clicks by no person"),
            (ignored.duplicates, "events that came twice"),
        ];
        let told: Vec<String> =
            left_out.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if !told.is_empty() {
            let _ = writeln!(text, "not counted: {}", told.join(", "));
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

impl Comparison {
    fn to_text(&self, control: &impl std::fmt::Display) -> String {
        let verdict = match self.verdict {
            Verdict::Better => format!("better than {control}"),
            Verdict::Worse => format!("worse than {control}"),
            Verdict::Undecided => "undecided".to_owned(),
        };
        let share = self.share.map_or("nobody".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        let decided = self.wins + self.losses;
        let mut text = format!("\n{}: {verdict}\n", self.policy);
        let _ = writeln!(
            text,
            "  preferred by {share} of {decided} units that decide ({} to {}, {} ties); clicks {} to {}",
            self.wins, self.losses, self.ties, self.clicks[1], self.clicks[0]
        );
        let mean = self.preference.map_or("none".to_owned(), |mean| format!("{mean:+.3}"));
        let [lower, upper] = self.interval;
        let _ = writeln!(
            text,
            "  preference {mean} [{lower:+.3}, {upper:+.3}], e-value {:.3e}, p {:.4} at any time",
            self.e_value, self.p
        );
        let found = &self.sensitivity;
        let least = found.detectable_preference.map_or("none".to_owned(), |least| format!("{least:.3}"));
        let needed = found.units_needed.map_or("-".to_owned(), |units| format!("{units:.0}"));
        let lift = found.ab_detectable_lift.map_or("none".to_owned(), |lift| format!("{:.1} %", 100.0 * lift));
        let _ = writeln!(
            text,
            "  sensitivity: finds a preference of {least} or more, the one seen with {needed} units; an A/B test of any click \
             ({:.1} % of units) with as many finds a lift of {lift} or more",
            100.0 * found.click_rate
        );
        text
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FewUnits { units } => write!(f, "only {units} units prefer anything"),
            Self::EqualRankings { share } => {
                write!(f, "the rankings are the same in {:.1} % of the lists", 100.0 * share)
            }
            Self::ForeignClicks { clicks } => write!(f, "{clicks} clicks name items that their lists did not show"),
            Self::OtherPolicies { lists } => write!(f, "{lists} lists under this name compare other policies"),
        }
    }
}
