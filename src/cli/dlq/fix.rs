//! `plaudit dlq fix`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use plaudit_ingest::Refusal;
use plaudit_ingest::letters::{Letter, LetterId};
use serde_json::{Value, json};

use super::super::{Files, print};
use super::{Desk, now};

/// Arguments of `dlq fix`.
#[derive(Debug, Args)]
pub(crate) struct Fix {
    /// The letter, as `dlq list` names it: `SHARD/OFFSET`.
    id: LetterId,
    #[command(flatten)]
    files: Files,
    /// Set a field of the envelope, such as `data.kind="love"` or `data.slate[0].position=0`; may be repeated.
    /// A value that is not JSON is a text.
    #[arg(long, value_name = "PATH=JSON", value_parser = assignment, conflicts_with_all = ["file", "edit"])]
    set: Vec<(String, Value)>,
    /// Take the envelope from this file.
    #[arg(long, conflicts_with = "edit")]
    file: Option<PathBuf>,
    /// Open the envelope in the editor named by VISUAL or EDITOR.
    #[arg(long)]
    edit: bool,
    /// Only say what is wrong; keep nothing.
    #[arg(long)]
    check: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Makes the envelope, judges it as intake would, and keeps it when it is sound.
pub(super) async fn run(arguments: &Fix) -> anyhow::Result<()> {
    let mut desk = Desk::open(&arguments.files).await?;
    let letter = desk.letter(arguments.id).await?;
    let (envelope, draft) = make(arguments, &letter)?;
    let refusal = desk.intake().await?.check(envelope.clone().into_bytes()).err();
    let is_kept = refusal.is_none() && !arguments.check;
    if is_kept {
        desk.letters.mend(&letter, envelope.clone(), now()).await?;
    }
    if let (Some(draft), None) = (&draft, &refusal) {
        // What it held is in the log now; it is in the directory of temporary files otherwise.
        let _ = std::fs::remove_file(draft);
    }
    report(arguments, &envelope, refusal.as_ref(), is_kept)?;
    let Some(refusal) = refusal else { return Ok(()) };
    let field = if refusal.field.is_empty() { "envelope" } else { &refusal.field };
    let draft = draft.map_or_else(String::new, |draft| format!("; your text is in `{}`", draft.display()));
    anyhow::bail!("still refused as `{}`: {field} {}{draft}", refusal.reason, refusal.detail)
}

fn report(arguments: &Fix, envelope: &str, refusal: Option<&Refusal>, is_kept: bool) -> anyhow::Result<()> {
    let id = arguments.id;
    if arguments.json {
        let refusal = refusal.map(|r| json!({"reason": r.reason, "field": r.field, "detail": r.detail}));
        let answer = json!({"id": id, "envelope": envelope, "refusal": refusal, "is_kept": is_kept});
        return print(&(answer.to_string() + "\n"));
    }
    let mut text = format!("{envelope}\n");
    if is_kept {
        text += &format!("{id} is mended: `plaudit dlq replay {id}` sends it\n");
    } else if refusal.is_none() {
        text += "intake would take it\n";
    }
    print(&text)
}

/// The envelope, and the file that it was edited in.
fn make(arguments: &Fix, letter: &Letter) -> anyhow::Result<(String, Option<PathBuf>)> {
    if let Some(file) = &arguments.file {
        let text = std::fs::read_to_string(file).with_context(|| format!("failed to read `{}`", file.display()))?;
        return Ok((one_line(&text), None));
    }
    if arguments.edit {
        let draft = edit(letter)?;
        let text = std::fs::read_to_string(&draft).with_context(|| format!("failed to read `{}`", draft.display()))?;
        return Ok((one_line(&text), Some(draft)));
    }
    if arguments.set.is_empty() {
        return Ok((one_line(letter.envelope()), None));
    }
    anyhow::ensure!(
        letter.is_whole(),
        "{} keeps only the beginning of what came, {} of {} bytes: use `--file` with the whole envelope",
        letter.id,
        letter.letter.raw.len(),
        letter.letter.raw_bytes
    );
    let parsed = serde_json::from_str(letter.envelope());
    let mut envelope: Value = parsed
        .with_context(|| format!("{} is not JSON, so it has no fields to set: use `--file` or `--edit`", letter.id))?;
    for (path, value) in &arguments.set {
        put(&mut envelope, path, value.clone())?;
    }
    Ok((envelope.to_string(), None))
}

/// JSON on one line, since files of events have one per line; what is no JSON stays as it is.
fn one_line(text: &str) -> String {
    serde_json::from_str::<Value>(text).map_or_else(|_| text.trim().to_owned(), |value| value.to_string())
}

/// Lets the operator edit the envelope; returns the file.
fn edit(letter: &Letter) -> anyhow::Result<PathBuf> {
    let name = format!("plaudit-{}-{}.json", letter.id.shard, letter.id.offset);
    let draft = tempfile::Builder::new().suffix(&name).tempfile().context("failed to make a temporary file")?;
    let pretty =
        serde_json::from_str::<Value>(letter.envelope()).and_then(|value| serde_json::to_string_pretty(&value));
    std::fs::write(draft.path(), pretty.unwrap_or_else(|_| letter.envelope().to_owned()))?;
    let (_, path) = draft.keep().context("failed to keep a temporary file")?;
    open_editor(editor(std::env::vars_os()), &path)?;
    Ok(path)
}

fn editor(variables: impl Iterator<Item = (OsString, OsString)>) -> OsString {
    let named: Vec<_> =
        variables.filter(|(name, value)| (name == "VISUAL" || name == "EDITOR") && !value.is_empty()).collect();
    let visual = named.iter().find(|(name, _)| name == "VISUAL").or(named.first());
    visual.map_or_else(|| "vi".into(), |(_, value)| value.clone())
}

/// Runs it by the shell, since it may have arguments: `code --wait`.
fn open_editor(editor: OsString, path: &Path) -> anyhow::Result<()> {
    let mut command = editor.clone();
    command.push(" \"$1\"");
    let status = std::process::Command::new("sh").arg("-c").arg(command).arg("sh").arg(path).status();
    let status = status.with_context(|| format!("failed to start the editor `{}`", editor.display()))?;
    anyhow::ensure!(status.success(), "the editor `{}` ended with {status}", editor.display());
    Ok(())
}

fn assignment(text: &str) -> Result<(String, Value), String> {
    let (path, value) = text.split_once('=').ok_or_else(|| format!("must be PATH=JSON, got `{text}`"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((path.to_owned(), value))
}

/// Sets the field at `path`, such as `data.slate[0].position`; the object around it must be there.
fn put(envelope: &mut Value, path: &str, value: Value) -> anyhow::Result<()> {
    let mut keys: Vec<&str> = path.split(['.', '[']).map(|key| key.trim_end_matches(']')).collect();
    let last = keys.pop().unwrap_or_default();
    let mut here = envelope;
    for key in keys {
        let next = match here {
            Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            Value::Object(fields) => fields.get_mut(key),
            _ => None,
        };
        here = next.with_context(|| format!("`{path}`: there is no `{key}`"))?;
    }
    match here {
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        Value::Array(items) => {
            let length = items.len();
            let item = last.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            *item.with_context(|| format!("`{path}`: must be an item below {length}, got `{last}`"))? = value;
        }
        _ => anyhow::bail!("`{path}`: what is around `{last}` is neither an object nor a list"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_by_path_and_a_wrong_path_is_named() {
        let mut envelope = json!({"v": 1, "data": {"slate": [{"position": 7}], "kind": "adore"}});
        for text in ["data.kind=love", "data.slate[0].position=0", "data.value=0.5", "v=\"1\""] {
            let (path, value) = assignment(text).unwrap();
            put(&mut envelope, &path, value).unwrap();
        }
        let wanted = json!({"v": "1", "data": {"slate": [{"position": 0}], "kind": "love", "value": 0.5}});
        assert_eq!(envelope, wanted);
        for (path, said) in [("daty.kind", "no `daty`"), ("data.slate[3].position", "no `3`"), ("v.x", "neither")] {
            let error = put(&mut envelope, path, Value::Null).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(assignment("data.kind").is_err());
    }

    #[test]
    fn the_visual_editor_comes_first() {
        let variables = |names: &[(&str, &str)]| editor(names.iter().map(|(n, v)| (n.into(), v.into())));
        assert_eq!(variables(&[("EDITOR", "ed"), ("VISUAL", "code --wait")]), "code --wait");
        assert_eq!(variables(&[("EDITOR", "ed"), ("VISUAL", "")]), "ed");
        assert_eq!(variables(&[]), "vi");
    }
}
