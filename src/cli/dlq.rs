//! `plaudit dlq`: what was refused, how to mend it, and how to send it again.

mod fix;
mod resend;

use std::sync::Arc;

use clap::{Args, Subcommand};
use plaudit_event::{Clock, Timestamp};
use plaudit_ingest::letters::{Letter, LetterId, Letters};
use plaudit_ingest::{Intake, Reason};
use serde_json::json;

use super::moment::{self, Moment};
use super::{Files, data, print};
use crate::clock::SystemClock;
use crate::config::Config;

/// Characters of a detail in the list.
const DETAIL: usize = 80;

/// Verbs of `dlq`.
#[derive(Debug, Subcommand)]
pub(crate) enum Dlq {
    /// List refused events, newest last, without those that were sent again.
    List(List),
    /// Show one refused event: why, and as it came.
    Show(Show),
    /// Make an envelope of a refused event that intake would take, and keep it to be sent by `dlq replay`.
    Fix(fix::Fix),
    /// Send refused events through intake again; those that are taken are resolved.
    Replay(resend::Resend),
}

/// Arguments of `dlq list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    files: Files,
    /// Only those refused for this reason, such as `unknown_kind`.
    #[arg(long, value_parser = reason)]
    reason: Option<Reason>,
    /// Only those received since then: a time, `2h ago`, or milliseconds.
    #[arg(long)]
    since: Option<Moment>,
    /// At most this many, the newest.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Also those that were sent again.
    #[arg(long)]
    all: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `dlq show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The letter, as `dlq list` names it: `SHARD/OFFSET`.
    id: LetterId,
    #[command(flatten)]
    files: Files,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Answers `verb`.
pub(crate) async fn run(verb: &Dlq) -> anyhow::Result<()> {
    match verb {
        Dlq::List(arguments) => list(arguments).await,
        Dlq::Show(arguments) => show(arguments).await,
        Dlq::Fix(arguments) => fix::run(arguments).await,
        Dlq::Replay(arguments) => resend::run(arguments).await,
    }
}

/// What the verbs work with.
struct Desk {
    config: Config,
    log: Arc<dyn plaudit_ingest::log::EventLog>,
    letters: Letters,
}

impl Desk {
    async fn open(files: &Files) -> anyhow::Result<Self> {
        let config = files.configuration()?;
        let log = data::open_log(&config, Arc::new(SystemClock)).await?;
        let letters = Letters::open(Arc::clone(&log)).await?;
        Ok(Self { config, log, letters })
    }

    async fn intake(&self) -> anyhow::Result<Intake> {
        Ok(Intake::open(Arc::clone(&self.log), Arc::new(SystemClock), &self.config.ingest).await?)
    }

    async fn letter(&self, id: LetterId) -> anyhow::Result<Letter> {
        let found = self.letters.get(id).await?;
        found.ok_or_else(|| {
            anyhow::anyhow!("there is no dead letter {id}; `plaudit dlq list --all` shows those there are")
        })
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// The reason called `text`.
fn reason(text: &str) -> Result<Reason, String> {
    let found = Reason::ALL.iter().copied().find(|reason| reason.as_str() == text);
    let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    found.ok_or_else(|| format!("must be one of {}", known.join(", ")))
}

async fn list(arguments: &List) -> anyhow::Result<()> {
    let desk = Desk::open(&arguments.files).await?;
    let since = arguments.since.map(|moment| moment.as_of(now()));
    let mut ids = desk
        .letters
        .find(|letter, is_resolved| {
            (arguments.all || !is_resolved)
                && arguments.reason.is_none_or(|reason| letter.reason == reason)
                && since.is_none_or(|since| letter.received_ts >= since)
        })
        .await?;
    let total = ids.len();
    ids.drain(..total.saturating_sub(arguments.limit));
    let mut letters = Vec::with_capacity(ids.len());
    for id in ids {
        letters.push(desk.letter(id).await?);
    }
    if arguments.json {
        let mut shown = serde_json::to_value(&letters)?;
        for letter in shown.as_array_mut().into_iter().flatten().filter_map(|letter| letter.as_object_mut()) {
            // The list is for finding; `show` has the text.
            letter.remove("raw");
            let is_mended = letter.remove("mended").is_some();
            letter.insert("is_mended".to_owned(), is_mended.into());
        }
        return print(&(json!({"total": total, "letters": shown}).to_string() + "\n"));
    }
    let mut text: String = letters.iter().map(line).collect();
    text += &match (total, letters.len()) {
        (0, _) => "no dead letters\n".to_owned(),
        (total, shown) if total > shown => format!("{total} dead letters, the newest {shown} shown\n"),
        (total, _) => format!("{total} dead letters\n"),
    };
    print(&text)
}

fn line(letter: &Letter) -> String {
    let id = letter.id.to_string();
    let (received, reason) = (moment::display(letter.letter.received_ts), letter.letter.reason.as_str());
    let note = match (&letter.resolved, &letter.mended) {
        (Some(outcome), _) => format!(" [sent: {outcome}]"),
        (None, Some(_)) => " [mended]".to_owned(),
        (None, None) => String::new(),
    };
    let detail: String = letter.letter.detail.chars().take(DETAIL).collect();
    format!("{id:<10} {received:<24} {reason:<16} {}: {detail}{note}\n", letter.letter.field)
}

async fn show(arguments: &Show) -> anyhow::Result<()> {
    let desk = Desk::open(&arguments.files).await?;
    let letter = desk.letter(arguments.id).await?;
    if arguments.json {
        return print(&(serde_json::to_string(&letter)? + "\n"));
    }
    let Letter { id, letter: inner, mended, resolved } = &letter;
    let mut text = format!(
        "letter    {id}\nreceived  {}\noutcome   {}\nreason    {}\nfield     {}\ndetail    {}\n",
        moment::display(inner.received_ts),
        inner.outcome,
        inner.reason,
        inner.field,
        inner.detail,
    );
    if let Some(source) = &inner.source {
        text += &format!("source    {source}, written past intake\n");
    }
    if let Some(outcome) = resolved {
        text += &format!("sent      {outcome}\n");
    }
    if inner.raw.len() < inner.raw_bytes {
        text += &format!("size      {} bytes, of which {} are kept\n", inner.raw_bytes, inner.raw.len());
    }
    text += &format!("\n{}\n", inner.raw);
    if let Some(mended) = mended {
        text += &format!("\nmended:\n{mended}\n");
    }
    print(&text)
}
