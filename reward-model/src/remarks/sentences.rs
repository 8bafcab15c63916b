//! Sentences of a response by the numbers of their characters.

/// Most sentences of one response; the last one has the rest.
const MOST: usize = 256;

/// Sentences in order, each from its first character to behind its last, blanks around it left out. They end with
/// `.`, `!`, `?`, `…` or `。` before a blank, after `。！？`, and with a line.
pub(crate) fn sentences(text: &str) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let mut start: Option<u32> = None;
    let mut end = 0;
    let mut chars = text.chars().peekable();
    let mut at = 0_u32;
    while let Some(c) = chars.next() {
        if !c.is_whitespace() {
            start.get_or_insert(at);
            end = at + 1;
        }
        at += 1;
        let is_mark = matches!(c, '.' | '!' | '?' | '…');
        let is_over =
            matches!(c, '\n' | '。' | '！' | '？') || (is_mark && chars.peek().is_none_or(|c| c.is_whitespace()));
        if is_over
            && found.len() + 1 < MOST
            && let Some(from) = start.take()
        {
            found.push((from, end));
        }
    }
    found.extend(start.map(|from| (from, end)));
    found
}

/// The characters of `text` from `start` up to but without `end`.
pub(crate) fn cut(text: &str, start: u32, end: u32) -> &str {
    let place = |number: u32| text.char_indices().nth(number as usize).map_or(text.len(), |(at, _)| at);
    &text[place(start)..place(end).max(place(start))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_with_marks_before_blanks_and_with_lines() {
        let text = " Héllo you! Pi is 3.14, ok? \n- a point\n\nlast one";
        let found: Vec<&str> = sentences(text).into_iter().map(|(from, to)| cut(text, from, to)).collect();
        assert_eq!(found, ["Héllo you!", "Pi is 3.14, ok?", "- a point", "last one"]);
        assert!(sentences(" \n ").is_empty() && sentences("").is_empty());
        assert_eq!(sentences(&"a. ".repeat(1_000)).len(), MOST);
        assert_eq!(sentences("你好。再见").len(), 2);
    }

    #[test]
    fn cuts_beyond_the_text_are_empty() {
        assert_eq!((cut("añb", 1, 2), cut("añb", 2, 9), cut("añb", 5, 9), cut("añb", 2, 1)), ("ñ", "b", "", ""));
    }
}
