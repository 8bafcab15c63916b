//! Plain text helpers: words and padded, normalised text.

/// The words of `text`: runs of letters, digits and apostrophes.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty())
}

/// `text` in lower case with one space before, between and after its words, so that
/// `contains(" some words ")` finds whole words only.
pub(crate) fn normalize(text: &str) -> String {
    let lower = text.to_lowercase();
    let mut padded = String::with_capacity(lower.len() + 2);
    padded.push(' ');
    for word in words(&lower) {
        padded.push_str(word);
        padded.push(' ');
    }
    padded
}

/// Whether `padded` (see [`normalize`]) holds `phrase` as whole words.
pub(crate) fn holds(padded: &str, phrase: &str) -> bool {
    padded.match_indices(phrase).any(|(at, found)| {
        let bytes = padded.as_bytes();
        let before = at.checked_sub(1).map(|i| bytes[i]);
        before == Some(b' ') && bytes.get(at + found.len()) == Some(&b' ')
    })
}

/// `template` with `{t}` and `{a}` filled in.
pub(crate) fn fill(template: &str, topic: &str, answer: &str) -> String {
    template.replace("{t}", topic).replace("{a}", answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_as_whole_words_only() {
        let padded = normalize("Bye! Sending  LOVE.");
        assert_eq!(padded, " bye sending love ");
        assert!(holds(&padded, "bye") && holds(&padded, "sending love"));
        assert!(!holds(&padded, "end") && !holds(&padded, "love sending"));
        assert!(!holds(&normalize("goodbye"), "bye"));
        assert!(!holds(&normalize(""), "bye"));
    }
}
