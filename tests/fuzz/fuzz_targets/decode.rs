//! Arbitrary bytes as one event.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: plaudit_fuzz::write_seeds(),
    |bytes: &[u8]| plaudit_fuzz::decode(bytes)
);
