//! Ranges of the values of a scenario.

use super::Scenario;
use crate::Error;

struct Problems(Vec<String>);

impl Problems {
    fn share(&mut self, key: &str, value: f64) {
        if !(0.0..=1.0).contains(&value) {
            self.0.push(format!("{key} must be in [0, 1], got {value}"));
        }
    }

    fn at_least(&mut self, key: &str, low: f64, value: f64) {
        if !(value >= low && value.is_finite()) {
            let problem = format!("{key} must be at least {low}, got {value}");
            self.0.push(problem);
        }
    }

    fn weights(&mut self, key: &str, weights: &[f64]) {
        let fine = weights.iter().all(|w| *w >= 0.0 && w.is_finite());
        if !fine || weights.iter().sum::<f64>() <= 0.0 {
            let problem = format!("{key} must be weights of at least 0, one of them above");
            self.0.push(problem);
        }
    }
}

impl Scenario {
    /// Checks every value.
    ///
    /// # Errors
    /// Fails with all problems at once.
    pub fn check(&self) -> Result<(), Error> {
        self.check_as(&self.name)
    }

    /// As [`Scenario::check`], with the name to be used in the message.
    pub(super) fn check_as(&self, name: &str) -> Result<(), Error> {
        let mut problems = Problems(Vec::new());
        self.check_people(&mut problems);
        self.check_reactions(&mut problems);
        self.check_decide(&mut problems);
        self.check_client(&mut problems);
        if problems.0.is_empty() {
            return Ok(());
        }
        Err(Error::ScenarioValues { name: name.to_owned(), problems: problems.0 })
    }

    fn check_people(&self, problems: &mut Problems) {
        problems.share("expected_love", self.expected_love);
        let population = &self.population;
        problems.at_least("population.units", 4.0, population.units.into());
        problems.at_least("population.activity_skew", 1.0, population.activity_skew);
        problems.weights("prompts.personas", &self.prompts.personas);
        problems.weights("prompts.themes", &self.prompts.themes);
        problems.share("prompts.small_talk", self.prompts.small_talk);
        problems.share("prompts.parting", self.prompts.parting);
        let without_fact = self.prompts.small_talk + self.prompts.parting;
        problems.share("prompts.small_talk + prompts.parting", without_fact);
        problems.weights("drift.personas", &self.drift.personas);
        problems.weights("drift.themes", &self.drift.themes);
        problems.at_least("preferences.topic_sd", 0.0, self.preferences.topic_sd);
        problems.at_least("preferences.unit_sd", 0.0, self.preferences.unit_sd);
    }

    fn check_reactions(&self, problems: &mut Problems) {
        let reactions = &self.reactions;
        problems.share("reactions.feedback", reactions.feedback);
        problems.share("reactions.thumbs_up", reactions.thumbs_up);
        problems.share("reactions.thumbs_down", reactions.thumbs_down);
        problems.share("reactions.dwell", reactions.dwell);
        problems.share("reactions.comment", reactions.comment);
        problems.at_least("delays.median_ms", 0.0, self.delays.median_ms);
        problems.at_least("delays.sigma", 0.0, self.delays.sigma);
        problems.share("delays.late", self.delays.late);
        problems.at_least("delays.late_ms", 0.0, self.delays.late_ms);
        let faults = &self.faults;
        problems.share("faults.noise", faults.noise);
        problems.share("faults.retractions", faults.retractions);
        problems.share("faults.duplicates", faults.duplicates);
        problems.share("faults.love_spammers", faults.love_spammers);
        problems.share("faults.phrase_spammers", faults.phrase_spammers);
        let spammers = faults.love_spammers + faults.phrase_spammers;
        problems.share("faults.love_spammers + faults.phrase_spammers", spammers);
    }

    fn check_decide(&self, problems: &mut Problems) {
        let decide = &self.decide;
        problems.share("decide.share", decide.share);
        problems.at_least("decide.position_bias", 0.0, decide.position_bias);
        if decide.share > 0.0 && decide.tips.is_empty() {
            let problem = "decide.tips must not be empty when decide.share is above 0";
            problems.0.push(problem.to_owned());
        }
        for tip in &decide.tips {
            for probability in tip.click {
                problems.share(&format!("decide.tips.{}.click", tip.item_id), probability);
            }
        }
    }

    fn check_client(&self, problems: &mut Problems) {
        let client = &self.client;
        problems.at_least("client.attempts", 1.0, client.attempts.into());
        for (key, value) in [
            ("client.batch", client.batch),
            ("client.max_waiting", client.max_waiting),
            ("client.max_rows", client.max_rows),
        ] {
            if value == 0 {
                problems.0.push(format!("{key} must be at least 1, got 0"));
            }
        }
    }
}
