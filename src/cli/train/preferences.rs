//! Preference files: which of two responses to one prompt is better, one JSON object a line.
//!
//! The forms are told apart line by line by their fields; `docs/preferences.md` describes them.

mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use plaudit_datasets::pairs::dialogue;
use plaudit_event::{Context, Message, Objective, Role};
use serde::Serialize;
use serde_json::Value;

use crate::cli::event_file::Lines;
use fields::{Fields, Wrong};

/// Faults that are described; the others are only counted.
const DESCRIBED: usize = 100;
/// Fields with a meaning.
const KNOWN: [&str; 12] =
    ["prompt", "messages", "context", "chosen", "rejected", "a", "b", "p_a", "objective", "weight", "reason", "ts"];

/// One preference.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preference {
    pub(super) context: Context,
    pub(super) chosen: String,
    pub(super) rejected: String,
    pub(super) objective: Objective,
    pub(super) weight: f32,
    /// Why, in words; not learned from.
    pub(super) has_reason: bool,
    pub(super) ts: Option<i64>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) field: String,
    /// What is there; of texts only how long they are.
    pub(super) value: String,
    pub(super) allowed: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, field, value, allowed } = self;
        write!(f, "line {line}: `{field}` must be {allowed}, got {value}")
    }
}

/// The preferences of a file, and what became of every line.
#[derive(Debug, Default)]
pub(super) struct Preferences {
    pub(super) rows: Vec<Preference>,
    pub(super) tally: Tally,
}

/// What became of every line: `lines = pairs + ties + refused`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    pub(super) lines: u64,
    pub(super) pairs: u64,
    /// Lines of the form with votes in which both responses have as many.
    pub(super) ties: u64,
    pub(super) refused: u64,
    /// How many were refused for which field.
    pub(super) refused_by_field: BTreeMap<String, u64>,
    /// The first of them.
    pub(super) faults: Vec<Fault>,
    /// Pairs with a reason.
    pub(super) reasons: u64,
    /// Fields that mean nothing here.
    pub(super) unused_fields: BTreeSet<String>,
    /// Whether every pair has a time and they are in that order; else they are in the order of the file.
    pub(super) by_time: bool,
}

/// Reads the preferences in `path`; those without an objective are about `objective`, and all must be about one of
/// `known`.
pub(super) fn read(path: &Path, objective: &Objective, known: &[Objective]) -> anyhow::Result<Preferences> {
    let mut lines = Lines::open(path)?;
    let mut found = Preferences::default();
    let Preferences { rows, tally } = &mut found;
    while let Some(line) = lines.next()? {
        tally.lines += 1;
        match parse(&line, objective, known, &mut tally.unused_fields) {
            Ok(Some(row)) => {
                tally.pairs += 1;
                tally.reasons += u64::from(row.has_reason);
                rows.push(row);
            }
            Ok(None) => tally.ties += 1,
            Err(Wrong { field, value, allowed }) => {
                tally.refused += 1;
                *tally.refused_by_field.entry(field.clone()).or_default() += 1;
                if tally.faults.len() < DESCRIBED {
                    tally.faults.push(Fault { line: lines.number(), field, value, allowed });
                }
            }
        }
    }
    tally.by_time = !rows.is_empty() && rows.iter().all(|row| row.ts.is_some());
    if tally.by_time {
        rows.sort_by_key(|row| row.ts);
    }
    Ok(found)
}

/// Nothing for a tie.
fn parse(
    line: &[u8],
    objective: &Objective,
    known: &[Objective],
    unused: &mut BTreeSet<String>,
) -> Result<Option<Preference>, Wrong> {
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| Wrong::new("(line)", format!("an error at column {}", error.column()), "JSON"))?;
    let Value::Object(map) = value else { return Err(Wrong::of("(line)", &value, "an object")) };
    unused.extend(map.keys().filter(|key| !KNOWN.contains(&key.as_str())).cloned());
    let fields = Fields(&map);
    let objective = match fields.text("objective")? {
        Some(name) => Objective::new(name),
        None => objective.clone(),
    };
    if !known.contains(&objective) {
        let names: Vec<&str> = known.iter().map(|objective| objective.0.as_str()).collect();
        return Err(Wrong::new("objective", format!("`{objective}`"), format!("one of {}", names.join(", "))));
    }
    let (given, has_reason) =
        (fields.number("weight", &(1e-6..=1e6), "0.000001 to 1000000")?, fields.text("reason")?.is_some());
    let ts = fields.time("ts")?;
    let Some((said, votes)) = sides(&fields)? else { return Ok(None) };
    let (context, chosen, rejected) = said;
    if chosen == rejected {
        return Err(Wrong::new("rejected", "the same", "another response than `chosen`"));
    }
    let weight = given.unwrap_or(1.0) as f32 * votes;
    Ok(Some(Preference { context, chosen, rejected, objective, weight, has_reason, ts }))
}

