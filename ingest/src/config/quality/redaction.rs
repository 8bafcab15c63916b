//! What is taken out of texts that persons wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::Problems;
use crate::quality::Redactor;

/// Most patterns of one's own.
const MOST_CUSTOM: usize = 64;
/// Longest pattern, in bytes.
const MOST_PATTERN_BYTES: usize = 1_000;
/// Longest name of a pattern, which is a label of a metric.
const MOST_NAME_BYTES: usize = 64;

/// A pattern that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// An address of electronic mail.
    Email,
    /// A telephone number with a country code, with separators, or with a leading 0.
    Phone,
    /// 13 to 19 digits whose Luhn sum is right.
    CreditCard,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
}

impl Pattern {
    /// The name in the configuration, in metrics, and between brackets in texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::CreditCard => "credit_card",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// A pattern of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomPattern {
    /// A regular expression of the crate `regex`.
    pub pattern: String,
    /// What stands in its place; when empty, the name in brackets.
    #[serde(default)]
    pub replacement: String,
}

/// What is taken out of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redaction {
    /// Built-in patterns.
    pub patterns: Vec<Pattern>,
    /// Whether the contents of slates are texts, too. An exposure whose content was changed loses its
    /// token log-probabilities, since tokens tell the text.
    pub slate: bool,
    /// Whether texts among the attributes and the unknown fields are texts, too.
    pub other_fields: bool,
    /// Patterns of one's own by name; they come before those that are built in.
    pub custom: BTreeMap<String, CustomPattern>,
}

impl Redaction {
    pub(super) fn validate(&self, problems: &mut Problems) {
        problems.count("quality.redaction.custom", self.custom.len(), 0, MOST_CUSTOM);
        for (name, custom) in &self.custom {
            let path = format!("quality.redaction.custom.{name}");
            problems.name(path.clone(), name, MOST_NAME_BYTES);
            problems.name(format!("{path}.pattern"), &custom.pattern, MOST_PATTERN_BYTES);
        }
        for (name, message) in Redactor::problems(self) {
            problems.add(format!("quality.redaction.custom.{name}"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;

    #[test]
    fn a_pattern_that_cannot_be_used_is_told_with_its_name() {
        let custom = "[quality.redaction.custom]\n";
        assert_eq!(problems(&format!("{custom}ticket = {{ pattern = 'T-\\d+' }}")), [""; 0]);
        let broken = problems(&format!("{custom}ticket = {{ pattern = 'T-(' }}"));
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert!(broken[0].starts_with("quality.redaction.custom.ticket: not a regular expression: "), "{broken:?}");
        assert_eq!(
            problems(&format!("{custom}ticket = {{ pattern = 'x*' }}")),
            ["quality.redaction.custom.ticket: must not match the empty text, got `x*`"]
        );
        assert_eq!(
            problems(&format!("{custom}ticket = {{ pattern = 'T-\\d', replacement = 'T-0' }}")),
            ["quality.redaction.custom.ticket: its replacement must not be matched by a rule, got `T-0`"]
        );
        assert_eq!(
            problems(&format!("{custom}email = {{ pattern = 'x' }}")),
            ["quality.redaction.custom.email: must not be the name of a pattern that is built in"]
        );
    }

    #[test]
    fn as_many_patterns_are_taken_as_are_allowed_and_as_long_ones() {
        let rule = |name: usize, length: usize| format!("r{name} = {{ pattern = '{}' }}\n", "x".repeat(length));
        let rules = |count: usize, length| (0..count).map(|name| rule(name, length)).collect::<String>();
        let custom = "[quality.redaction.custom]\n";
        assert_eq!(problems(&format!("{custom}{}", rules(64, 1_000))), [""; 0]);
        assert_eq!(
            problems(&format!("{custom}{}", rules(65, 1))),
            ["quality.redaction.custom: must be 0 to 64, got 65"]
        );
        assert_eq!(
            problems(&format!("{custom}{}", rules(1, 1_001))),
            ["quality.redaction.custom.r0.pattern: must have 1 to 1000 bytes, got 1001"]
        );
    }
}
