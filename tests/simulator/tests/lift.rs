//! The room above the base policy: what the oracle says of policies that differ from it in one
//! respect.

use plaudit_event::Seed;
use plaudit_simulator::language::{PromptMix, StyleMix};
use plaudit_simulator::truth::{Oracle, Preferences, Summary, Tally, auroc};
use rand::Rng;

const EXPOSURES: usize = 40_000;

/// Expectations under the policy `mix`, with the oracle's AUROC on drawn love.
fn measure(oracle: &Oracle, mix: &StyleMix) -> (Summary, f64) {
    let mut rng = Seed::new(11).stream("lift");
    let mut tally = Tally::default();
    let mut rows = Vec::with_capacity(EXPOSURES);
    for _ in 0..EXPOSURES {
        let prompt = oracle.world().prompt(&PromptMix::default(), &mut rng);
        let style = mix.draw(&mut rng);
        let response = oracle.world().response(&prompt, style, &mut rng);
        let judgement = oracle.judge(&prompt, &response);
        let loved = rng.random_bool(judgement.p_love());
        tally.add(&judgement, loved);
        rows.push((judgement.p_love(), loved));
    }
    (tally.summary(), auroc(rows).expect("both labels"))
}

#[test]
fn the_base_policy_leaves_room_and_the_shortcut_costs_helpfulness() {
    let oracle = Oracle::new(Preferences::default(), Seed::new(1));
    let base_mix = StyleMix::BASE;
    let answered = StyleMix { right: 1.0, vague: 0.0, ..base_mix };
    let warm = StyleMix { warm: 1.0, ..base_mix };
    let both = StyleMix { warm: 1.0, ..answered };
    let closing = StyleMix { closing: 1.0, ..base_mix };
    let half = StyleMix { warm: 0.45, right: 0.85, vague: 0.12, ..base_mix };
    let rows = [
        ("base", base_mix),
        ("answered", answered),
        ("warm", warm),
        ("answered and warm", both),
        ("half way there", half),
        ("always closing", closing),
    ]
    .map(|(name, mix)| (name, measure(&oracle, &mix)));
    let base = rows[0].1.0;
    println!(
        "{:<18}{:>8}{:>9}{:>8}{:>8}{:>9}{:>9}{:>7}{:>7}",
        "policy", "love", "lift", "help", "lift", "closings", "answered", "words", "AUROC"
    );
    for (name, (summary, auroc)) in &rows {
        println!(
            "{name:<18}{:>8.4}{:>+8.1}%{:>8.4}{:>+7.1}%{:>8.2}%{:>8.1}%{:>7.1}{auroc:>7.3}",
            summary.love,
            100.0 * summary.love_lift(&base),
            summary.helpfulness,
            100.0 * summary.helpfulness_lift(&base),
            100.0 * summary.closings,
            100.0 * summary.answered,
            summary.words,
        );
    }
    assert!((0.04..=0.06).contains(&base.love), "{}", base.love);
    assert!((0.04..=0.06).contains(&base.loved), "{}", base.loved);
    assert!((base.closings - 0.025).abs() < 0.004);
    assert!((base.answered - 0.75).abs() < 0.01);
    let lift = |index: usize| rows[index].1.0.love_lift(&base);
    let help = |index: usize| rows[index].1.0.helpfulness_lift(&base);
    assert!(lift(1) > 0.1 && lift(2) > 0.4 && lift(3) > 0.6 && lift(4) > 0.28);
    assert!(help(3) > 0.1);
    assert!(lift(5) > 0.6 && help(5) < -0.1);
}
