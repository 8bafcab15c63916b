//! A card as text.

use std::fmt::{Result, Write};

use plaudit_event::Timestamp;

use super::{Card, LENGTH_ALARM, ObjectiveCard};
use crate::Statistic;

pub(super) fn write(card: &Card) -> String {
    let mut text = String::new();
    let mut all = || -> Result {
        write_head(&mut text, card)?;
        write_quality(&mut text, card)?;
        write_drift(&mut text, card)?;
        writeln!(text, "## Forgetting\n\n{}", super::forgetting_table(&card.golden))?;
        writeln!(text, "## Segments easily confused\n\n{}", super::confusable_table(&card.confusable))?;
        write_challengers(&mut text, card)?;
        write_principles(&mut text, card)?;
        write_training(&mut text, card)?;
        text.write_str(USE)
    };
    all().expect("a string takes everything");
    text
}

fn write_head(text: &mut String, card: &Card) -> Result {
    let data = &card.data;
    writeln!(text, "# Reward model `{}`\n", card.id)?;
    writeln!(text, "| | |\n|---|---|")?;
    writeln!(text, "| predicts | {} |", list(card.objectives.keys().map(|objective| cell(&objective.0))))?;
    writeln!(text, "| examples | {} |", data.examples)?;
    if data.pairs > 0 {
        writeln!(text, "| pairs | {} |", data.pairs)?;
    }
    writeln!(text, "| log position | {} (first record not taken) |", data.log_position)?;
    let closed = data.closed_through.map_or_else(|| "none yet".to_owned(), time);
    writeln!(text, "| windows closed through | {closed} |")?;
    let encoder = &card.config.encoder;
    let kind = serde_json::to_value(encoder.kind).ok();
    let kind = kind.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unknown");
    writeln!(text, "| encoder | {kind}, version {}, {} buckets |", card.encoder_version, encoder.buckets)?;
    writeln!(text, "| configuration | `{}` |", card.config_hash)?;
    writeln!(text, "| seed | {} |", card.seed.value())?;
    writeln!(text, "| content | `{}` |", card.content)?;
    let ancestor = |ancestor: &super::Ancestor| match ancestor.log_position {
        Some(position) => format!("`{}` (at {position})", cell(&ancestor.id)),
        None => format!("`{}` (not kept)", cell(&ancestor.id)),
    };
    let lineage = list(card.lineage.iter().map(ancestor));
    writeln!(text, "| trained on from | {} |\n", if lineage.is_empty() { "nothing: the first" } else { &lineage })
}

fn write_quality(text: &mut String, card: &Card) -> Result {
    writeln!(text, "## Quality\n")?;
    writeln!(text, "Of the newest predictions, each made before its example was trained on.\n")?;
    writeln!(
        text,
        "| objective | n | base rate | AUROC | log-loss (base rate's) | ECE | Brier | length correlation |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|")?;
    for (objective, card) in &card.objectives {
        write!(text, "| {} ", cell(&objective.0))?;
        let Some(quality) = card.quality else {
            writeln!(text, "| 0 | – | – | – | – | – | – |")?;
            continue;
        };
        write!(text, "| {} | {:.4} | {} ", quality.n, quality.base_rate, number(quality.auroc))?;
        write!(text, "| {:.4} ({:.4}) | {:.4} ", quality.log_loss, quality.prior_log_loss, quality.ece)?;
        writeln!(text, "| {:.4} | {} |", quality.brier, number(quality.length_correlation))?;
    }
    for objective in card.length_alarms() {
        writeln!(
            text,
            "\n**Alarm:** predictions of {} follow the length of responses beyond ±{LENGTH_ALARM}; a policy that is \
             optimised against them may learn to write long instead of well.",
            cell(&objective.0)
        )?;
    }
    writeln!(text)
}

fn write_drift(text: &mut String, card: &Card) -> Result {
    writeln!(text, "## Drift\n")?;
    writeln!(text, "| objective | statistic | changes (Page-Hinkley) | predictions since | mean since |")?;
    writeln!(text, "|---|---|---|---|---|")?;
    for (objective, ObjectiveCard { drift, .. }) in &card.objectives {
        for (statistic, drift) in drift {
            let changes = format!("{} ({})", drift.changes, drift.page_hinkley_changes);
            let statistic = Statistic::as_str(*statistic);
            writeln!(
                text,
                "| {} | {statistic} | {changes} | {} | {:.4} |",
                cell(&objective.0),
                drift.since,
                drift.mean
            )?;
        }
    }
    writeln!(text)
}

