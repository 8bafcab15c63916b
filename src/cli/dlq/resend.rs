//! `plaudit dlq replay`.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_ingest::letters::{LetterId, Resolved};
use plaudit_ingest::service::copy_all;
use plaudit_ingest::{Intake, Outcome, Reason};
use serde::Serialize;

use super::super::import::Tally;
use super::super::{Files, data, print};
use super::{Desk, now, reason};

/// Letters sent together.
const BATCH: usize = 200;

/// Arguments of `dlq replay`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["ids", "reason", "all"]))]
pub(crate) struct Resend {
    /// These letters, as `dlq list` names them: `SHARD/OFFSET`. One that was sent before is sent again, which makes a
    /// duplicate.
    ids: Vec<LetterId>,
    /// All that were refused for this reason and have not been sent.
    #[arg(long, value_parser = reason)]
    reason: Option<Reason>,
    /// All that have not been sent.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    files: Files,
    /// Print the counts as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    #[serde(flatten)]
    tally: Tally,
    /// Would be refused again, so that they were not sent: by reason.
    held_back: BTreeMap<&'static str, u64>,
    /// Only their beginning is kept.
    incomplete: u64,
}

impl Report {
    /// How many letters are still to be cared for.
    fn left(&self) -> u64 {
        self.held_back.values().sum::<u64>() + self.incomplete + self.tally.rejected + self.tally.quarantined
    }
}

/// Sends the letters.
pub(super) async fn run(arguments: &Resend) -> anyhow::Result<()> {
    let mut desk = Desk::open(&arguments.files).await?;
    let intake = desk.intake().await?;
    let ids = match arguments.ids.is_empty() {
        false => arguments.ids.clone(),
        true => {
            let wanted = |reason: Reason| arguments.reason.is_none_or(|wanted| wanted == reason);
            desk.letters.find(|letter, is_resolved| !is_resolved && wanted(letter.reason)).await?
        }
    };
    let bar = ProgressBar::new(ids.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} letters  {eta} left")?);
    let mut report = Report::default();
    for ids in ids.chunks(BATCH.min(desk.config.ingest.max_batch)) {
        send(&mut desk, &intake, ids, &mut report).await?;
        bar.inc(ids.len() as u64);
    }
    bar.finish_and_clear();
    let store = data::open_store(&desk.config)?;
    copy_all(&desk.log, &store, &desk.config.ingest).await?;
    print(&match arguments.json {
        true => serde_json::to_string(&report)? + "\n",
        false => describe(&report),
    })?;
    let left = report.left();
    anyhow::ensure!(left == 0, "{left} letters were not taken: `plaudit dlq fix ID` mends one");
    Ok(())
}

fn describe(report: &Report) -> String {
    let mut text = report.tally.describe();
    for (reason, count) in &report.held_back {
        text += &format!("{count} not sent, since they would be refused again as `{reason}`\n");
    }
    if report.incomplete > 0 {
        text += &format!("{} not sent, since only their beginning is kept\n", report.incomplete);
    }
    text
}

/// Sends those of `ids` that intake would take. What would be refused again is held back: it would only make another
/// letter.
async fn send(desk: &mut Desk, intake: &Intake, ids: &[LetterId], report: &mut Report) -> anyhow::Result<()> {
    let (mut sent, mut envelopes) = (Vec::new(), Vec::new());
    for id in ids {
        let letter = desk.letter(*id).await?;
        if !letter.is_whole() {
            report.incomplete += 1;
            continue;
        }
        let envelope = letter.envelope().as_bytes().to_vec();
        match intake.check(envelope.clone()) {
            Ok(()) => {
                sent.push(*id);
                envelopes.push(envelope);
            }
            Err(refusal) => *report.held_back.entry(refusal.reason.as_str()).or_default() += 1,
        }
    }
    if sent.is_empty() {
        return Ok(());
    }
    let outcomes = intake.envelopes(envelopes).await?;
    let mut resolved = Vec::with_capacity(sent.len());
    for (letter, outcome) in sent.into_iter().zip(&outcomes) {
        report.tally.count(outcome);
        let outcome = match outcome {
            Outcome::Accepted | Outcome::Duplicate | Outcome::Sampled => outcome.as_str(),
            // The refusal made a letter of its own.
            Outcome::Rejected(_) | Outcome::Quarantined(_) => "superseded",
        };
        resolved.push(Resolved { letter, outcome: outcome.to_owned() });
    }
    Ok(desk.letters.resolve(resolved, now()).await?)
}
