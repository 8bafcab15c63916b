//! The report for people.

use std::fmt::{Result, Write};

use super::{Arm, Report};

impl Report {
    /// The report as text of a few lines.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text).expect("a string takes everything");
        text
    }

    fn write_text(&self, out: &mut impl Write) -> Result {
        let memory = self.peak_memory_bytes.map_or_else(String::new, |bytes| format!(", {} MiB", bytes >> 20));
        writeln!(out, "Plaudit demo, seed {}, {:.0} s{memory}", self.seed, self.wall_seconds)?;
        self.write_experiment(out)?;
        self.write_reward(out)?;
        let promoted = if self.promotions.is_empty() { "nothing".to_owned() } else { self.promotions.join(", ") };
        writeln!(out)?;
        for step in &self.delivery {
            writeln!(out, "{:4.0} s  {} → {}: {}", step.seconds, step.policy_id, step.to, step.reason)?;
        }
        writeln!(out, "Promoted: {promoted}")?;
        for refusal in &self.refusals {
            writeln!(out, "Refused: {}: {}", refusal.policy_id, refusal.reason)?;
        }
        let lag = &self.lag_seconds;
        let (trained, served) = (seconds(lag.window_to_weights), seconds(lag.weights_to_serving));
        writeln!(
            out,
            "From the close of the newest window to new weights: {trained}; from weights to the first answer: {served}"
        )?;
        if let Some(reward) = &lag.window_to_reward {
            let (half, most) = (reward.total.p50, reward.total.p95);
            writeln!(
                out,
                "Of that, until weights of P[love] had used it: median {half:.2} s, 95 % within {most:.2} s"
            )?;
        }
        self.write_events(out)
    }

    fn write_experiment(&self, out: &mut impl Write) -> Result {
        writeln!(out, "\nExperiment (planned: {} units per variant)", self.planned_units)?;
        writeln!(
            out,
            "  {:<10} {:<22} {:>9} {:>9} {:>9} {:>12}",
            "variant", "policy", "exposures", "love", "closings", "helpfulness"
        )?;
        for arm in &self.arms {
            write_arm(out, arm)?;
        }
        if let Some(love) = &self.lift.love {
            let (value, lower, upper) = (100.0 * love.value, 100.0 * love.lower, 100.0 * love.upper);
            writeln!(out, "  love lift {value:+.1} %, always-valid 95 % interval [{lower:+.1} %, {upper:+.1} %]")?;
        }
        if let Some(oracle) = self.lift.oracle {
            writeln!(out, "  love lift by the truth {:+.1} %", 100.0 * oracle)?;
        }
        Ok(())
    }

    fn write_reward(&self, out: &mut impl Write) -> Result {
        let reward = &self.reward_model;
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
        let (auroc, oracle) = (number(reward.auroc), number(reward.oracle_auroc));
        writeln!(out, "\nP[love], {} predictions made before training on them", reward.n)?;
        writeln!(out, "  AUROC {auroc} (the truth reaches {oracle}), ECE {:.4}", reward.ece)
    }

    fn write_events(&self, out: &mut impl Write) -> Result {
        let c = &self.conservation;
        writeln!(
            out,
            "Events: {} received = {} accepted + {} duplicate + {} rejected + {} quarantined + {} to be sent again",
            c.received, c.accepted, c.duplicate, c.rejected, c.quarantined, c.unavailable
        )?;
        let t = &self.traffic;
        writeln!(
            out,
            "Users: {} requests, {} without an answer; {} signals, {} not taken",
            t.requests, t.failures, t.signals, t.lost
        )
    }
}

fn write_arm(out: &mut impl Write, arm: &Arm) -> Result {
    let row = |love, closings, help| format!("{:>9} {:>9} {:>12}", percent(love), percent(closings), percent(help));
    let measured = row(arm.love_rate, arm.closing_rate, arm.helpfulness);
    writeln!(out, "  {:<10} {:<22} {:>9} {measured}", arm.variant, arm.policy_id, arm.exposures)?;
    if let Some(oracle) = &arm.oracle {
        let truth = row(Some(oracle.love), Some(oracle.closings), Some(oracle.helpfulness));
        writeln!(out, "  {:<10} {:<22} {:>9} {truth}", "", "  the truth", "")?;
    }
    Ok(())
}

fn percent(share: Option<f64>) -> String {
    share.map_or("–".to_owned(), |share| format!("{:.2} %", 100.0 * share))
}

fn seconds(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.1} s"))
}
