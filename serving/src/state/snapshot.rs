//! One consistent view of who serves whom. Replaced as a whole; requests keep the view they began with.

use std::collections::BTreeMap;
use std::sync::Arc;

use plaudit_event::{Assignment, ExperimentId, PolicyId, Timestamp, UnitId, VariantId};
use plaudit_experiment::assign::{Compile, Request, Run, StepConfig};
use plaudit_experiment::delivery::State;
use plaudit_ingest::Problem;
use plaudit_policy::generate::GeneratePolicy;
use serde_json::Value;

use crate::Error;
use crate::engine::Model;
use crate::experiment::{self, Definition, InForce, Plan, PolicyRef, RunningExperiment, SESSION, UNIT};
use crate::rollout::{Rollout, Treatment};

/// Names under which a request may ask for "whoever serves me".
const ROUTED_NAMES: [&str; 2] = ["plaudit", "default"];

/// A loaded policy.
pub(crate) struct Served {
    pub(crate) policy: GeneratePolicy,
    pub(crate) model: Arc<Model>,
}

impl Served {
    pub(crate) fn new(policy: GeneratePolicy) -> Self {
        let model = Model { policy_id: policy.id().clone(), decoder: Arc::clone(policy.decoder()) };
        Self { policy, model: Arc::new(model) }
    }

    pub(crate) const fn id(&self) -> &PolicyId {
        self.policy.id()
    }
}

/// Where a request goes.
pub(crate) struct Routed {
    pub(crate) served: Arc<Served>,
    /// The assignment that decided, when an experiment did.
    pub(crate) assignments: Vec<Assignment>,
}

impl Routed {
    /// The variant whose policy answers, when an experiment decided.
    pub(crate) fn variant(&self) -> Option<&VariantId> {
        self.assignments.first().map(|assignment| &assignment.variant)
    }
}

/// Who serves whom at one moment.
pub(crate) struct Snapshot {
    plan: Option<Plan>,
    roles: Roles,
}

/// Which loaded policy has which role.
#[derive(Default)]
struct Roles {
    champion: Option<PolicyId>,
    previous: Option<PolicyId>,
    treatment: Option<PolicyId>,
    /// The candidate whose answers are scored and not shown, for this share of the requests.
    shadow: Option<(PolicyId, f64)>,
    policies: BTreeMap<PolicyId, Arc<Served>>,
}

impl Roles {
    fn resolve(&self, reference: &PolicyRef) -> Option<&Arc<Served>> {
        let id = match reference {
            PolicyRef::Champion => self.champion.as_ref()?,
            PolicyRef::Treatment => self.treatment.as_ref()?,
            PolicyRef::Previous => self.previous.as_ref()?,
            PolicyRef::Fixed(name) => {
                let mut ids = self.policies.keys();
                ids.find(|id| id.as_str() == name)?
            }
        };
        self.policies.get(id)
    }
}

/// Whom a request comes from, as experiments see it.
pub(crate) struct Caller<'a> {
    pub(crate) unit: &'a UnitId,
    pub(crate) session: Option<&'a str>,
    /// What targeting may look at, a JSON object.
    pub(crate) attributes: &'a Value,
    pub(crate) now: Timestamp,
}

impl Snapshot {
    pub(crate) fn empty() -> Self {
        Self { plan: None, roles: Roles::default() }
    }

    /// The view that `rollout` and the experiments prescribe; `policies` holds everything [`needed`].
    ///
    /// # Errors
    /// Fails when the experiments cannot be compiled.
    pub(crate) fn new(
        in_force: &InForce,
        rollout: &Rollout,
        policies: BTreeMap<PolicyId, Arc<Served>>,
    ) -> Result<Self, Error> {
        let definition = &in_force.definition;
        // A candidate that is not live has no run, and so nobody gets it.
        let treatment = rollout.treatment().filter(|treatment| treatment.is_live());
        let run = treatment.map(|treatment| run(definition, treatment));
        let roles = Roles {
            champion: rollout.champion().cloned(),
            previous: rollout.previous().cloned(),
            treatment: treatment.map(|treatment| treatment.policy_id.clone()),
            shadow: rollout.treatment().and_then(shadowed),
            policies,
        };
        let is_served = |policy: &PolicyRef| roles.resolve(policy).is_some();
        let cohorts = in_force.allocations.begun();
        let compile = Compile { runs: run.as_slice(), cohorts: &cohorts, is_served: &is_served };
        let plan = Plan::compile(definition, &compile).map_err(|problems| {
            let ours =
                |problem: plaudit_experiment::assign::Problem| Problem { path: problem.path, message: problem.message };
            Error::Experiments(problems.into_iter().map(ours).collect())
        })?;
        Ok(Self { plan: Some(plan), roles })
    }

    /// The candidate whose answers are scored and not shown, with the share of the requests.
    pub(crate) fn shadow(&self) -> Option<(&Arc<Served>, f64)> {
        let (id, share) = self.roles.shadow.as_ref()?;
        Some((self.roles.policies.get(id)?, *share))
    }

