use plaudit_event::Context;
use rand::Rng;

use super::*;
use crate::golden::{GoldenConfig, Place};
use crate::{Row, Scores};

/// Says of each response, which is a logit, that number, changed by a function.
struct Says(fn(f64) -> f64, Vec<Objective>, bool);

impl RewardModel for Says {
    fn objectives(&self) -> &[Objective] {
        &self.1
    }

    fn is_finite(&self) -> bool {
        self.2
    }

    fn score(&self, rows: &[Row<'_>]) -> Result<Vec<Scores>, Error> {
        let logit = |row: &Row<'_>| self.0(row.response.parse().expect("a number"));
        Ok(rows.iter().map(|row| Scores::new(self.1.clone().into(), vec![Some(logit(row))])).collect())
    }
}

fn says(change: fn(f64) -> f64) -> Says {
    Says(change, vec![Objective::new(Objective::LOVE)], true)
}

/// Held-out rows whose labels follow their logits, `flipped` or not; one slice of them is frozen.
fn golden() -> Golden {
    let config = GoldenConfig { rows: 200, newest: 1_000, ..GoldenConfig::default() };
    let mut stream = Seed::new(3).stream("test");
    let mut golden = Golden::default();
    for number in 0..1_000_u64 {
        let logit = 2.0 * stream.random::<f64>() - 2.0;
        let label = f32::from(u8::from(stream.random::<f64>() < plaudit_nn::loss::sigmoid(logit)));
        let place = Place { exposure: number, unit: number % 250, segment: 0 };
        golden.take_text(&Context::of_user("hello"), &logit.to_string(), place, label, &config);
    }
    assert!(golden.freeze(1_000, &["all".to_owned()], &config));
    golden
}

fn judge() -> Judge {
    Judge::new(ChallengerConfig::default(), Objective::new(Objective::LOVE))
}

fn names(refusals: &[Refusal]) -> Vec<&'static str> {
    refusals.iter().map(Refusal::as_str).collect()
}

#[test]
fn equal_and_slightly_worse_models_pass_and_surely_worse_ones_do_not() {
    let golden = golden();
    let against = |change: fn(f64) -> f64| names(&judge().refusals(&says(|z| z), &says(change), &golden, Seed::new(1)));
    assert!(against(|z| z).is_empty());
    assert!(against(|z| z + 0.05).is_empty(), "within the margin");
    assert_eq!(against(|z| -z - 2.0), ["log_loss", "calibration", "golden_auroc", "golden_loss"], "upside down");
    assert_eq!(
        against(|z| z + 1.5),
        ["log_loss", "calibration", "golden_loss"],
        "far too sure of love, in the right order"
    );
    assert_eq!(against(|_| f64::NAN), ["not_finite"]);
    let broken = Says(|z| z, vec![Objective::new(Objective::LOVE)], false);
    assert_eq!(names(&judge().refusals(&says(|z| z), &broken, &golden, Seed::new(1))), ["not_finite"]);
    let mut off =
        Judge::new(ChallengerConfig { enabled: false, ..ChallengerConfig::default() }, Objective::new("love"));
    assert!(off.refusals(&says(|z| z), &says(|z| -z), &golden, Seed::new(1)).is_empty());
}

#[test]
fn better_models_pass_and_reasons_say_by_how_much_the_worse_ones_are_worse() {
    let golden = golden();
    assert!(judge().refusals(&says(|z| -z), &says(|z| z), &golden, Seed::new(1)).is_empty());
    let refusals = judge().refusals(&says(|z| z), &says(|z| z + 1.5), &golden, Seed::new(1));
    let Refusal::LogLoss { figure, rows } = &refusals[0] else { panic!("{refusals:?}") };
    let (low, high) = figure.interval.unwrap();
    let rise = figure.challenger - figure.champion;
    assert!(*rows == 1_000 && low < rise && rise < high && low > 0.01, "{figure:?}");
    let text = refusals[0].to_string();
    assert!(text.starts_with("log-loss ") && text.contains("on 1000 newest held-out rows, worse by ["), "{text}");
    let again = judge().refusals(&says(|z| z), &says(|z| z + 1.5), &golden, Seed::new(1));
    assert_eq!(refusals, again, "the same seed gives the same interval");
}

/// The order of the rows is lost bit by bit: hundredths of the logit are dropped, then tenths, then all of it.
#[test]
fn getting_worse_by_a_little_each_time_is_seen_on_the_golden_slices() {
    let golden = golden();
    let steps: [fn(f64) -> f64; 6] = [
        |z| z,
        |z| (4.0 * z).round() / 4.0,
        |z| (2.0 * z).round() / 2.0,
        |z| (1.4 * z).round() / 1.4,
        |z| z.round(),
        |z| (0.5 * z).round() / 0.5,
    ];
    let mut judge = judge();
    judge.accepted(&says(steps[0]), &golden).unwrap();
    let refused = steps.windows(2).map(|pair| {
        let refused = names(&judge.refusals(&says(pair[0]), &says(pair[1]), &golden, Seed::new(1)));
        // Even if each had been let through, whatever was said.
        judge.accepted(&says(pair[1]), &golden).unwrap();
        refused
    });
    let refused: Vec<_> = refused.collect();
    assert!(refused[0].is_empty(), "{refused:?}");
    assert!(refused.last().unwrap().contains(&"golden_auroc"), "{refused:?}");
}

#[test]
fn too_few_rows_judge_nobody() {
    let config = GoldenConfig::default();
    let mut few = Golden::default();
    for number in 0..50 {
        let place = Place { exposure: number, unit: number, segment: 0 };
        few.take_text(&Context::of_user("hello"), "0.5", place, f32::from(u8::from(number.is_multiple_of(2))), &config);
    }
    assert!(judge().refusals(&says(|z| z), &says(|z| 9.0 - z), &few, Seed::new(1)).is_empty());
}
