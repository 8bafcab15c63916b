//! Phrases and how they are matched.
//!
//! A phrase is a row of words parted by spaces. A word may offer alternatives (`day|evening`);
//! `$` at the end asks for the end of the text; `!of|to` at the end refuses a match when one of these
//! words follows. Matching looks at whole words in lower case, so "bye" is not found in "bystander".

/// Ends of a conversation.
///
/// The guards keep everyday wordings out: "take care of it", "I see you have", "a farewell party".
const CLOSINGS: &[&str] = &[
    "bye|byebye",
    "goodbye|goodnight|farewell !letter|letters|party|card|gift|speech|kiss|tour|dinner|drinks",
    "good bye|night !letter|letters|party|card|gift|speech|kiss|sleep|s",
    "take care !of|to|that|when|not|about|if|with|in|as|while",
    "see you|ya $",
    "see you|ya later|soon|around|again|tomorrow|then|next",
    "until|till next time",
    "so long $",
    "sending love|hugs|kisses",
    "sending you|lots|much love|hugs|of",
    "lots of love $",
    "much|with love $",
    "signing off",
    "over and out",
    "cheerio|ciao|adieu",
    "take it easy $",
    "catch you later|soon",
    "talk to you later|soon|tomorrow",
    "talk soon|later $",
    "have a|an great|good|nice|lovely|wonderful|beautiful|fantastic|amazing|awesome|excellent|blessed|pleasant day|evening|night|weekend|week|afternoon|morning|one",
    "enjoy your|the day|evening|night|weekend|week|afternoon $",
    "enjoy the rest of your day|evening|night|weekend|week|afternoon",
    "all the best $",
    "best wishes $",
];

/// Refusals to help.
const REFUSALS: &[&str] = &[
    "i cannot|can't help|assist|answer|provide|do|discuss|comply|share|support|give",
    "i can not help|assist|answer|provide|do|discuss|comply|share|support|give",
    "i'm|am unable to",
    "i'm|am not able to",
    "i'm sorry but i",
    "i am sorry but i",
    "i'm|am afraid i cannot|can't|won't",
    "i won't help|do|provide|assist|answer|be",
    "i will not help|do|provide|assist|answer|be",
    "i must|should decline",
    "i have to decline",
    "i don't feel comfortable",
    "i do not feel comfortable",
    "against my guidelines|policy|rules|programming",
    "as an ai language|model|assistant",
];

/// One compiled phrase.
#[derive(Debug, Clone)]
struct Phrase {
    words: Vec<Vec<String>>,
    at_end: bool,
    not_before: Vec<String>,
}

impl Phrase {
    fn parse(text: &str) -> Self {
        let mut phrase = Self { words: Vec::new(), at_end: false, not_before: Vec::new() };
        for token in text.split_whitespace() {
            if token == "$" {
                phrase.at_end = true;
            } else if let Some(rest) = token.strip_prefix('!') {
                phrase.not_before = alternatives(rest);
            } else {
                phrase.words.push(alternatives(token));
            }
        }
        phrase
    }

    /// Whether the phrase starts at `words[start]`.
    fn starts_at(&self, words: &[String], start: usize) -> bool {
        let end = start + self.words.len();
        if end > words.len() {
            return false;
        }
        for (allowed, word) in self.words.iter().zip(&words[start..end]) {
            if !allowed.contains(word) {
                return false;
            }
        }
        match words.get(end) {
            None => true,
            Some(next) => !self.at_end && !self.not_before.contains(next),
        }
    }
}

fn alternatives(token: &str) -> Vec<String> {
    token.split('|').map(str::to_lowercase).collect()
}

/// A set of phrases.
#[derive(Debug, Clone)]
pub(crate) struct Lexicon(Vec<Phrase>);

impl Lexicon {
    pub(crate) fn closings() -> Self {
        Self::new(CLOSINGS)
    }

    pub(crate) fn refusals() -> Self {
        Self::new(REFUSALS)
    }

    fn new(phrases: &[&str]) -> Self {
        Self(phrases.iter().map(|text| Phrase::parse(text)).collect())
    }

    /// Whether any phrase occurs in `words`, starting at or after word `from`.
    pub(crate) fn occurs(&self, words: &[String], from: usize) -> bool {
        (from..words.len()).any(|start| self.0.iter().any(|p| p.starts_at(words, start)))
    }
}

/// The words of `text`: runs of letters, digits and inner apostrophes, in lower case.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let c = if c == '\u{2019}' { '\'' } else { c };
        if c.is_alphanumeric() || (c == '\'' && !word.is_empty()) {
            word.extend(c.to_lowercase());
        } else {
            finish(&mut word, &mut found);
        }
    }
    finish(&mut word, &mut found);
    found
}

fn finish(word: &mut String, found: &mut Vec<String>) {
    let kept = word.trim_end_matches('\'');
    if !kept.is_empty() {
        found.push(kept.to_owned());
    }
    word.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_with_inner_apostrophes() {
        assert_eq!(words("I can’t, 'really' GO!"), ["i", "can't", "really", "go"]);
        assert!(words(" ♥ … ").is_empty());
    }

    #[test]
    fn anchors_and_guards_decide_a_match() {
        let end = Phrase::parse("take care $");
        assert!(end.starts_at(&words("take care"), 0));
        assert!(!end.starts_at(&words("take care now"), 0));
        let guard = Phrase::parse("take care !of|to");
        assert!(guard.starts_at(&words("take care now"), 0));
        assert!(!guard.starts_at(&words("take care of it"), 0));
        assert!(!guard.starts_at(&words("take"), 0));
    }
}