    /// The experiments that enrol units now, each with the variants that somebody serves.
    pub(crate) fn running(&self) -> Vec<RunningExperiment> {
        self.plan.as_ref().map(experiment::running).unwrap_or_default()
    }

    /// Whether `run` enrols units now.
    pub(crate) fn enrols(&self, run: &ExperimentId) -> bool {
        let Some(plan) = &self.plan else { return false };
        let mut all = plan.layers().flat_map(|layer| plan.experiments(layer));
        all.any(|experiment| experiment.id() == run && experiment.can_enrol())
    }

    /// Whether somebody serves what a variant stands for.
    pub(crate) fn serves(&self, reference: &PolicyRef) -> bool {
        self.resolve(reference).is_some()
    }

    /// What assignment runs on; nothing before the experiments were read.
    pub(crate) const fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    pub(crate) const fn policies(&self) -> &BTreeMap<PolicyId, Arc<Served>> {
        &self.roles.policies
    }

    pub(crate) fn champion(&self) -> Option<&Arc<Served>> {
        self.resolve(&PolicyRef::Champion)
    }

    fn resolve(&self, reference: &PolicyRef) -> Option<&Arc<Served>> {
        self.roles.resolve(reference)
    }

    /// Finds who answers `caller`. Without a `model`, or with a routed name, experiments decide, and the
    /// assignment that did is recorded; where nobody serves the variant, the champion answers outside every
    /// experiment. A role or a policy id asks for that policy alone, outside every experiment.
    ///
    /// # Errors
    /// Fails on a name that does not exist, listing those that do, and when nobody serves yet.
    pub(crate) fn route(&self, caller: &Caller<'_>, model: Option<&str>) -> Result<Routed, Error> {
        match model.filter(|name| !ROUTED_NAMES.contains(name)) {
            Some(name) => self.named(name),
            None => self.assigned(caller),
        }
    }

    /// Who answers callers that no experiment may count.
    pub(crate) fn unassigned(&self) -> Result<Routed, Error> {
        self.named("champion")
    }

    fn named(&self, name: &str) -> Result<Routed, Error> {
        let reference = PolicyRef::from(name.to_owned());
        if let Some(served) = self.resolve(&reference) {
            return Ok(Routed { served: Arc::clone(served), assignments: Vec::new() });
        }
        if reference == PolicyRef::Champion {
            return Err(no_champion());
        }
        Err(Error::NotFound { what: "model", name: name.to_owned(), known: self.names() })
    }

    fn assigned(&self, caller: &Caller<'_>) -> Result<Routed, Error> {
        let units = [(UNIT, caller.unit.as_str()), (SESSION, caller.session.unwrap_or(""))];
        let request = Request { units: &units, attributes: caller.attributes, now: caller.now };
        if let Some(plan) = &self.plan {
            for decision in plan.assign(request) {
                let Some(variant) = decision.variant() else { continue };
                if let Some(served) = self.resolve(&variant.policy) {
                    let assignments = experiment::assignment(plan, &decision).into_iter().collect();
                    return Ok(Routed { served: Arc::clone(served), assignments });
                }
            }
        }
        let champion = self.champion().ok_or_else(no_champion)?;
        Ok(Routed { served: Arc::clone(champion), assignments: Vec::new() })
    }

    /// Every name that a request may ask for.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = ROUTED_NAMES.iter().map(ToString::to_string).collect();
        for role in [PolicyRef::Champion, PolicyRef::Treatment, PolicyRef::Previous] {
            if self.resolve(&role).is_some() {
                names.push(role.into());
            }
        }
        names.extend(self.roles.policies.keys().map(ToString::to_string));
        names
    }
}

fn run(definition: &Definition, treatment: &Treatment) -> Run {
    let capacity = definition.experiment(&treatment.template).map_or(1.0, experiment::ExperimentConfig::capacity);
    let steps = treatment.steps.iter().map(|step| StepConfig { share: step.share * capacity, ..*step });
    Run { template: treatment.template.clone(), id: treatment.experiment.clone(), ramp: steps.collect() }
}

fn shadowed(treatment: &Treatment) -> Option<(PolicyId, f64)> {
    let delivery = treatment.delivery.as_deref().filter(|delivery| *delivery.state() == State::Shadow)?;
    Some((treatment.policy_id.clone(), delivery.config().shadow.share))
}

/// The policies without which `rollout` and the experiments cannot be served.
pub(crate) fn needed(definition: &Definition, rollout: &Rollout) -> Result<Vec<PolicyId>, Error> {
    let treatment = rollout.treatment().map(|treatment| &treatment.policy_id);
    let roles = [rollout.champion(), treatment];
    let mut ids: Vec<PolicyId> = roles.into_iter().flatten().cloned().collect();
    // A killed experiment never serves again, and its policies may be gone.
    for experiment in definition.experiments.iter().filter(|experiment| !experiment.killed) {
        for variant in &experiment.variants {
            if let PolicyRef::Fixed(name) = &variant.policy {
                let id = PolicyId::new(name.clone());
                ids.push(id.map_err(|error| Error::invalid("policy", error.to_string()))?);
            }
        }
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

fn no_champion() -> Error {
    Error::unavailable("no policy serves yet: register one and promote it")
}
