//! One simulated world: its users, the log of the reference policy, what was learned from it, and the experiments.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use plaudit_event::{Context, Example, ExposureId, Label, Objective, PolicyId, Seed, Surface, Timestamp};
use plaudit_experiment::stats::RatioMoments;
use plaudit_policy::gate::{Interval, paired_difference};
use plaudit_reward_model::{Config, HashModel, Row, Trainer};
use plaudit_simulator::users::{Crowd, Visit};
use plaudit_simulator::{Scenario, language};
use serde_json::Map;

use super::holdout::{Holdout, Judged};
use super::policies::Tilt;
use super::report::Comparison;

/// Visits of one experiment begin this far behind those of the one before.
const STRIDE: u64 = 1 << 32;
/// Examples taught at a time.
const BATCH: u64 = 10_000;
/// One further exposure is judged on for so many that are learned from.
const HOLDOUT_SHARE: u64 = 3;
/// Resamples of the offline interval, and its one-sided confidence.
const BOOTSTRAP: (usize, f64) = (200, 0.975);
/// The 97.5 % quantile of the standard normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// A world with its reward model.
pub(super) struct World {
    seed: Seed,
    crowd: Crowd,
    model: Arc<HashModel>,
    holdout: Holdout,
    prompts: Vec<language::Prompt>,
    /// P\[love\] of the reference's answer to each prompt.
    base: Vec<f64>,
}

impl World {
    /// Learns from `examples` exposures of the reference policy, and draws `prompts` fixed prompts.
    pub(super) fn learn(config: Config, seed: Seed, examples: u64, prompts: u64) -> anyhow::Result<Self> {
        let mut scenario = Scenario::built_in("demo")?;
        scenario.seed = seed.value();
        // The users who are asked later are of the same kind.
        scenario.drift.horizon = 0;
        let crowd = Crowd::new(scenario);
        let mut config = config;
        // Probabilities do not depend on it; so both scores are measured.
        config.length.debias = true;
        let mut trainer = Trainer::new(config, seed.derive("reward", 0))?;
        for start in (0..examples).step_by(usize::try_from(BATCH)?) {
            let batch: anyhow::Result<Vec<Example>> =
                (start..examples.min(start + BATCH)).map(|index| logged(&crowd, seed, index)).collect();
            trainer.step(&batch?);
        }
        let mix = crowd.scenario().prompts;
        let mut rng = seed.stream("fixed prompts");
        let prompts = (0..prompts).map(|_| crowd.oracle().world().prompt(&mix, &mut rng)).collect();
        let model = trainer.snapshot();
        let later = examples..examples + examples.div_ceil(HOLDOUT_SHARE);
        let judged: anyhow::Result<Option<Vec<Judged>>> =
            later.map(|index| judge(&crowd, &model, &logged(&crowd, seed, index)?, index)).collect();
        let holdout = judged?.and_then(|judged| Holdout::measure(&judged, seed.derive("holdout", 0)));
        let holdout = holdout.context("the log has no love to learn from; raise `--examples`")?;
        let mut world = Self { seed, crowd, model, holdout, prompts, base: Vec::new() };
        world.base = world.answers(&Tilt::REFERENCE)?;
        Ok(world)
    }

    /// How good P\[love\] is on exposures after those it learned from.
    pub(super) const fn holdout(&self) -> Holdout {
        self.holdout
    }

    /// Scores `tilt` offline and tries it on users, about `impressions` for it and as many for the reference.
    pub(super) fn compare(&self, tilt: &Tilt, index: u64, impressions: u64) -> anyhow::Result<Comparison> {
        let own = self.answers(tilt)?;
        let offline = paired_difference(&own, &self.base, BOOTSTRAP, self.seed.derive("bootstrap", index));
        Ok(Comparison { name: tilt.name, offline, online: self.experiment(tilt, index, impressions)? })
    }

    /// P\[love\] of what `tilt` answers to each fixed prompt. Equal draws for all policies, so that only what they prefer
    /// differs.
    fn answers(&self, tilt: &Tilt) -> anyhow::Result<Vec<f64>> {
        let world = self.crowd.oracle().world();
        let one = |(index, prompt): (u64, &language::Prompt)| {
            let mut rng = self.seed.derive("offline", index).stream("answer");
            let style = tilt.choose(&mut rng);
            let response = world.response(prompt, style, &mut rng);
            let context = Context::of_user(prompt.text.as_str());
            self.model.score_row(&Row { context: &context, response: &response }).prob(Objective::LOVE)
        };
        let all: Option<Vec<f64>> = (0..).zip(&self.prompts).map(one).collect();
        all.context("the log has no love to learn from; raise `--examples`")
    }

