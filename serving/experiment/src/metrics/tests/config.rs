use super::*;
use crate::stats::Direction;

const GOOD: &str = r#"
[[metrics]]
name = "loved"
kind = "proportion"
source = { label = "love" }
direction = "up"
goal = true

[[metrics]]
name = "copies"
kind = "mean"
source = { signal = { kind = "copy", take = "count" } }
direction = "up"
winsorise = { percentile = 0.99 }
cuped = { days = 14 }

[[metrics]]
name = "latency per answer"
kind = "ratio"
source = { attribute = "latency_ms" }
denominator = "exposures"
surface = "chat"
direction = "down"
guardrail = { relative = 0.02 }

[[metrics]]
name = "slowest tenth"
kind = "quantile"
quantile = 0.9
source = { attribute = "latency_ms" }
direction = "down"

[[metrics]]
name = "back in the second week"
kind = "retention"
source = "exposures"
days = [7, 13]
direction = "up"

[[segments]]
attribute = "country"
values = ["DE", "FR"]
"#;

#[test]
fn a_good_set_has_no_problem_and_survives_a_round_trip() {
    assert_eq!(problems(GOOD), Vec::<String>::new());
    let text = toml::to_string(&set(GOOD)).unwrap();
    assert_eq!(set(&text), set(GOOD));
    assert!(toml::from_str::<MetricSet>("metricks = []").is_err());
    let loved = MetricConfig::new("loved", Kind::Proportion, Source::Label("love".to_owned()), Direction::Up);
    assert_eq!(set(GOOD).metrics[0], MetricConfig { goal: true, ..loved });
}

#[test]
fn all_problems_are_told_at_once() {
    let bad = r#"
[[metrics]]
name = "a"
kind = "ratio"
source = { label = "lvoe" }
direction = "up"
minimum_units = 1

[[metrics]]
name = "a"
kind = "mean"
source = { signal = { kind = "bokmark" } }
direction = "up"
winsorise = { percentile = 1.0 }
method = "betting"
guardrail = { absolute = -1.0 }
bounds = [1.0, 1.0]
smallest_interesting = 0.0

[[segments]]
attribute = "shoe"
values = []
"#;
    let found = problems(bad);
    let starts: Vec<&str> = found.iter().map(|p| p.split_once(':').map_or("", |(key, _)| key)).collect();
    let want = [
        "metrics[0].source",
        "metrics[0].denominator",
        "metrics[0].minimum_units",
        "metrics[1].name",
        "metrics[1].source",
        "metrics[1].bounds",
        "metrics[1].smallest_interesting",
        "metrics[1].guardrail",
        "metrics[1].winsorise.percentile",
        "metrics[1].window_days",
        "segments[0].attribute",
        "segments[0].values",
    ];
    assert_eq!(starts, want, "{found:#?}");
    assert_eq!(found[0], "metrics[0].source: unknown objective \"lvoe\"; known are love");
    assert_eq!(found[8], "metrics[1].winsorise.percentile: must be in (0, 1), is 1");
}

#[test]
fn keys_that_do_not_fit_the_kind_are_refused() {
    let metric = |rest: &str| format!("[[metrics]]\nname = \"m\"\ndirection = \"up\"\n{rest}");
    let cases = [
        ("kind = \"quantile\"\nsource = \"response_words\"", "quantile"),
        ("kind = \"quantile\"\nsource = \"response_words\"\nquantile = 1.5", "quantile"),
        ("kind = \"mean\"\nsource = \"exposures\"\nquantile = 0.5", "quantile"),
        ("kind = \"retention\"\nsource = \"exposures\"", "days"),
        ("kind = \"retention\"\nsource = \"exposures\"\ndays = [0, 3]", "days"),
        ("kind = \"retention\"\nsource = \"exposures\"\ndays = [9, 3]", "days"),
        ("kind = \"retention\"\nsource = \"exposures\"\ndays = [1, 3]\ncuped = { days = 3 }", "cuped.days"),
        ("kind = \"mean\"\nsource = \"exposures\"\ndays = [1, 3]", "days"),
        ("kind = \"mean\"\nsource = \"exposures\"\ndenominator = \"exposures\"", "denominator"),
        ("kind = \"proportion\"\nsource = \"exposures\"\nper_unit = \"average\"", "per_unit"),
        ("kind = \"proportion\"\nsource = { signal = { kind = \"dwell\", take = \"sum\" } }", "source"),
        ("kind = \"proportion\"\nsource = \"exposures\"\ncuped = { days = 7 }\nmethod = \"exact_arms\"", "cuped"),
        ("kind = \"proportion\"\nsource = \"exposures\"\nexpected = 0.8", "window_days"),
        ("kind = \"proportion\"\nsource = \"exposures\"\nexpected = 0.0", "expected"),
        ("kind = \"mean\"\nsource = \"exposures\"\nexpected = 0.2", "expected"),
        ("kind = \"mean\"\nsource = \"exposures\"\nwindow_days = 0", "window_days"),
        ("kind = \"mean\"\nsource = \"exposures\"\ncuped = { days = 0 }", "cuped.days"),
        ("kind = \"mean\"\nsource = \"exposures\"\ncuped = { attribute = \"shoe\" }", "cuped.attribute"),
        ("kind = \"mean\"\nsource = \"exposures\"\nmethod = \"exact_arms\"", "method"),
        ("kind = \"mean\"\nsource = \"exposures\"\nmethod = \"quantile_ab\"", "method"),
        ("kind = \"mean\"\nsource = \"exposures\"\nattributes = { shoe = 3 }", "attributes"),
        ("kind = \"proportion\"\nsource = \"exposures\"\nwinsorise = { bound = 3.0 }", "winsorise"),
        ("kind = \"mean\"\nsource = \"exposures\"\nwinsorise = { bound = inf }", "winsorise.bound"),
    ];
    for (rest, key) in cases {
        let found = problems(&metric(rest));
        assert!(found.len() == 1 && found[0].starts_with(&format!("metrics[0].{key}:")), "{rest}: {found:?}");
    }
    assert_eq!(problems("metrics = []").len(), 1);
}
