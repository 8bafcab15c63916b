//! Against river 0.26.1 (`drift.ADWIN`, `drift.PageHinkley`) on streams of zeros and ones, and on changes made here.

use plaudit_event::Seed;
use rand::Rng as _;

use super::adwin::Adwin;
use super::page_hinkley::PageHinkley;
use super::*;

/// 2,000 values, four in a digit: 1 with probability 0.2, from the 1,001st on 0.5.
const JUMP: &str = "\
     870603c80408020001000024400025280400401430404681d180840012242a0c80201400084b800004168040c0a670040045\
     09500000c09012020000842800224000040910120580b0c8068221250010010a400002000006220404200000405100840e81\
     480e21210815110282245841c0041008008020805f31102404891e3092cd2cde4e08cce099a409dc732f097eff07507d156a\
     5fd955d967c155891ff003a3fae17a3459e505ca3b46ec24037459300bf4446ad40bf9fc59bd04e4cad1d6abd650bf91b2aa\
     9731ca283d6faa6747f01d380724c77ce040f66ea8c6afcb4a95a8fd61be958bc2569245004852b1dd374b9d90b4867a5819";
/// The same, with one probability from beginning to end.
const STILL: &str = "\
     0430193f0a1982010744c8009870441060610400a298294b88008501628c6210a002a0111020ab60310530034d874124e08c\
     045d189180500005214031c0800c0001a5158023c161421e4280ca20c02b008d092224985a103204a0c9071018d004351760\
     6314300692758a940405a180871a10043a0cb048a434bcb044041a040004d4544474b8728081c25480120d27995558e22819\
     080188a28550288400840a19489318823223008220042804a0039148a009560100022a88913500c8401e86914442a84343b1\
     1b898000081d8944286641bcf420540841101c813a44450a02301281e50868200000c0a00825568b885498086062022022a0";

fn values(digits: &str) -> Vec<f64> {
    let digit = |digit: char| digit.to_digit(16).expect("hexadecimal");
    digits.chars().flat_map(|at| (0..4).rev().map(move |bit| f64::from(digit(at) >> bit & 1))).collect()
}

/// Where changes are found, counted from 0.
fn found(digits: &str, mut update: impl FnMut(f64) -> bool) -> Vec<usize> {
    let found = values(digits).into_iter().enumerate().filter(|(_, value)| update(*value));
    found.map(|(at, _)| at).collect()
}

#[test]
fn adwin_finds_what_the_reference_finds_and_knows_the_mean_since() {
    for (digits, delta, changes, mean, width) in [
        (JUMP, 0.002, &[1_119][..], 0.497_727_272_727_272_74, 880),
        (JUMP, 0.05, &[1_055], 0.491_525_423_728_813_6, 944),
        (STILL, 0.002, &[], 0.291, 2_000),
        (STILL, 0.05, &[], 0.291, 2_000),
    ] {
        let mut adwin = Adwin::default();
        assert_eq!(found(digits, |value| adwin.update(value, delta)), changes, "delta {delta}");
        assert_eq!(adwin.width(), width);
        assert!((adwin.mean() - mean).abs() < 1e-12, "{} is not {mean}", adwin.mean());
    }
}

#[test]
fn page_hinkley_finds_what_the_reference_finds() {
    for (digits, threshold, changes) in
        [(JUMP, 50.0, &[1_155][..]), (JUMP, 20.0, &[1_044]), (STILL, 50.0, &[]), (STILL, 20.0, &[1_169])]
    {
        let mut test = PageHinkley::default();
        assert_eq!(found(digits, |value| test.update(value, threshold)), changes, "threshold {threshold}");
    }
}

/// Monitors after `n` predictions of a model that is right about a rate of 0.1, which then is `rate`.
fn watched(n: u32, rate: f64) -> Monitors {
    let (mut monitors, mut stream) = (Monitors::default(), Seed::new(5).stream("drift"));
    for number in 0..n {
        let rate = if number < n / 2 { 0.1 } else { rate };
        let label = f64::from(u8::from(stream.random_bool(rate)));
        monitors.update(0.1, label, 20 + number % 7);
    }
    monitors
}

fn told(monitors: &Monitors, statistic: Statistic) -> Drift {
    monitors.told().find(|(told, _)| *told == statistic).expect("every statistic").1
}

#[test]
fn a_change_of_the_rate_shows_in_label_and_error_and_nowhere_else() {
    let monitors = watched(20_000, 0.3);
    for (statistic, drift) in monitors.told() {
        let is_hit = matches!(statistic, Statistic::Label | Statistic::Error);
        assert_eq!(drift.changes > 0, is_hit, "{statistic:?}: {drift:?}");
    }
    let label = told(&monitors, Statistic::Label);
    assert!((label.mean - 0.3).abs() < 0.03 && label.since < 10_000, "only what came since: {label:?}");
    assert!(label.page_hinkley_changes > 0, "{label:?}");
    assert_eq!(told(&monitors, Statistic::Length).since, 20_000);
}

#[test]
fn nothing_is_told_where_nothing_changes() {
    for (statistic, drift) in watched(20_000, 0.1).told() {
        assert_eq!((drift.changes, drift.since), (0, 20_000), "{statistic:?}");
    }
}

#[test]
fn detectors_go_on_from_their_numbers_as_if_nothing_had_happened() {
    let mut watched = watched(3_001, 0.4);
    let columns: Vec<_> = watched.to_columns().collect();
    let read = |statistic| columns.iter().find(|(of, ..)| *of == statistic).map(|(_, c, s)| (c.clone(), s.clone()));
    let mut again = Monitors::of_columns(read).expect("what was written");
    assert_eq!(again, watched);
    for number in 0..500 {
        let label = f64::from(u8::from(number % 3 == 0));
        assert_eq!(again.update(0.4, label, number), watched.update(0.4, label, number));
    }
    assert_eq!(again, watched);
    for broken in [0, 1, 3] {
        let cut = |statistic| {
            let (mut counts, sums) = read(statistic)?;
            counts.truncate(broken);
            Some((counts, sums))
        };
        assert!(Monitors::of_columns(cut).is_none(), "cut after {broken}");
    }
}