fn write_challengers(text: &mut String, card: &Card) -> Result {
    let told = &card.challengers;
    writeln!(text, "## Champion and challengers\n")?;
    if told.accepted + told.refused == 0 {
        return writeln!(text, "No record of models that were to serve lies beside this checkpoint.\n");
    }
    writeln!(
        text,
        "{} models were let through, {} refused, {} of them since the last that passed.\n",
        told.accepted, told.refused, told.in_a_row
    )?;
    let Some(last) = &told.last else { return Ok(()) };
    let (at, examples, champion) = (time(last.at), last.examples, last.champion_examples);
    writeln!(text, "The newest refusal, {at}, of a model of {examples} examples against one of {champion}:\n")?;
    for reason in &last.reasons {
        writeln!(text, "- {reason}")?;
    }
    writeln!(text)
}

/// Nothing where none was learned.
fn write_principles(text: &mut String, card: &Card) -> Result {
    if card.principles.is_empty() {
        return Ok(());
    }
    writeln!(text, "## Principles\n\nReasons that several units gave and agree on.\n")?;
    writeln!(text, "| reason | units | share that liked the response |\n|---|---|---|")?;
    for principle in &card.principles {
        let said = if principle.text.is_empty() { "(erased)".to_owned() } else { cell(&principle.text) };
        writeln!(text, "| {said} | {} | {} |", principle.units, number(principle.praise))?;
    }
    writeln!(text)
}

fn write_training(text: &mut String, card: &Card) -> Result {
    let (replay, learner) = (&card.config.replay, &card.config.learner);
    writeln!(text, "## Training\n")?;
    writeln!(
        text,
        "One example at a time in the order of the log: predict, record, learn, then replay {} remembered ones per \
         objective, of at most {} per class (strategy {:?}). Rates α = {}, β = {}; penalties λ₁ = {}, λ₂ = {}.\n",
        replay.per_example, replay.capacity, replay.strategy, learner.alpha, learner.beta, learner.l1, learner.l2
    )?;
    writeln!(
        text,
        "- Model: a linear head, a term that crosses request and response with {} numbers per word (α = {}, λ₂ = {}), \
         and {} further linear heads that tell the uncertainty.",
        learner.factors, learner.factor_alpha, learner.factor_l2, learner.ensemble
    )?;
    if card.data.pairs > 0 {
        let pairs = &card.config.pairs;
        writeln!(
            text,
            "- Pairs: the difference of two logits (Bradley-Terry); of at most {} remembered ones, {} are learned again \
             after each pair and {} after each example.",
            pairs.capacity, pairs.per_pair, pairs.per_example
        )?;
    }
    let golden = &card.config.golden;
    writeln!(text, "- Held out of training: {} of the units, by a hash of their names.", golden.share)?;
    writeln!(text, "- Guard against targeted spam: {}.", if card.config.guard.enabled { "on" } else { "off" })?;
    writeln!(
        text,
        "- Sampling: positives are drawn until they are {} of the rows, where they are rarer than that.",
        replay.positive_share
    )?;
    writeln!(
        text,
        "- Prior correction: the loss is taken at the logit plus the logarithm of that oversampling, so that \
         probabilities are those at the true base rate."
    )?;
    writeln!(
        text,
        "- Calibration: offset, slope and bend follow predictions made before training (extended Kalman filter)."
    )?;
    writeln!(text, "- At most {} examples of one unit per day are trained on.", card.config.max_examples_per_unit_day)?;
    writeln!(text, "- Quality is measured on the newest {} predictions per objective.\n", card.config.metrics_window)
}

/// What holds for every reward model of this kind.
const USE: &str = "\
## Intended use

- To estimate the probability that a user reacts to a response as each objective says, on the traffic that it was \
trained on: to evaluate, choose and train policies.
- To be compared with the log-loss of the base rate: a model that is not below it should not be used.

## Limits

- It predicts reactions, not quality or truth. What pleases may be wrong, and what is right may not please.
- It was trained on responses of the policies that served. Far from them, and the more so the longer a policy is \
optimised against it, its predictions are too high; watch a measure that it was not trained on.
- Reactions are not given at random: who never reacts is not represented, and reactions that come after the window \
count as none.
- Figures are averages over all traffic. A segment may be judged worse; look at its calibration before deciding on it.
- It must not be used to judge people.
";

/// Text that stays within its cell.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}

fn time(at: Timestamp) -> String {
    let millis = at.as_millis();
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| format!("{millis} ms"), |at| at.to_string())
}
