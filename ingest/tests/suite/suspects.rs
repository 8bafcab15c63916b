//! Units that react as nobody does: found, held back, released; and honest ones left alone.

use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{Event, ManualClock, PolicyId, Seed, SignalKind, Timestamp, UnitId};
use plaudit_ingest::log::{MemoryLog, Topic};
use plaudit_ingest::quality::suspects::Score;
use plaudit_ingest::{Config, DeadLetter, Intake, Reason};
use rand::Rng as _;

use crate::support::{at, clock, exposure, signal, values};

const START: i64 = 1_000_000_000;

/// How a unit behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    /// Loves with a probability of its own, seconds later, one policy somewhat more.
    Honest { taste: f64 },
    /// Loves everything.
    LovesAll,
    /// Loves one in ten, at once.
    Hasty,
    /// Loves whatever one policy says, and nothing else.
    Partisan,
}

struct World {
    intake: Intake,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    rng: plaudit_event::Stream,
    shown: usize,
}

impl World {
    async fn new(config: &Config, seed: u64) -> Self {
        let clock = clock(START);
        let log = Arc::new(MemoryLog::new(clock.clone()));
        let intake = Intake::open(log.clone(), clock.clone(), config).await.unwrap();
        Self { intake, log, clock, rng: Seed::new(seed).stream("units"), shown: 0 }
    }

    /// One exposure and what the unit does about it; the reason why that was held back, if it was.
    async fn step(&mut self, unit: &str, who: Who) -> Option<Reason> {
        let now = START + 10 * self.shown as i64;
        self.clock.advance_to(at(now));
        let id = format!("e{}", self.shown);
        self.shown += 1;
        let is_new_policy = self.rng.random_bool(0.5);
        let mut shown = exposure(&id, now);
        shown.unit_id = UnitId::new(unit).unwrap();
        shown.policy_id = PolicyId::new(if is_new_policy { "gen-2" } else { "gen-1" }).unwrap();
        let (chance, delay) = match who {
            Who::Honest { taste } => {
                (if is_new_policy { taste } else { taste * 0.8 }, self.rng.random_range(400..60_000))
            }
            Who::LovesAll => (1.0, 5_000),
            Who::Hasty => (0.1, self.rng.random_range(0..200)),
            Who::Partisan => (f64::from(u8::from(is_new_policy)), 5_000),
        };
        let mut events = vec![Event::Exposure(shown)];
        if self.rng.random_bool(chance) {
            events.push(Event::Signal(signal(&format!("s-{id}"), &id, SignalKind::Love, now + delay)));
        }
        let outcomes = self.intake.events(events).await.unwrap();
        outcomes.last().and_then(|outcome| outcome.refusal()).map(|refusal| refusal.reason)
    }
}

fn watching() -> Config {
    let mut config = Config::default();
    config.quality.suspicion.enabled = true;
    config
}

/// A population of honest units whose tastes are as different as those of a Beta(1, 19): 5 % on average.
fn honest(rng: &mut plaudit_event::Stream) -> Who {
    let spread: f64 = rng.random();
    Who::Honest { taste: 1.0 - spread.powf(1.0 / 19.0) }
}

#[tokio::test]
async fn forgers_are_found_and_honest_units_are_left_alone() {
    let mut world = World::new(&watching(), 1).await;
    let mut rng = Seed::new(2).stream("tastes");
    let mut units: Vec<(String, Who)> =
        (0..1_000).map(|number| (format!("honest-{number}"), honest(&mut rng))).collect();
    for (name, who) in [("loves-all", Who::LovesAll), ("hasty", Who::Hasty), ("partisan", Who::Partisan)] {
        units.extend((0..20).map(|number| (format!("{name}-{number}"), who)));
    }
    let mut held = [0; 2];
    for round in 0..320 {
        for (name, who) in &units {
            // Honest units are seen less often than forgers.
            if matches!(who, Who::Honest { .. }) && round % 4 > 0 {
                continue;
            }
            if world.step(name, *who).await.is_some() {
                held[usize::from(matches!(who, Who::Honest { .. }))] += 1;
            }
        }
    }
    let suspects = world.intake.suspects();
    let found = |name: &str, score: Option<Score>| {
        let is_it = |unit: &str, by| unit.starts_with(name) && score.is_none_or(|score| score == by);
        suspects.iter().filter(|suspect| is_it(&suspect.unit, suspect.score)).count()
    };
    println!("of 20 that love all: {} found by share", found("loves-all", Some(Score::Share)));
    println!("of 20 hasty ones: {} found by fast", found("hasty", Some(Score::Fast)));
    println!(
        "of 20 partisans: {} found by share, {} by policy",
        found("partisan", Some(Score::Share)),
        found("partisan", Some(Score::Policy))
    );
    println!("of 1000 honest ones: {} taken for forgers", found("honest", None));
    println!("signals held back: {} of forgers, {} of honest units", held[0], held[1]);
    assert_eq!(found("loves-all", Some(Score::Share)), 20);
    assert!(found("hasty", Some(Score::Fast)) >= 18);
    assert_eq!(found("partisan", None), 20);
    // The bound is 0.001 per unit; 6 of 1000 would happen with a probability below 0.001.
    assert!(found("honest", None) <= 5);
}

