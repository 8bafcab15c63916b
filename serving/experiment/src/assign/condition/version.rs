//! Versions, compared as the published specification pads them.

use std::cmp::Ordering;

use serde_json::Value;

use super::js_text;

/// What versions are compared with.
#[derive(Debug, Clone)]
pub(super) struct Version {
    value: Value,
    plain: Option<u64>,
}

impl Version {
    pub(super) fn new(value: Value) -> Self {
        let plain = value.as_str().and_then(plain);
        Self { value, plain }
    }

    /// The order of `value` against it. Two texts or two numbers; anything else has no order.
    pub(super) fn order(&self, value: &Value) -> Option<Ordering> {
        match (value, &self.value) {
            (Value::String(value), Value::String(than)) => {
                let both = self.plain.and_then(|than| Some(plain(value)?.cmp(&than)));
                both.or_else(|| Some(compare(value, than)))
            }
            (Value::Number(value), Value::Number(than)) => {
                let [value, than] = [js_text(value.as_f64()?), js_text(than.as_f64()?)];
                Some(compare(value.as_str(), than.as_str()))
            }
            _ => None,
        }
    }
}

/// A number in the order of [`compare`] for what nearly all versions are: three numbers of at most five digits without
/// leading zeros, with points or hyphens between.
fn plain(version: &str) -> Option<u64> {
    let mut bytes = version.as_bytes();
    if let [b'v', rest @ ..] = bytes {
        bytes = rest;
    }
    let (mut all, mut part, mut digits, mut parts) = (0_u64, 0_u64, 0_u32, 1_u32);
    for byte in bytes {
        match byte {
            b'0'..=b'9' => {
                if digits == 5 || digits == 1 && part == 0 {
                    return None;
                }
                part = part * 10 + u64::from(byte - b'0');
                digits += 1;
            }
            b'.' | b'-' if digits > 0 => {
                all = all << 20 | part;
                (part, digits, parts) = (0, 0, parts + 1);
            }
            b'+' => break,
            _ => return None,
        }
    }
    (digits > 0 && parts == 3).then_some(all << 20 | part)
}

/// Compares two versions: a leading `v` and a build (`+…`) do not count, `.` and `-` separate parts, numbers are
/// padded with spaces to five places, and a version of exactly three parts comes after its pre-releases. The
/// padded texts are compared by UTF-16 code units.
fn compare(left: &str, right: &str) -> Ordering {
    padded(left).cmp(padded(right))
}

fn padded(version: &str) -> impl Iterator<Item = u16> + '_ {
    let version = if version.is_empty() { "0" } else { version };
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version.split('+').next().unwrap_or_default();
    let is_release = version.split(['-', '.']).count() == 3;
    let parts = version.split(['-', '.']).chain(is_release.then_some("~"));
    parts.enumerate().flat_map(|(index, part)| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let padding = if is_number { 5_usize.saturating_sub(part.len()) } else { 0 };
        let separator = (index > 0).then_some(u16::from(b'-'));
        separator.into_iter().chain(std::iter::repeat_n(u16::from(b' '), padding)).chain(part.encode_utf16())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_as_people_read_them() {
        let rising =
            ["0.9.9", "0.10.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "10.0.0"];
        for pair in rising.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn plain_versions_have_the_order_of_all(pair in prop::array::uniform2("v?[0-9]{1,6}[.-][0-9]{1,3}[.-][0-9]{1,2}([+.-][a0]{0,2})?")) {
            if let [Some(left), Some(right)] = [plain(&pair[0]), plain(&pair[1])] {
                prop_assert_eq!(left.cmp(&right), compare(&pair[0], &pair[1]), "{:?}", pair);
            }
        }
    }

    #[test]
    fn only_three_numbers_are_plain() {
        let is_plain = ["1.2.3", "v10.0.99999", "0.0.0", "1-2-3", "1.2.3+build.7"];
        let is_not =
            ["1.2", "1.2.3.4", "1.2.3-a", "01.2.3", "1.2.100000", "1..3", "", "1.2.", ".1.2", "1.2.é", "vv1.2.3"];
        assert!(is_plain.iter().all(|version| plain(version).is_some()));
        assert!(is_not.iter().all(|version| plain(version).is_none()));
    }

    #[test]
    fn prefix_and_build_do_not_count() {
        assert_eq!(compare("v1.2.3+build.9", "1.2.3"), Ordering::Equal);
        assert_eq!(compare("", "0"), Ordering::Equal);
        assert_ne!(compare("1.2", "1..2"), Ordering::Equal);
    }
}