/// A context, and the preferred and the other response to it.
type Sides = (Context, String, String);

/// Both responses in whichever form they are, and how far they are apart in votes; nothing for a tie.
fn sides(fields: &Fields<'_>) -> Result<Option<(Sides, f32)>, Wrong> {
    if fields.has("p_a") {
        return voted(fields);
    }
    let context = fields.context()?;
    let said = [said(fields, "chosen")?, said(fields, "rejected")?];
    let sides = match (context, said) {
        (Some(context), said) => {
            let [chosen, rejected] = said.map(Said::response);
            (context, chosen, rejected)
        }
        (None, [Said::Messages(chosen), Said::Messages(rejected)]) => split_messages(chosen, rejected)?,
        (None, [Said::Text(chosen), Said::Text(rejected)]) => split_transcripts(&chosen, &rejected)?,
        (None, _) => return Err(Wrong::new("rejected", "another form", "of the form of `chosen`")),
    };
    Ok(Some((sides, 1.0)))
}

/// `a`, `b` and the share of votes for `a`; the prompt may be a transcript.
fn voted(fields: &Fields<'_>) -> Result<Option<(Sides, f32)>, Wrong> {
    let share = fields.number("p_a", &(0.0..=1.0), "0 to 1")?.unwrap_or(0.5);
    let lead = (2.0 * share - 1.0) as f32;
    let context = fields.context()?.ok_or_else(|| fields.missing("prompt"))?;
    let [a, b] = [fields.needed("a")?, fields.needed("b")?];
    let (chosen, rejected) = if lead > 0.0 { (a, b) } else { (b, a) };
    Ok((lead != 0.0).then(|| ((context, chosen, rejected), lead.abs())))
}

/// What is in `chosen` or `rejected`.
enum Said {
    Text(String),
    Messages(Vec<Message>),
}

impl Said {
    /// The response, when the prompt is given apart.
    fn response(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Messages(mut messages) => messages.pop().map_or_else(String::new, |last| last.content),
        }
    }
}

fn said(fields: &Fields<'_>, name: &str) -> Result<Said, Wrong> {
    if !fields.is_list(name) {
        return fields.needed(name).map(Said::Text);
    }
    let messages = fields.messages(name)?.ok_or_else(|| fields.missing(name))?;
    match messages.last() {
        Some(last) if last.role == Role::Assistant => Ok(Said::Messages(messages)),
        _ => Err(Wrong::new(name, "other messages", "messages of which the last is an assistant's")),
    }
}

/// Two conversations that differ in their last message.
fn split_messages(mut chosen: Vec<Message>, mut rejected: Vec<Message>) -> Result<Sides, Wrong> {
    let last = [chosen.pop(), rejected.pop()].map(|last| last.map_or_else(String::new, |last| last.content));
    if chosen != rejected || chosen.is_empty() {
        let problem = "`rejected` with another prompt";
        return Err(Wrong::new("prompt", problem, "given, or the messages that both begin with"));
    }
    let [better, worse] = last;
    Ok((Context { messages: chosen, ..Context::default() }, better, worse))
}

/// Two transcripts as hh-rlhf has them, `\n\nHuman: …\n\nAssistant: …`, that differ in what the assistant says last.
fn split_transcripts(chosen: &str, rejected: &str) -> Result<Sides, Wrong> {
    const TURN: &str = "\n\nAssistant:";
    let [better, worse] = [chosen, rejected].map(|text| text.rsplit_once(TURN));
    match (better, worse) {
        (Some((prompt, better)), Some((same, worse))) if prompt == same => {
            Ok((dialogue(prompt.trim_start()), better.trim().to_owned(), worse.trim().to_owned()))
        }
        _ => Err(Wrong::new("prompt", "nothing", "given, or the transcript that both responses begin with")),
    }
}

/// A conversation written as a transcript, or one message of a user.
pub(super) fn conversation(text: &str) -> Context {
    let text = text.trim();
    if text.starts_with("Human:") { dialogue(text) } else { Context::of_user(text) }
}