#[tokio::test]
async fn a_partisan_is_found_by_its_policy_where_love_is_common() {
    let mut world = World::new(&watching(), 3).await;
    for _ in 0..120 {
        for number in 0..20 {
            world.step(&format!("honest-{number}"), Who::Honest { taste: 0.45 }).await;
        }
        world.step("partisan", Who::Partisan).await;
    }
    let suspects = world.intake.suspects();
    let found: Vec<(&str, Score)> = suspects.iter().map(|suspect| (suspect.unit.as_str(), suspect.score)).collect();
    assert_eq!(found, [("partisan", Score::Policy)]);
}

/// A population of 2,000 exposures without love, and a unit that is found.
async fn with_suspect(config: &Config) -> World {
    let mut world = World::new(config, 4).await;
    for number in 0..2_000 {
        world.step(&format!("honest-{number}"), Who::Honest { taste: 0.0 }).await;
    }
    for _ in 1..20 {
        assert_eq!(world.step("forger", Who::LovesAll).await, None);
    }
    // The exposure at which it is judged.
    world.step("forger", Who::LovesAll).await;
    world
}

#[tokio::test]
async fn what_a_suspect_sends_is_quarantined_until_the_cooldown_is_over() {
    let mut config = watching();
    config.quality.suspicion.cooldown = Duration::from_secs(60);
    let mut world = with_suspect(&config).await;
    assert_eq!(world.step("forger", Who::LovesAll).await, Some(Reason::UnitSuspect));
    let suspect = world.intake.suspects().remove(0);
    assert_eq!((suspect.unit.as_str(), suspect.score), ("forger", Score::Share));
    assert_eq!(suspect.until.millis_since(suspect.since), 60_000);
    let letters = values(&*world.log, Topic::DeadLetters).await;
    let letter: DeadLetter = serde_json::from_str(&letters[0]).unwrap();
    assert_eq!((letter.outcome.as_str(), letter.reason), ("quarantined", Reason::UnitSuspect));
    assert!(letter.detail.contains("score `share`"), "{}", letter.detail);

    world.clock.advance_to(suspect.until.plus_millis(-1));
    let raw = letter.raw.clone().into_bytes();
    let early = world.intake.envelopes(vec![raw.clone()]).await.unwrap();
    assert_eq!(early[0].refusal().unwrap().reason, Reason::UnitSuspect);
    world.clock.advance_to(suspect.until);
    assert_eq!(world.intake.envelopes(vec![raw]).await.unwrap()[0].as_str(), "accepted");
    assert_eq!(world.intake.suspects(), []);
}

#[tokio::test]
async fn a_suspect_is_one_after_a_restart_too_unless_it_is_allowed() {
    let world = with_suspect(&watching()).await;
    let before = world.intake.suspects();
    assert_eq!(before.len(), 1);
    let again = Intake::open(world.log.clone(), world.clock.clone(), &watching()).await.unwrap();
    assert_eq!(again.suspects(), before, "the log says it all");

    let mut config = watching();
    config.quality.allow = vec!["forger".to_owned()];
    let released = Intake::open(world.log.clone(), world.clock.clone(), &config).await.unwrap();
    assert_eq!(released.suspects(), []);
    let said = signal("s-last", "e2000", SignalKind::Love, world.clock_now().as_millis());
    assert_eq!(released.events(vec![Event::Signal(said)]).await.unwrap()[0].as_str(), "accepted");
}

#[tokio::test]
async fn without_enough_others_nobody_loves_too_much() {
    let mut config = watching();
    config.quality.suspicion.min_population = 2_001;
    let mut world = with_suspect(&config).await;
    assert_eq!(world.intake.suspects(), []);
    for _ in 0..20 {
        world.step("honest-0", Who::Honest { taste: 0.0 }).await;
    }
    for _ in 0..20 {
        world.step("forger", Who::LovesAll).await;
    }
    assert_eq!(world.intake.suspects().len(), 1, "it is judged again when its exposures have doubled");
}

impl World {
    fn clock_now(&self) -> Timestamp {
        plaudit_event::Clock::now(&*self.clock)
    }
}
