//! What the terminal shows while the demo runs: one line that moves, or a line now and then when nobody watches.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use plaudit_policy::tripwire::UNSOLICITED_CLOSING;
use plaudit_serving::readout::ExperimentReadout;
use plaudit_simulator::Counts;

use super::Settings;
use crate::app::App;
use crate::learner::Activity;

/// Pause between lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// The display.
pub(super) struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
    first_after: u64,
    units_per_variant: u64,
    last: (Duration, u64),
}

impl Progress {
    pub(super) fn new(settings: &Settings) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self {
            bar,
            is_terminal,
            first_after: settings.first_after,
            units_per_variant: settings.units_per_variant,
            last: (Duration::ZERO, 0),
        }
    }

    /// Shows the state at `elapsed` after the start.
    pub(super) fn show(&mut self, app: &App, counts: Counts, elapsed: Duration) {
        let events = counts.answers + counts.sent;
        let span = elapsed.saturating_sub(self.last.0);
        let pause = if self.is_terminal { Duration::from_secs(1) } else { PAUSE };
        if span < pause {
            return;
        }
        let rate = (events - self.last.1) as f64 / span.as_secs_f64();
        self.last = (elapsed, events);
        let line = format!("{rate:5.0} events/s  {}  {}", reward(app), self.story(app));
        if self.is_terminal {
            self.bar.set_message(line);
            self.bar.tick();
        } else {
            say(&format!("{:4}s {line}", elapsed.as_secs()));
        }
    }

    /// Leaves the display.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn story(&self, app: &App) -> String {
        let activity = app.learner.borrow().activity.clone();
        let Some(serving) = &app.serving else { return String::new() };
        let rollout = serving.rollout();
        let champion = rollout.champion().map_or("nobody", |id| id.as_str());
        if let Some((treatment, state)) = rollout.treatment().and_then(|run| Some((&run.policy_id, run.state()?))) {
            let now = serving.readouts().first().map(|readout| experiment(readout, self.units_per_variant));
            return format!("{treatment} against {champion}, {state} {}", now.unwrap_or_default());
        }
        let now = match activity {
            Activity::Training { step, steps, reward } => {
                format!("training a candidate: step {step}/{steps}, reward {reward:.3}")
            }
            Activity::Gating => "gate: candidate against champion".to_owned(),
            Activity::Waiting => {
                let examples = app.reward.as_ref().map_or(0, |reward| reward.status().examples);
                format!("{examples}/{} examples", self.first_after)
            }
        };
        format!("serving {champion}, {now}")
    }
}

fn reward(app: &App) -> String {
    let love = app.reward.as_ref().and_then(|reward| reward.status().love);
    match love.and_then(|love| Some((love.auroc?, love.ece))) {
        Some((auroc, ece)) => format!("P[love] AUROC {auroc:.3} ECE {ece:.4}"),
        None => "P[love] untrained".to_owned(),
    }
}

fn experiment(readout: &ExperimentReadout, planned: u64) -> String {
    let mut parts = Vec::new();
    for variant in &readout.variants {
        let rate = variant.love.map_or_else(
            || "–".to_owned(),
            |love| format!("{:.1} % [{:.1}, {:.1}]", 100.0 * love.value, 100.0 * love.lower, 100.0 * love.upper),
        );
        let closings = variant.tripwires.get(UNSOLICITED_CLOSING).map_or(0.0, |rate| rate.value);
        parts.push(format!("{} love {rate} closings {:.1} %", variant.variant, 100.0 * closings));
    }
    let units = readout.variants.iter().map(|variant| variant.units).min().unwrap_or(0);
    format!("A/B {units}/{planned} units: {}", parts.join(" | "))
}

#[expect(clippy::print_stderr, reason = "progress belongs on the terminal of the command")]
fn say(line: &str) {
    eprintln!("{line}");
}
