//! The configuration of the demo: the product's defaults with times of seconds instead of minutes, and traffic
//! sized by a power calculation.

mod delivery;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use plaudit_experiment::stats::anytime_units_per_arm;
use plaudit_simulator::Scenario;

use super::Options;
use crate::config::Config;

/// The lift that the experiment must be able to find: the one that RLUF reports.
const LIFT: f64 = 0.28;
/// With this probability.
const POWER: f64 = 0.8;
/// The attribution window is at least this long.
const SHORTEST_WINDOW: Duration = Duration::from_millis(2_500);
/// Loves that the reward model has seen before the first candidate.
const LOVES: f64 = 2_000.0;

/// Everything the demo decides beforehand.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Of the product.
    pub(crate) config: Config,
    /// Seed of product and users.
    pub(crate) seed: u64,
    /// Users who wait for an answer at the same time.
    pub(crate) concurrency: usize,
    /// Units per variant that the experiment is planned for.
    pub(crate) units_per_variant: u64,
    /// Exposures before the first candidate.
    pub(crate) first_after: u64,
    /// Exposures that the promoted policy serves before the demo ends.
    pub(crate) exposures_after: u64,
    /// Time after the last signal until every window has closed and is folded.
    pub(crate) close: Duration,
    /// The demo ends after this long, whatever has happened: on a machine that is busy with other things.
    pub(crate) longest: Duration,
}

impl Settings {
    pub(super) fn new(options: &Options, scenario: &Scenario, dir: &Path) -> Self {
        let base = scenario.expected_love;
        let mut config = isolated(options, dir);
        config.serving.delivery = delivery::config(base);
        let level = config.serving.delivery.level_of(delivery::BETTER).unwrap_or(config.serving.delivery.alpha);
        let units = anytime_units_per_arm(base, LIFT, level, POWER).ceil();
        delivery::size(&mut config.serving.delivery, units as u64);
        let first_after = (LOVES / base).ceil() as u64;
        config.ingest.window = window(scenario);
        config.ingest.grace = Duration::from_millis(500);
        config.ingest.slack = Duration::from_secs(1);
        config.ingest.early_slack = Duration::from_secs(5);
        config.ingest.correction_horizon = Duration::from_secs(30);
        config.ingest.poll = Duration::from_millis(100);
        config.learn.first_after = first_after;
        config.learn.every = first_after / 2;
        config.serving.readout.horizon_units = 2 * units as u64;
        config.reward_model.metrics_window = 50_000;
        if !options.judges {
            without_judges(&mut config);
        }
        Self {
            seed: options.seed,
            concurrency: 48,
            units_per_variant: units as u64,
            first_after,
            exposures_after: 1_500,
            close: config.ingest.window + config.ingest.grace + Duration::from_secs(1),
            longest: options.max_time.unwrap_or(Duration::from_secs(if base < 0.03 { 3_600 } else { 290 })),
            config,
        }
    }
}

impl Settings {
    /// Whether the experiment can have the units that it is planned for.
    pub(super) fn check(&self, scenario: &Scenario) -> anyhow::Result<()> {
        let (units, needed) = (u64::from(scenario.population.units), 2 * self.units_per_variant);
        let name = &scenario.name;
        anyhow::ensure!(
            units > needed,
            "scenario `{name}`: population.units must be above {needed}, twice what the experiment needs per variant to \
             find a lift of {:.0} %, got {units}",
            100.0 * LIFT
        );
        Ok(())
    }
}

/// The given configuration with everything of its own that the demo needs: simulated users must never reach the data
/// of a product, nor be turned away by its keys.
fn isolated(options: &Options, dir: &Path) -> Config {
    let defaults = Config::default();
    let mut config = Config {
        data_dir: dir.to_owned(),
        event_log: defaults.event_log,
        event_store: defaults.event_store,
        roles: defaults.roles,
        seed: options.seed,
        ..options.config.clone()
    };
    config.serving.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.serving.api_keys.clear();
    config.learn.enabled = true;
    config
}

/// Long enough for nearly all reactions: what an operator would read off the delays of the past.
fn window(scenario: &Scenario) -> Duration {
    let delays = &scenario.delays;
    let late_but_usual = delays.median_ms * (2.5 * delays.sigma).exp();
    Duration::from_millis((2.0 * late_but_usual).round() as u64).max(SHORTEST_WINDOW)
}

/// Everything that stands between an exploit and the users is switched to reporting only: the learner's judges,
/// the gate's rule for closings (which follows the judges) and for helpfulness, and those of the delivery.
fn without_judges(config: &mut Config) {
    config.policy.judges.enabled = false;
    config.policy.gate.helpfulness_margin = 1.0;
    delivery::without_judges(&mut config.serving.delivery);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_scenarios_have_the_users_that_their_experiments_need() {
        for name in ["demo", "sparse"] {
            let config = Config::default();
            let options =
                Options { seed: 1, data: None, judges: true, scenario: name.to_owned(), max_time: None, config };
            let mut scenario = Scenario::built_in(name).unwrap();
            let settings = Settings::new(&options, &scenario, Path::new("/tmp/x"));
            settings.check(&scenario).unwrap();
            scenario.population.units = 1_000;
            let said = settings.check(&scenario).unwrap_err().to_string();
            assert!(said.contains("population.units must be above") && said.contains("got 1000"), "{said}");
        }
    }

    #[test]
    fn a_demo_never_touches_what_the_configuration_points_to() {
        let mut config = Config { event_log: "sqlite:/prod/plaudit.db".to_owned(), ..Config::default() };
        config.event_store = "sqlite:/prod/store.db".to_owned();
        config.roles.pop();
        config.serving.listen = "0.0.0.0:80".parse().unwrap();
        config.learn.enabled = false;
        let options =
            Options { seed: 4, data: None, judges: true, scenario: "demo".to_owned(), max_time: None, config };
        let settings = Settings::new(&options, &Scenario::built_in("demo").unwrap(), Path::new("/tmp/x"));
        let config = &settings.config;
        assert_eq!(config.event_log_uri(), "sqlite:/tmp/x/plaudit.db");
        assert_eq!(config.event_store_uri(), "sqlite:/tmp/x/store.db");
        assert_eq!(config.roles, Config::default().roles);
        assert_eq!(config.serving.listen.to_string(), "127.0.0.1:0");
        assert!(config.learn.enabled && config.seed == 4);
    }
}
