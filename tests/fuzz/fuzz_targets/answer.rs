//! `cargo +nightly fuzz run answer`: see `README.md`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use umbel_fuzz::image::Case;
use umbel_fuzz::oracle::run;

fuzz_target!(|case: Case| run(&case));
