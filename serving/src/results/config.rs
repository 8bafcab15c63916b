//! Metrics and segments as code, in the configuration.

use plaudit_event::{Objective, SignalKind};
use plaudit_experiment::metrics::{
    Choice, Kind, Margin, MetricConfig, MetricSet, PerUnit, SegmentConfig, SignalSource, Source, Take, Vocabulary,
};
use plaudit_experiment::stats::Direction;
use plaudit_ingest::Problem;
use serde::{Deserialize, Serialize};

/// How experiments are analysed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResultsConfig {
    /// Error rate of intervals and decisions, above 0 and below ½.
    pub alpha: f64,
    /// The method of metrics that name none; `default` is by kind.
    pub method: Choice,
    /// Units in all variants together at which intervals are tightest.
    pub horizon_units: u64,
    /// The attributes of exposures that metrics and segments may name: a misspelled one would be absent everywhere.
    pub attributes: Vec<String>,
    /// What is measured, in the order of the report.
    pub metrics: Vec<MetricConfig>,
    /// What units are split by.
    pub segments: Vec<SegmentConfig>,
}

impl Default for ResultsConfig {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            method: Choice::Default,
            horizon_units: 10_000,
            attributes: Vec::new(),
            metrics: default_metrics(),
            segments: Vec::new(),
        }
    }
}

/// Love decides, helpfulness guards, and what else people do with an answer is shown.
fn default_metrics() -> Vec<MetricConfig> {
    let label = |objective: &str| Source::Label(objective.to_owned());
    let did = |name: &str, kind: SignalKind, direction| {
        let source = Source::Signal(SignalSource { kind, take: Take::Count });
        MetricConfig::new(name, Kind::Proportion, source, direction)
    };
    let loved = MetricConfig {
        goal: true,
        ..MetricConfig::new("loved", Kind::Proportion, label(Objective::LOVE), Direction::Up)
    };
    let helpful = MetricConfig {
        per_unit: PerUnit::Average,
        guardrail: Some(Margin::Absolute(0.01)),
        ..MetricConfig::new("helpfulness", Kind::Mean, label(Objective::HELPFULNESS), Direction::Up)
    };
    // Length is what a policy changes first when it is rewarded for something else.
    let words = MetricConfig {
        denominator: Some(Source::Exposures),
        ..MetricConfig::new("words per answer", Kind::Ratio, Source::ResponseWords, Direction::Down)
    };
    vec![
        loved,
        helpful,
        did("thumbs up", SignalKind::ThumbsUp, Direction::Up),
        did("thumbs down", SignalKind::ThumbsDown, Direction::Down),
        did("copied", SignalKind::Copy, Direction::Up),
        did("regenerated", SignalKind::Regenerate, Direction::Down),
        words,
        MetricConfig::new("answers per unit", Kind::Mean, Source::Exposures, Direction::Up),
    ]
}

impl ResultsConfig {
    /// Metrics and segments.
    #[must_use]
    pub fn set(&self) -> MetricSet {
        MetricSet { metrics: self.metrics.clone(), segments: self.segments.clone() }
    }

    /// Every value that cannot be used, with key paths below `prefix`, given the objectives and signals of `ingest`.
    #[must_use]
    pub fn validate(&self, prefix: &str, ingest: &plaudit_ingest::Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(self.alpha > 0.0 && self.alpha < 0.5) {
            let message = format!("must be above 0 and below 0.5, got {}", self.alpha);
            problems.push(Problem { path: format!("{prefix}.alpha"), message });
        }
        if !(2..=1_000_000_000).contains(&self.horizon_units) {
            let message = format!("must be between 2 and 1000000000, got {}", self.horizon_units);
            problems.push(Problem { path: format!("{prefix}.horizon_units"), message });
        }
        let objectives: Vec<String> = ingest.objectives.keys().map(ToString::to_string).collect();
        let signals: Vec<String> = ingest.signals.keys().map(ToString::to_string).collect();
        let known = Vocabulary { objectives: &objectives, signals: &signals, attributes: &self.attributes };
        let found = self.set().validate(prefix, &known);
        problems.extend(found.into_iter().map(|problem| Problem { path: problem.path, message: problem.message }));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_binary_metrics_are_exact() {
        let config = ResultsConfig::default();
        assert_eq!(config.validate("results", &plaudit_ingest::Config::default()), []);
        let binary = config.metrics.iter().filter(|metric| metric.is_binary());
        assert!(binary.clone().count() == 5 && binary.map(|m| m.choice(config.method)).all(|c| c == Choice::ExactArms));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let text = "alpha = 0.7\nhorizon_units = 1\nattributes = ['latency_ms']\n\
            [[metrics]]\nname = 'a'\nkind = 'proportion'\nsource = { label = 'lov' }\ndirection = 'up'\n\
            [[metrics]]\nname = 'a'\nkind = 'ratio'\nsource = { attribute = 'latency' }\ndirection = 'up'\n\
            [[segments]]\nattribute = 'country'\nvalues = []\n";
        let config: ResultsConfig = toml::from_str(text).unwrap();
        let found = config.validate("results", &plaudit_ingest::Config::default());
        let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
        let expected = [
            "results.alpha",
            "results.horizon_units",
            "results.metrics[0].source",
            "results.metrics[1].name",
            "results.metrics[1].source",
            "results.metrics[1].denominator",
            "results.segments[0].attribute",
            "results.segments[0].values",
        ];
        assert_eq!(paths, expected, "{found:?}");
    }
}