    /// Love per exposure under `tilt` minus that under the reference, with units split between the two.
    fn experiment(&self, tilt: &Tilt, index: u64, impressions: u64) -> anyhow::Result<Interval> {
        let split = self.seed.derive("experiment", index);
        // Per unit: whether it sees `tilt`, its loves, its exposures.
        let mut units: HashMap<u32, (bool, f64, f64)> = HashMap::new();
        for number in 0..2 * impressions {
            let visit = self.crowd.visit(STRIDE * (index + 1) + number);
            let is_treated = split.derive("unit", visit.unit.into()).value() & 1 == 1;
            let arm = if is_treated { tilt } else { &Tilt::REFERENCE };
            let reaction = self.crowd.react(&visit, &respond(&self.crowd, self.seed, &visit, arm));
            let unit = units.entry(visit.unit).or_insert((is_treated, 0.0, 0.0));
            unit.1 += f64::from(u8::from(reaction.loved));
            unit.2 += 1.0;
        }
        let mut arms = [RatioMoments::default(), RatioMoments::default()];
        for (is_treated, loves, exposures) in units.into_values() {
            arms[usize::from(is_treated)].add((loves, exposures));
        }
        let [control, treatment] = arms.map(|moments| moments.estimate());
        let (control, treatment) = control.zip(treatment).context("an arm has no units; raise `--impressions`")?;
        let variance = control.squared_error() + treatment.squared_error();
        let (value, width) = (treatment.mean - control.mean, Z_95 * variance.sqrt());
        Ok(Interval { value, lower: value - width, upper: value + width })
    }
}

/// What the model and the truth say of `example`, which is exposure number `index`; nothing before love was learned.
fn judge(crowd: &Crowd, model: &HashModel, example: &Example, index: u64) -> anyhow::Result<Option<Judged>> {
    let scores = model.score_row(&Row { context: &example.context, response: &example.response });
    let (Some(p), Some(reward)) = (scores.prob(Objective::LOVE), scores.reward(Objective::LOVE)) else {
        return Ok(None);
    };
    let love = crowd.oracle().judge(&crowd.visit(index).prompt, &example.response).p_love();
    // Some love by mistake.
    let truth = love + (1.0 - love) * crowd.scenario().faults.noise;
    let label = example.label(Objective::LOVE).map_or(0.0, |label| f64::from(label.value));
    Ok(Some(Judged { p, reward, truth, label, words: example.response.split_whitespace().count() as f64 }))
}

/// What `tilt` answers in `visit`.
fn respond(crowd: &Crowd, seed: Seed, visit: &Visit, tilt: &Tilt) -> String {
    let mut rng = seed.derive("online", visit.index).stream("answer");
    let style = tilt.choose(&mut rng);
    crowd.oracle().world().response(&visit.prompt, style, &mut rng)
}

/// Exposure number `index` of the log, with the labels that attribution would give it.
fn logged(crowd: &Crowd, seed: Seed, index: u64) -> anyhow::Result<Example> {
    let visit = crowd.visit(index);
    let response = respond(crowd, seed, &visit, &Tilt::REFERENCE);
    let reaction = crowd.react(&visit, &response);
    let label = |is_positive: bool| Label { value: f32::from(u8::from(is_positive)), weight: 1.0 };
    let mut labels = BTreeMap::from([(Objective::new(Objective::LOVE), label(reaction.loved))]);
    if let Some(helpful) = reaction.helpful {
        labels.insert(Objective::new(Objective::HELPFULNESS), label(helpful));
    }
    let ts = Timestamp::from_millis(i64::try_from(1_600_000_000_000 + 1_000 * index)?);
    Ok(Example {
        exposure_id: ExposureId::new(format!("x{index}"))?,
        revision: 0,
        unit_id: crowd.unit_id(visit.unit).clone(),
        surface: Surface::Chat,
        context: Context::of_user(visit.prompt.text.as_str()),
        response,
        item_id: "response".to_owned(),
        position: 0,
        policy_id: PolicyId::new("reference")?,
        propensity: None,
        assignments: Vec::new(),
        attributes: Map::new(),
        labels,
        replaced: Default::default(),
        remarks: Default::default(),
        exposure_ts: ts,
        ts,
    })
}
