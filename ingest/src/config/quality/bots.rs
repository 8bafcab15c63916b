//! By what programs are told from persons.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::Problems;
use super::MOST_NAME_BYTES;
use crate::quality::BotRules;

/// Most rules.
const MOST_RULES: usize = 64;
/// Longest pattern, in bytes.
const MOST_PATTERN_BYTES: usize = 1_000;

/// What is sent by programs: quarantined with reason `bot`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bots {
    /// An event that one of these is true of is a program's.
    pub rules: Vec<BotRule>,
}

/// A predicate on one field of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BotRule {
    /// The field: `unit_id`, `session_id`, `attributes.NAME`, or the path of a field that events do not
    /// have of their own, such as `client.user_agent`.
    pub field: String,
    /// True of a text that this regular expression finds something in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// True of this text, number or truth value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
}

/// Fields of events that have no rules.
const FIELDS: [&str; 23] = [
    "exposure_id",
    "signal_id",
    "surface",
    "context",
    "slate",
    "chosen",
    "propensity",
    "token_logprobs",
    "policy_id",
    "stage",
    "assignments",
    "rewrite_applied",
    "interleaving",
    "ts",
    "item_id",
    "kind",
    "value",
    "text",
    "op",
    "actor",
    "retracts",
    "attributes",
    "",
];

impl Bots {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.count("quality.bots.rules", self.rules.len(), 0, MOST_RULES);
        for (index, rule) in self.rules.iter().enumerate() {
            let path = format!("quality.bots.rules[{index}]");
            let field = &rule.field;
            problems.name(format!("{path}.field"), field, MOST_NAME_BYTES);
            let first = field.split('.').next().unwrap_or_default();
            let is_attribute = first == "attributes" && field.len() > "attributes.".len();
            if FIELDS.contains(&first) && !field.is_empty() && !is_attribute {
                let allowed = "unit_id, session_id, attributes.NAME, or a field that events do not have";
                problems.add(format!("{path}.field"), format!("must be {allowed}, got `{field}`"));
            }
            match (&rule.matches, &rule.equals) {
                (Some(pattern), None) => problems.name(format!("{path}.matches"), pattern, MOST_PATTERN_BYTES),
                (None, Some(Value::String(_) | Value::Number(_) | Value::Bool(_))) => {}
                (None, Some(_)) => {
                    problems.add(format!("{path}.equals"), "must be a text, a number or a truth value".to_owned())
                }
                (matches, _) => {
                    let got = if matches.is_some() { "both" } else { "neither" };
                    problems.add(path, format!("must have one of `matches` and `equals`, got {got}"));
                }
            }
        }
        for (index, message) in BotRules::problems(self) {
            problems.add(format!("quality.bots.rules[{index}].matches"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, Problem};

    fn problems(rules: &str) -> Vec<String> {
        let config: Config = toml::from_str(&format!("[quality.bots]\nrules = [{rules}]")).unwrap();
        config.validate().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_rule_has_a_field_and_one_predicate() {
        assert_eq!(
            problems("{ field = 'attributes.is_bot', equals = true }, { field = 'ua', matches = 'x' }"),
            [""; 0]
        );
        assert_eq!(
            problems("{ field = 'slate.x', equals = 1 }, { field = 'attributes', matches = '(' }, { field = '' }"),
            [
                "quality.bots.rules[0].field: must be unit_id, session_id, attributes.NAME, or a field that events do not have, got `slate.x`",
                "quality.bots.rules[1].field: must be unit_id, session_id, attributes.NAME, or a field that events do not have, got `attributes`",
                "quality.bots.rules[2].field: must have 1 to 256 bytes, got 0",
                "quality.bots.rules[2]: must have one of `matches` and `equals`, got neither",
                "quality.bots.rules[1].matches: not a regular expression: regex parse error:     (     ^ error: unclosed group",
            ]
        );
        assert_eq!(
            problems("{ field = 'x', equals = [1] }, { field = 'x', equals = 1, matches = 'x' }"),
            [
                "quality.bots.rules[0].equals: must be a text, a number or a truth value",
                "quality.bots.rules[1]: must have one of `matches` and `equals`, got both",
            ]
        );
    }

    #[test]
    fn as_many_rules_are_taken_as_are_allowed() {
        let rules = |count| vec!["{ field = 'x', equals = 1 }"; count].join(", ");
        assert_eq!(problems(&rules(64)), [""; 0]);
        assert_eq!(problems(&rules(65)), ["quality.bots.rules: must be 0 to 64, got 65"]);
    }
}
