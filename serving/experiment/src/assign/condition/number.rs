//! Numbers as JavaScript writes them, without allocating.

use std::fmt::Write as _;

/// The longest number that JavaScript writes: sign, 17 digits, point, zeros or exponent.
const LONGEST: usize = 32;

/// A short text on the stack.
#[derive(Clone, Copy)]
pub(in crate::assign) struct Text {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Text {
    pub(in crate::assign) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    fn push(&mut self, text: &str) {
        let room = &mut self.bytes[self.len..];
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
    }

    fn zeros(&mut self, count: i32) {
        for _ in 0..count {
            self.push("0");
        }
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text);
        Ok(())
    }
}

/// `number` as `String(number)` has it in JavaScript: the shortest digits that read back the same, plain between
/// 1e-6 and 1e21, else with an exponent.
pub(in crate::assign) fn js_text(number: f64) -> Text {
    let mut text = Text { bytes: [0; LONGEST], len: 0 };
    if number == 0.0 {
        text.push("0");
        return text;
    }
    if !number.is_finite() {
        text.push(if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
        return text;
    }
    let mut scientific = Text { bytes: [0; LONGEST], len: 0 };
    // Writing to a buffer of ample size cannot fail.
    let _ = write!(scientific, "{:e}", number.abs());
    let (mantissa, exponent) = scientific.as_str().split_once('e').unwrap_or(("0", "0"));
    let (head, tail) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number < 0.0 {
        text.push("-");
    }
    place_point(&mut text, head, tail, exponent);
    text
}

/// Writes the digits `head.tail · 10^exponent`; `head` is one digit.
fn place_point(text: &mut Text, head: &str, tail: &str, exponent: i32) {
    let num_tail = i32::try_from(tail.len()).unwrap_or(0);
    match exponent {
        0..=20 if num_tail <= exponent => {
            text.push(head);
            text.push(tail);
            text.zeros(exponent - num_tail);
        }
        0..=20 => {
            let (whole, part) = tail.split_at(usize::try_from(exponent).unwrap_or(0));
            text.push(head);
            text.push(whole);
            text.push(".");
            text.push(part);
        }
        -6..=-1 => {
            text.push("0.");
            text.zeros(-exponent - 1);
            text.push(head);
            text.push(tail);
        }
        _ => {
            text.push(head);
            if !tail.is_empty() {
                text.push(".");
                text.push(tail);
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(text, "e{sign}{}", exponent.abs());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::js_text;

    #[test]
    fn numbers_read_as_in_javascript() {
        let expected = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (123.0, "123"),
            (0.1, "0.1"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (1.25e-9, "1.25e-9"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (-1.234_567_890_123_456_7e-6, "-0.0000012345678901234567"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, text) in expected {
            assert_eq!(js_text(number).as_str(), text);
        }
    }
}
