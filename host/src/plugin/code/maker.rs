//! Who made native code: code of another maker is not even looked at.

use aws_lc_rs::digest::{Context, SHA256};
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use wasmtime::Engine;

/// The release of the engine, as `Cargo.lock` pins it. The engine's own check compares the major number only, and
/// a patch may mend the code generator.
pub(in crate::plugin) const ENGINE_VERSION: &str = "48.0.8";

/// Everything but the component that decides what native code looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct Maker {
    /// The release of the engine.
    pub engine: String,
    /// The engine's own digest of its settings.
    pub settings: String,
    /// This program.
    pub build: String,
    /// What the processor can do.
    pub features: String,
}

impl Maker {
    /// This process with that engine.
    pub(in crate::plugin) fn of(engine: &Engine) -> Self {
        let mut settings = HashInto(Context::new(&SHA256));
        engine.precompile_compatibility_hash().hash(&mut settings);
        Self {
            engine: ENGINE_VERSION.to_owned(),
            settings: hexadecimal(settings.0.finish().as_ref()),
            build: build(),
            features: features().join(","),
        }
    }

    /// All of it in 16 hexadecimal digits.
    pub(in crate::plugin) fn mark(&self) -> String {
        let mut mark = self.digest("");
        mark.truncate(16);
        mark
    }

    /// SHA-256 of all of it and of one component's digest, in hexadecimal.
    pub(in crate::plugin) fn digest(&self, component: &str) -> String {
        let mut context = Context::new(&SHA256);
        for part in [component, &self.engine, &self.settings, &self.build, &self.features] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        hexadecimal(context.finish().as_ref())
    }
}

/// The version, and which file of that version: a build of ours may differ from the next one by a patch to the
/// engine.
fn build() -> String {
    let file = std::fs::metadata("/proc/self/exe")
        .map(|file| format!("{}@{}.{}", file.size(), file.mtime(), file.mtime_nsec()))
        .unwrap_or_default();
    format!("umbel {} {file}", env!("CARGO_PKG_VERSION"))
}

/// What the code generator may make use of.
fn features() -> Vec<&'static str> {
    macro_rules! those_of {
        ($detect:ident: $($feature:tt)*) => {
            [$(($feature, std::arch::$detect!($feature))),*]
        };
    }
    #[cfg(target_arch = "x86_64")]
    let all = those_of!(is_x86_feature_detected:
        "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt" "cmpxchg16b" "avx512f"
        "avx512dq" "avx512vl" "avx512bitalg" "avx512vbmi");
    #[cfg(target_arch = "aarch64")]
    let all = those_of!(is_aarch64_feature_detected: "lse" "paca" "pacg" "fp16" "bti" "sve" "sve2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let all: [(&str, bool); 0] = [];
    all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes any letters.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Turns what the engine hashes into a digest that is the same in every process.
struct HashInto(Context);

impl Hasher for HashInto {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not asked for.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::component::engine;

    #[test]
    fn the_engine_is_the_one_that_is_locked() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")).unwrap();
        let line = format!("name = \"wasmtime\"\nversion = \"{ENGINE_VERSION}\"\n");
        assert!(lock.contains(&line), "ENGINE_VERSION is out of date: set it to what Cargo.lock says");
    }

    #[test]
    fn every_part_counts_and_the_rest_does_not() {
        let maker = Maker::of(&engine::build().unwrap());
        assert_eq!(maker, Maker::of(&engine::build().unwrap()), "the same in every process");
        assert_eq!(maker, Maker::of(&engine::build_compiler().unwrap()), "pooling and threads do not matter");
        assert_ne!(maker, Maker::of(&engine::build_counting().unwrap()));
        let other = |change: fn(&mut Maker)| {
            let mut other = maker.clone();
            change(&mut other);
            other
        };
        let others = [
            other(|maker| maker.engine = "48.0.1".to_owned()),
            other(|maker| maker.settings.push('0')),
            other(|maker| maker.build.push('0')),
            other(|maker| maker.features.push_str(",avx1024")),
        ];
        for other in others {
            assert_ne!(other.digest("a"), maker.digest("a"));
            assert_ne!(other.mark(), maker.mark());
        }
        assert_ne!(maker.digest("a"), maker.digest("b"));
    }
}
