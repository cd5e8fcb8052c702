//! Whatever a text says, the loader answers, twice the same, and what it loads can be printed.
//! `cargo +nightly fuzz run load fuzz/corpus tests/loader/samples` in `crds`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tetragon_crds::{Origin, load};

fuzz_target!(|text: &str| {
    match load(text, &Origin::Grpc) {
        Ok(policy) => {
            assert!(serde_json::to_string(&policy).is_ok());
            assert_eq!(load(text, &Origin::Grpc).as_ref(), Ok(&policy));
        }
        Err(errors) => {
            assert!(!errors.errors.is_empty());
            assert!(!errors.to_string().is_empty());
        }
    }
});
