use plaudit_event::PolicyId;
use proptest::prelude::*;

use super::support::*;
use crate::delivery::*;

/// Cuts off the steps that have not begun; impossible observations keep them.
fn possible(event: &Event, delivery: &Delivery) -> Event {
    let mut event = event.clone();
    if let Event::Evaluate(seen) = &mut event
        && !seen.phases.iter().any(|phase| phase.arms.control.metrics["love"].numerator.is_nan())
    {
        seen.phases.truncate(delivery.state().live_step().map_or(0, |step| step + 1));
    }
    event
}

/// Events of any kind in any order, with observations that pass, fail, doubt and lie.
fn event() -> impl Strategy<Value = (Event, i64)> {
    let sizes = prop::collection::vec(20_000_u64..150_000, 5);
    let flag = prop::bool::weighted;
    let seen = (sizes, 0.04_f64..0.08, flag(0.05), flag(0.15)).prop_map(|(sizes, love, is_impossible, is_tripped)| {
        let config = DeliveryConfig::default();
        let mut seen = equal(&sizes, &config);
        for phase in &mut seen.phases {
            let units = phase.arms.treatment.units;
            phase.arms.treatment.metrics.insert("love".to_owned(), binary(units, love));
            if is_tripped {
                phase.arms.treatment.metrics.insert("repetition".to_owned(), mean(units, 0.2, 0.05));
            }
            if is_impossible {
                phase.arms.control.metrics.insert("love".to_owned(), mean(units, f64::NAN, 1.0));
            }
        }
        Event::Evaluate(seen)
    });
    let verdict = prop_oneof![10 => Just(Verdict::Pass), 1 => Just(Verdict::Inconclusive), 1 => Just(Verdict::Fail)];
    let gate =
        verdict.prop_map(|verdict| Event::Gate(Gate { verdict, reason: "the gate".to_owned(), evidence: Vec::new() }));
    let by = || "ann".to_owned();
    let event = prop_oneof![
        40 => seen,
        3 => gate,
        1 => Just(Event::NoData { reason: "down".to_owned() }),
        10 => Just(Event::Approve { by: by() }),
        1 => Just(Event::Stop { by: by(), reason: "no".to_owned() }),
    ];
    (event, -DAY..15 * DAY)
}

fn config() -> impl Strategy<Value = DeliveryConfig> {
    (any::<[bool; 4]>(), 0_u32..3, prop::option::of(0_u32..3)).prop_map(|(auto, limit, doubts)| {
        let [shadow, canary, ramp, promote] = auto;
        let mut config = DeliveryConfig { auto: Auto { shadow, canary, ramp, promote }, ..DeliveryConfig::default() };
        config.error_limit = limit;
        config.rules[3].failure_limit = limit;
        config.canary.inconclusive_limit = doubts;
        config
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_restart_at_any_event_changes_no_decision(
        config in config(),
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut delivery = Delivery::new(PolicyId::new("p").unwrap(), config, at(0)).unwrap();
        let mut restarted = delivery.clone();
        let mut now = 0;
        let mut last = at(0);
        for (event, step) in &events {
            now += step;
            let text = serde_json::to_string(&restarted).unwrap();
            restarted = serde_json::from_str(&text).unwrap();
            let before = delivery.clone();
            let event = &possible(event, &delivery);
            let decision = delivery.apply(event, at(now));
            prop_assert_eq!(&decision, &restarted.apply(event, at(now)));
            prop_assert_eq!(&delivery, &restarted);
            let Ok(decision) = decision else {
                prop_assert_eq!(&delivery, &before);
                continue;
            };
            prop_assert!(decision.from == decision.to || decision.from.leads_to(&decision.to), "{:?}", decision);
            prop_assert_eq!(&decision.from, before.state());
            prop_assert_eq!(&decision.to, delivery.state());
            prop_assert!(decision.at >= last);
            last = decision.at;
            let is_told = decision.from != decision.to || (before.held().is_none() && delivery.held().is_some());
            prop_assert_eq!(is_told, decision.notice.is_some());
            prop_assert!(!decision.explain().is_empty());
            // Nothing that JSON cannot carry: what is logged can be read back.
            let text = serde_json::to_string(&decision).unwrap();
            prop_assert!(serde_json::from_str::<Decision>(&text).is_ok());
            let Shares { treatment, control, rest } = delivery.shares();
            prop_assert!((treatment + control + rest - 1.0).abs() < 1e-12);
        }
    }
}
