//! Patterns of personal data that are built in.
//!
//! A regular expression finds candidates, a function decides: regular expressions cannot add digits up.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::config::Pattern;

/// The part of a candidate that is to be taken out, if any.
pub(super) type Refine = fn(&str, Range<usize>) -> Option<Range<usize>>;

/// What a text must contain for a pattern to be worth looking for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traits {
    digits: usize,
    colons: usize,
    dots: usize,
    at_signs: usize,
}

impl Traits {
    pub(super) fn of(text: &str) -> Self {
        let mut traits = Self::default();
        for byte in text.bytes() {
            traits.digits += usize::from(byte.is_ascii_digit());
            traits.colons += usize::from(byte == b':');
            traits.dots += usize::from(byte == b'.');
            traits.at_signs += usize::from(byte == b'@');
        }
        traits
    }
}

impl Pattern {
    /// In the order in which they are looked for: what is longer and surer comes first.
    pub(super) const ALL: [Self; 5] = [Self::Email, Self::Ipv6, Self::Ipv4, Self::CreditCard, Self::Phone];

    pub(super) const fn candidate(self) -> &'static str {
        match self {
            Self::Email => r"[\w.%+'-]+@(?:[\w-]+\.)+\w{2,}",
            Self::Ipv6 => r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.[0-9]{1,3}){0,3}",
            Self::Ipv4 => r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}",
            Self::CreditCard => r"[0-9](?:[ -]?[0-9]){12,}",
            Self::Phone => concat!(
                r"(?:\+|\b00)[1-9](?:[ ./-]{0,2}\(?[0-9]+\)?){1,7}",
                r"|\(?\b[0-9]{2,5}\)?[ ./-]{1,2}[0-9]{3,4}[ .-]?[0-9]{3,5}",
                r"|\b0[1-9][0-9]{8,10}",
            ),
        }
    }

    pub(super) fn refine(self) -> Refine {
        match self {
            Self::Email => |_, candidate| Some(candidate),
            Self::Ipv6 => ipv6,
            Self::Ipv4 => ipv4,
            Self::CreditCard => credit_card,
            Self::Phone => phone,
        }
    }

    /// Whether a text with `traits` can contain it; saves most of the work, since most texts cannot.
    pub(super) const fn can_be_in(self, traits: Traits) -> bool {
        match self {
            Self::Email => traits.at_signs > 0 && traits.dots > 0,
            Self::Ipv6 => traits.colons > 1 && traits.digits > 0,
            Self::Ipv4 => traits.dots > 2 && traits.digits > 3,
            Self::CreditCard => traits.digits > 12,
            Self::Phone => traits.digits > 6,
        }
    }
}

fn ipv4(text: &str, candidate: Range<usize>) -> Option<Range<usize>> {
    let is_address = text[candidate.clone()].parse::<Ipv4Addr>().is_ok();
    (is_address && stands_alone(text, &candidate, ".")).then_some(candidate)
}

/// Without the shortest ones, such as `a::b`, which are more often something else.
fn ipv6(text: &str, candidate: Range<usize>) -> Option<Range<usize>> {
    let found = text[candidate.clone()].trim_end_matches('.');
    let found = if found.ends_with("::") { found } else { found.trim_end_matches(':') };
    let candidate = candidate.start..candidate.start + found.len();
    let is_likely = found.len() > 5 && found.bytes().any(|byte| byte.is_ascii_digit());
    let is_address = is_likely && found.parse::<Ipv6Addr>().is_ok();
    (is_address && stands_alone(text, &candidate, "")).then_some(candidate)
}

/// The first run of whole groups of digits in `candidate` that is a card number. The digits beside it
/// may be something else, such as the day on which the card expires.
fn credit_card(text: &str, candidate: Range<usize>) -> Option<Range<usize>> {
    let bytes = &text.as_bytes()[candidate.clone()];
    let is_digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    for start in (0..bytes.len()).filter(|&index| is_digit(index) && (index == 0 || !is_digit(index - 1))) {
        let mut digits = Vec::with_capacity(19);
        let mut found = None;
        for (index, byte) in bytes.iter().enumerate().skip(start) {
            if !byte.is_ascii_digit() {
                continue;
            }
            digits.push(byte - b'0');
            if digits.len() > 19 {
                break;
            }
            if digits.len() >= 13 && !is_digit(index + 1) && has_luhn_sum(&digits) {
                found = Some(candidate.start + start..candidate.start + index + 1);
            }
        }
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Every second digit from the right is doubled, less 9 when it has two digits; the sum ends in 0.
fn has_luhn_sum(digits: &[u8]) -> bool {
    let mut sum = 0_u32;
    for (place, digit) in digits.iter().rev().enumerate() {
        let doubled = u32::from(*digit) << (place % 2);
        sum += if doubled > 9 { doubled - 9 } else { doubled };
    }
    sum > 0 && sum.is_multiple_of(10)
}

fn phone(text: &str, candidate: Range<usize>) -> Option<Range<usize>> {
    let digits = text[candidate.clone()].bytes().filter(u8::is_ascii_digit).count();
    ((7..=15).contains(&digits) && stands_alone(text, &candidate, "-_")).then_some(candidate)
}

/// Neither a letter, a digit nor one of `others` is beside `found`. One of `others` after it counts only
/// when a letter or a digit follows: a sentence may end there.
fn stands_alone(text: &str, found: &Range<usize>, others: &str) -> bool {
    let before = text[..found.start].chars().next_back();
    let mut after = text[found.end..].chars();
    let next = after.next();
    let is_joined = |found: Option<char>| found.is_some_and(char::is_alphanumeric);
    let is_other = |found: Option<char>| found.is_some_and(|found| others.contains(found));
    let goes_on = is_joined(next) || (is_other(next) && is_joined(after.next()));
    !goes_on && !is_joined(before) && !is_other(before)
}
