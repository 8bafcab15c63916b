//! The hash that spreads units: FNV-1a over UTF-16 code units.

/// Start of FNV-1a, 32 bits.
const OFFSET: u32 = 2_166_136_261;
const PRIME: u32 = 16_777_619;
/// Buckets of version 1.
const BUCKETS_V1: u32 = 1_000;
/// Buckets of version 2, and the resolution of everything that [`Plan`](super::Plan) decides: 1/10,000.
pub const BUCKETS: u32 = 10_000;

/// FNV-1a (32 bits) over the UTF-16 code units of `text`, not over its bytes: each unit is mixed in whole.
#[must_use]
pub fn fnv1a32(text: &str) -> u32 {
    extend(OFFSET, text)
}

fn extend(state: u32, text: &str) -> u32 {
    if text.is_ascii() {
        text.bytes().fold(state, |state, byte| mix(state, u32::from(byte)))
    } else {
        text.encode_utf16().fold(state, |state, unit| mix(state, u32::from(unit)))
    }
}

const fn mix(state: u32, unit: u32) -> u32 {
    (state ^ unit).wrapping_mul(PRIME)
}

/// The position of `value` in \[0, 1) under `seed`.
///
/// Version 1 has 1,000 positions: `fnv(value + seed) mod 1000`. Version 2 has 10,000 and no bias between seeds
/// that differ little: `fnv(decimal(fnv(seed + value))) mod 10000`. `None` for any other version.
#[must_use]
pub fn hash(seed: &str, value: &str, version: u64) -> Option<f64> {
    match version {
        1 => Some(f64::from(extend(fnv1a32(value), seed) % BUCKETS_V1) / f64::from(BUCKETS_V1)),
        2 => Some(f64::from(Salt::new(seed).bucket(value)) / f64::from(BUCKETS)),
        _ => None,
    }
}

/// A seed of version 2, hashed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(u32);

impl Salt {
    /// Where a hash is not needed.
    pub(super) const NONE: Self = Self(OFFSET);

    /// Hashes `seed`.
    #[must_use]
    pub fn new(seed: &str) -> Self {
        Self(fnv1a32(seed))
    }

    /// The bucket of `value`, below [`BUCKETS`].
    #[must_use]
    pub fn bucket(self, value: &str) -> u32 {
        fold(extend(self.0, value))
    }

    /// The hashes of `value` under several salts, in hardly more time than one: the chains do not wait for each other.
    pub(super) fn hash_all<const N: usize>(salts: [Self; N], value: &str) -> [Hash; N] {
        if !value.is_ascii() {
            return salts.map(|salt| Hash(extend(salt.0, value)));
        }
        let mut states = salts.map(|salt| salt.0);
        for byte in value.bytes() {
            for state in &mut states {
                *state = mix(*state, u32::from(byte));
            }
        }
        states.map(Hash)
    }
}

/// A value hashed once, of the two times that make a bucket.
#[derive(Clone, Copy)]
pub(super) struct Hash(u32);

impl Hash {
    pub(super) fn bucket(self) -> u32 {
        fold(self.0)
    }
}

/// Hashes the decimal digits of `hash`, and takes the bucket.
fn fold(hash: u32) -> u32 {
    let (top, rest) = (hash / 100_000_000, hash % 100_000_000);
    let digit = |state: u32, digit: u32| mix(state, u32::from(b'0') + digit);
    // Nearly all hashes have nine or ten digits. Those below can be had all at once, without waiting for each other, and
    // whether there is a tenth is not worth a branch, which would often be guessed wrong.
    if top == 0 {
        return fold_short(hash);
    }
    let tenth = digit(OFFSET, top / 10);
    let mut state = digit(if top >= 10 { tenth } else { OFFSET }, top % 10);
    for half in [rest / 10_000, rest % 10_000] {
        for place in [half / 1_000, half / 100 % 10, half / 10 % 10, half % 10] {
            state = digit(state, place);
        }
    }
    state % BUCKETS
}

/// As [`fold`], digit by digit.
#[cold]
fn fold_short(mut hash: u32) -> u32 {
    let mut digits = [0_u8; 10];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (hash % 10) as u8;
        hash /= 10;
        if hash == 0 {
            break;
        }
    }
    digits[start..].iter().fold(OFFSET, |state, digit| mix(state, u32::from(*digit))) % BUCKETS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_digits_are_those_that_a_person_would_write() {
        for number in [0, 7, 10, 99_999_999, 100_000_000, 100_000_001, 999_999_999, 1_000_000_000, 4_294_967_295] {
            assert_eq!(fold(number), fnv1a32(&number.to_string()) % BUCKETS, "{number}");
        }
    }

    #[test]
    fn other_versions_have_no_position() {
        assert_eq!(hash("abc", "def", 0), None);
        assert_eq!(hash("abc", "def", 3), None);
    }

    #[test]
    fn a_letter_outside_ascii_is_one_unit_not_two_bytes() {
        let bytes = "é".bytes().fold(OFFSET, |state, byte| mix(state, u32::from(byte)));
        assert_ne!(fnv1a32("é"), bytes);
        assert_eq!(fnv1a32("é"), mix(OFFSET, 0xE9));
        assert_eq!(fnv1a32("😀"), mix(mix(OFFSET, 0xD83D), 0xDE00));
    }

    #[test]
    fn buckets_are_filled_evenly() {
        let salt = Salt::new("even");
        let mut tenths = [0_u32; 10];
        for unit in 0..100_000 {
            tenths[(salt.bucket(&format!("user-{unit}")) / 1_000) as usize] += 1;
        }
        // Six standard deviations of a binomial count.
        assert!(tenths.iter().all(|count| count.abs_diff(10_000) < 570), "{tenths:?}");
    }

    proptest! {
        #[test]
        fn every_number_is_folded_by_its_digits(number in any::<u32>()) {
            prop_assert_eq!(fold(number), fnv1a32(&number.to_string()) % BUCKETS);
        }

        #[test]
        fn a_salt_agrees_with_the_plain_hash(seed in ".{0,12}", value in ".{0,40}") {
            let bucket = Salt::new(&seed).bucket(&value);
            prop_assert_eq!(hash(&seed, &value, 2), Some(f64::from(bucket) / 10_000.0));
            prop_assert_eq!(bucket, fnv1a32(&fnv1a32(&format!("{seed}{value}")).to_string()) % 10_000);
            let salts = [Salt::new("x"), Salt::new(&seed)];
            let buckets = Salt::hash_all(salts, &value).map(Hash::bucket);
            prop_assert_eq!(buckets, [Salt::new("x").bucket(&value), bucket]);
        }
    }
}
