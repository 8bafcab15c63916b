//! Versions, compared as the published specification pads them.

use std::cmp::Ordering;

/// Compares two versions: a leading `v` and a build (`+…`) do not count, `.` and `-` separate parts, numbers are
/// padded with spaces to five places, and a version of exactly three parts comes after its pre-releases. The
/// padded texts are compared by UTF-16 code units.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
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

    #[test]
    fn prefix_and_build_do_not_count() {
        assert_eq!(compare("v1.2.3+build.9", "1.2.3"), Ordering::Equal);
        assert_eq!(compare("", "0"), Ordering::Equal);
        assert_ne!(compare("1.2", "1..2"), Ordering::Equal);
    }
}
