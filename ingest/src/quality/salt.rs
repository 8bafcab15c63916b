//! Hashes of the names of units.

use hmac::{Hmac, Mac};
use plaudit_event::UnitId;
use sha2::Sha256;

use crate::Error;

/// Shortest salt.
pub const SALT_BYTES: usize = 16;
/// What a hashed name begins with; 64 lower-case hexadecimal digits follow.
pub const UNIT_HASH_PREFIX: &str = "h1:";

/// The secret under which the names of units are hashed.
///
/// A hash is `h1:` and HMAC-SHA256(salt, name) as 64 lower-case hexadecimal digits. What has this form
/// already stays as it is, so that an event which was stored or refused can be sent again. Whoever has the
/// salt can find the hash of a name, as erasure must; without it neither is found from the other.
#[derive(Clone)]
pub struct Salt(Hmac<Sha256>);

impl Salt {
    /// The salt that consists of `bytes`.
    ///
    /// # Errors
    /// Fails when there are fewer than 16.
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() < SALT_BYTES {
            return Err(Error::Limit {
                what: "bytes of the salt of unit hashes",
                allowed: format!("at least {SALT_BYTES}"),
                value: bytes.len().to_string(),
            });
        }
        Ok(Self(Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length")))
    }

    /// The name under which `unit` is stored.
    #[must_use]
    pub fn unit(&self, unit: &UnitId) -> UnitId {
        UnitId::new(self.hash(unit.as_str())).expect("a hash has 67 printable characters")
    }

    /// As [`unit`](Self::unit), of any text that names a unit.
    #[must_use]
    pub fn hash(&self, name: &str) -> String {
        if is_hash(name) {
            return name.to_owned();
        }
        let mut mac = self.0.clone();
        mac.update(name.as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut text = String::with_capacity(UNIT_HASH_PREFIX.len() + 2 * digest.len());
        text.push_str(UNIT_HASH_PREFIX);
        for byte in digest {
            for half in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(half), 16).expect("half a byte is a digit"));
            }
        }
        text
    }
}

impl PartialEq for Salt {
    /// Two salts are equal when they make equal hashes.
    fn eq(&self, other: &Self) -> bool {
        self.hash("") == other.hash("")
    }
}

impl Eq for Salt {}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(hidden)")
    }
}

fn is_hash(name: &str) -> bool {
    let Some(digits) = name.strip_prefix(UNIT_HASH_PREFIX) else { return false };
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers by Python: `hmac.new(b"0123456789abcdef", b"ada", "sha256").hexdigest()`.
    #[test]
    fn a_hash_is_the_hmac_of_the_name() {
        let salt = Salt::new(b"0123456789abcdef").unwrap();
        assert_eq!(salt.hash("ada"), "h1:83eeb38e004a295359bde4b0760bb271a6e9e614701bce5053849938a657c6ec");
        let unit = UnitId::new("ada").unwrap();
        assert_eq!(salt.unit(&unit).as_str(), salt.hash("ada"));
        assert_ne!(Salt::new(b"0123456789abcdeg").unwrap().hash("ada"), salt.hash("ada"));
    }

    #[test]
    fn what_is_hashed_stays_as_it_is() {
        let salt = Salt::new(b"0123456789abcdef").unwrap();
        let hash = salt.hash("ada");
        assert_eq!(salt.hash(&hash), hash);
        let shouted = hash.replace("h1:", "H1:");
        for other in [&hash[..66], &hash[3..], &format!("{hash}0"), &shouted] {
            assert_ne!(salt.hash(other), other, "{other}");
        }
    }

    #[test]
    fn a_short_salt_is_refused_and_none_is_shown() {
        let refused = Salt::new(b"0123456789abcde").unwrap_err();
        assert_eq!(refused.to_string(), "bytes of the salt of unit hashes must be at least 16, got 15");
        assert_eq!(format!("{:?}", Salt::new(b"0123456789abcdef").unwrap()), "Salt(hidden)");
    }
}
