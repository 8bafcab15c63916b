//! What is known about a context and a candidate, as a sparse vector over hashed names.

/// The key of a feature called `name`, or of a category's `value`.
#[must_use]
pub fn key(name: &str, value: Option<&str>) -> u64 {
    // FNV-1a, then the finisher of SplitMix64 for the high bits; a byte that no UTF-8 has keeps the parts apart.
    let parts = name.bytes().chain(value.into_iter().flat_map(|value| std::iter::once(0xff).chain(value.bytes())));
    mix(parts.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// The key of two features together; their order matters.
#[must_use]
pub const fn pair(first: u64, second: u64) -> u64 {
    mix(first.rotate_left(23) ^ second.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The key of the constant.
const CONSTANT: u64 = 0;

/// The features of one candidate in one context.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Features(Vec<(u64, f64)>);

impl Features {
    /// The constant, the context, the candidate and every pair of the two. What is the same for all candidates
    /// (constant and context alone) moves no choice; it keeps the base rate out of what does. `own` are the
    /// features of the candidate; give its name as one of them, with the value 1, to learn about it alone.
    #[must_use]
    pub fn crossed(context: &[(u64, f64)], own: &[(u64, f64)]) -> Self {
        let mut all = Vec::with_capacity((1 + context.len()) * (1 + own.len()));
        all.push((CONSTANT, 1.0));
        all.extend_from_slice(context);
        for (own_key, own_value) in own {
            all.push((pair(CONSTANT, *own_key), *own_value));
            all.extend(context.iter().map(|(key, value)| (pair(*key, *own_key), value * own_value)));
        }
        Self(all)
    }

    pub(super) fn entries(&self) -> &[(u64, f64)] {
        &self.0
    }

    /// Differs, but for a chance of 2⁻⁶⁴, where the features do.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.0.iter().fold(0, |hash, (key, value)| pair(pair(hash, *key), value.to_bits()))
    }
}
