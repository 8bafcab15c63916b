//! A variation forced by the page's address.

/// The variation that the query of `url` forces for the experiment `key`: `?key=1`, a whole number below
/// `num_variations`. What comes after `#` does not count.
#[must_use]
pub fn query_override(key: &str, url: &str, num_variations: usize) -> Option<usize> {
    let (_, query) = url.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    let value = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?;
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let variation = value.parse::<usize>().ok().filter(|_| is_number)?;
    (variation < num_variations).then_some(variation)
}

#[cfg(test)]
mod tests {
    use super::query_override;

    #[test]
    fn only_a_whole_number_in_range_counts() {
        let forced = |url| query_override("exp", url, 2);
        assert_eq!(forced("https://a.b/?x=1&exp=1#exp=0"), Some(1));
        for url in [
            "",
            "https://a.b",
            "https://a.b/?exp=2",
            "https://a.b/?exp=-1",
            "https://a.b/?exp=+1",
            "?exp=",
            "?exp=1.0",
            "#?",
        ] {
            assert_eq!(forced(url), None, "{url}");
        }
        assert_eq!(forced("https://a.b/?myexp=1"), None);
    }
}
