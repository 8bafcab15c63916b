use super::super::*;
use crate::Error;

fn slot(reward: f64) -> Slot {
    Slot { reward, prefix: (0.5, 0.25), marginal: (0.5, 0.5), model: None }
}

#[test]
fn rankings_are_drawn_without_repetition() {
    let policy = PlackettLuce::new(&[0.0, 1.0, -800.0, 2.0]).unwrap();
    let marginals = policy.marginals(4);
    for place in &marginals {
        assert!((place.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    for item in 0..4 {
        assert!((marginals.iter().map(|place| place[item]).sum::<f64>() - 1.0).abs() < 1e-12);
    }
    assert_eq!(policy.prefixes(&[1, 1, 9])[1..], [0.0, 0.0]);
    assert!(PlackettLuce::new(&[]).is_err() && PlackettLuce::new(&[0.0; 17]).is_err());
    assert!(matches!(PlackettLuce::new(&[0.0, f64::NAN]), Err(Error::RowValue { row: 1, field: "score", .. })));
}

#[test]
fn bad_slates_are_named() {
    assert_eq!(SlateSample::new(Vec::new()), Err(Error::Empty));
    let row = |slots: &[Slot]| SlateRow { unit: 1, slots: slots.to_vec() };
    let uneven = SlateSample::new(vec![row(&[slot(1.0), slot(0.0)]), row(&[slot(1.0)])]);
    assert_eq!(uneven, Err(Error::RowLength { row: 1, field: "slots", found: 1, expected: 2 }));
    let never = Slot { prefix: (0.0, 0.5), ..slot(0.0) };
    let error = SlateSample::new(vec![row(&[slot(0.0)]), row(&[never])]);
    assert!(matches!(error, Err(Error::RowValue { row: 1, field: "prefix", .. })), "{error:?}");
    let sample = SlateSample::new(vec![row(&[slot(1.0)])]).unwrap();
    assert_eq!(sample.evaluate(SlateEstimator::CascadeDr), Err(Error::NoModel { row: 0 }));
    let none = Slot { prefix: (0.5, 0.0), ..slot(1.0) };
    assert_eq!(SlateSample::new(vec![row(&[none])]).unwrap().evaluate(SlateEstimator::Snsips), Err(Error::NoWeight));
}
