//! Takes personal data out of texts.

use regex::{Regex, RegexBuilder};

use super::patterns::{Refine, Traits};
use crate::config::{CustomPattern, Pattern, Redaction};

/// Most memory of one compiled pattern.
const PATTERN_MEMORY: usize = 1 << 20;

/// The rules, compiled. Pure: the same text becomes the same text, and a text that was redacted stays as
/// it is.
#[derive(Debug)]
pub(crate) struct Redactor {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    /// Of a rule that is built in.
    pattern: Option<Pattern>,
    regex: Regex,
    refine: Refine,
    replacement: String,
}

/// How often each rule was met, in the order of [`Redactor::names`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hits(Vec<u64>);

impl Hits {
    fn add(&mut self, rule: usize, count: u64) {
        if self.0.len() <= rule {
            self.0.resize(rule + 1, 0);
        }
        self.0[rule] += count;
    }

    /// Number of each rule that was met, and how often it was.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().copied().enumerate().filter(|hit| hit.1 > 0)
    }
}

impl Redactor {
    /// The rules of a valid configuration; what cannot be compiled is left out, and told by
    /// [`problems`](Self::problems).
    pub(crate) fn new(config: &Redaction) -> Self {
        let custom = config.custom.iter().filter_map(|(name, custom)| Rule::custom(name, custom).ok());
        let built_in = Pattern::ALL.into_iter().filter(|pattern| config.patterns.contains(pattern));
        Self { rules: custom.chain(built_in.map(Rule::built_in)).collect() }
    }

    /// What is wrong with the patterns of one's own, with the name of each.
    pub(crate) fn problems(config: &Redaction) -> Vec<(&str, String)> {
        let mut problems = Vec::new();
        let redactor = Self::new(config);
        for (name, custom) in &config.custom {
            let problem = match Rule::custom(name, custom) {
                Err(error) => format!("not a regular expression: {}", error.to_string().trim().replace('\n', " ")),
                Ok(_) if Pattern::ALL.iter().any(|pattern| pattern.as_str() == name) => {
                    "must not be the name of a pattern that is built in".to_owned()
                }
                Ok(rule) if rule.regex.is_match("") => {
                    format!("must not match the empty text, got `{}`", custom.pattern)
                }
                // Otherwise an event that is sent again would change again.
                Ok(rule) if redactor.rules.iter().any(|other| other.regex.is_match(&rule.replacement)) => {
                    format!("its replacement must not be matched by a rule, got `{}`", rule.replacement)
                }
                Ok(_) => continue,
            };
            problems.push((name.as_str(), problem));
        }
        problems
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    pub(crate) fn is_off(&self) -> bool {
        self.rules.is_empty()
    }

    /// Takes everything that a rule matches out of `text`, rule after rule.
    pub(crate) fn redact(&self, text: &mut String, hits: &mut Hits) {
        if self.rules.is_empty() || text.is_empty() {
            return;
        }
        let mut traits = Traits::of(text);
        for (number, rule) in self.rules.iter().enumerate() {
            if rule.pattern.is_some_and(|pattern| !pattern.can_be_in(traits)) {
                continue;
            }
            if let Some((redacted, count)) = rule.apply(text) {
                *text = redacted;
                traits = Traits::of(text);
                hits.add(number, count);
            }
        }
    }
}

impl Rule {
    fn built_in(pattern: Pattern) -> Self {
        Self {
            name: pattern.as_str().to_owned(),
            pattern: Some(pattern),
            regex: Regex::new(pattern.candidate()).expect("the patterns are tested"),
            refine: pattern.refine(),
            replacement: format!("[{}]", pattern.as_str()),
        }
    }

    fn custom(name: &str, custom: &CustomPattern) -> Result<Self, regex::Error> {
        let replacement = match custom.replacement.as_str() {
            "" => format!("[{name}]"),
            given => given.to_owned(),
        };
        Ok(Self {
            name: name.to_owned(),
            pattern: None,
            regex: RegexBuilder::new(&custom.pattern).size_limit(PATTERN_MEMORY).build()?,
            refine: |_, candidate| Some(candidate),
            replacement,
        })
    }

    /// The text without its matches and their number; nothing when there are none.
    fn apply(&self, text: &str) -> Option<(String, u64)> {
        let mut redacted = String::new();
        let (mut kept_to, mut from, mut count) = (0, 0, 0);
        while let Some(candidate) = self.regex.find_at(text, from) {
            let Some(found) = (self.refine)(text, candidate.range()) else {
                from = candidate.end();
                continue;
            };
            redacted.push_str(&text[kept_to..found.start]);
            redacted.push_str(&self.replacement);
            (kept_to, from) = (found.end, found.end);
            count += 1;
        }
        if count == 0 {
            return None;
        }
        redacted.push_str(&text[kept_to..]);
        Some((redacted, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(&Redaction { patterns: Pattern::ALL.to_vec(), ..Redaction::default() })
    }

    fn redacted(text: &str) -> String {
        let mut text = text.to_owned();
        redactor().redact(&mut text, &mut Hits::default());
        text
    }

    #[test]
    fn personal_data_is_taken_out() {
        for (text, expected) in [
            ("write to ada.b+c@mail.example.org.", "write to [email]."),
            ("jürgen@müller.de, x@y", "[email], x@y"),
            ("4111 1111 1111 1111 12/27", "[credit_card] 12/27"),
            ("no 17 4111-1111-1111-1111!", "no 17 [credit_card]!"),
            ("378282246310005", "[credit_card]"),
            ("call +49 (0)30 1234567 now", "call [phone] now"),
            ("+14155550123 or 415-555-0123 or (415) 555 0123", "[phone] or [phone] or [phone]"),
            ("0171 2345678, 01712345678", "[phone], [phone]"),
            ("from 192.168.1.17.", "from [ipv4]."),
            ("2001:db8::8a2e:370:7334 and fe80::1 and ::ffff:10.0.0.1", "[ipv6] and [ipv6] and [ipv6]"),
        ] {
            assert_eq!(redacted(text), expected);
            assert_eq!(redacted(expected), expected, "a second time changes nothing");
        }
    }

    #[test]
    fn what_only_looks_like_personal_data_stays() {
        for text in [
            "4111111111111112 is no card",
            "0000000000000000",
            "on 2026-11-26 at 12:30:45",
            "std::io and a::b and ::1",
            "300.1.2.3, 1.2.3.4.5",
            "it costs 1234567 or 1,000,000.00",
            "018c2f7e-1234-7000-8000-123456789012",
            "@ada . b@c",
            "",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn matches_are_counted_by_rule_and_own_patterns_come_first() {
        let ticket = CustomPattern { pattern: r"T-\d+|ada@x\.org".to_owned(), replacement: "<$0>".to_owned() };
        let config = Redaction {
            patterns: vec![Pattern::Email],
            custom: [("ticket".to_owned(), ticket)].into(),
            ..Redaction::default()
        };
        let redactor = Redactor::new(&config);
        let mut text = "T-1 T-2 ada@x.org bob@x.org 4111111111111111".to_owned();
        let mut hits = Hits::default();
        redactor.redact(&mut text, &mut hits);
        assert_eq!(text, "<$0> <$0> <$0> [email] 4111111111111111", "literal, and what is off stays");
        assert_eq!(redactor.names().collect::<Vec<_>>(), ["ticket", "email"]);
        assert_eq!(hits.iter().collect::<Vec<_>>(), [(0, 3), (1, 1)]);
    }
}
