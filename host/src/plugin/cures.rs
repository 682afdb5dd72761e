//! What every reason means and how to mend it. The table of the authors' guide is written from here.

use super::status::Reason;

macro_rules! explain {
    ($($reason:ident: $cause:literal => $cure:literal;)*) => {
        impl Reason {
            /// Every reason, in the order in which a plugin can meet them.
            pub const ALL: &'static [Self] = &[$(Self::$reason),*];

            /// What leads to it.
            pub fn cause(self) -> &'static str {
                match self { $(Self::$reason => $cause),* }
            }

            /// What to do about it.
            pub fn cure(self) -> &'static str {
                match self { $(Self::$reason => $cure),* }
            }
        }
    };
}

explain! {
    InvalidName: "the file name is no DNS label"
        => "rename the file: lower-case letters, digits and `-`, at most 63, then `.wasm`";
    Unreadable: "the file cannot be read, is no regular file, or is a link that leads out of the plugin directory"
        => "mend its rights, or put the file itself there: `umbel plugin install`";
    CheckTimeout: "reading the files was not over after 10 s: the disk or the file system that they lie on, or that a link leads to, does not answer"
        => "look after that file system, or put the files themselves into the directory: `umbel plugin install`; they are read again as soon as it answers";
    PermissionsTooOpen: "others than root and the gateway's own user own the file or its directory, or may write there: they would decide what the gateway does"
        => "run the command that the message ends with, `chmod go-w` or `chown`; `umbel plugin install` sets it right; `umbel serve --plugins-insecure-permissions` takes such files all the same";
    TooLarge: "the component has more than 32 MiB, or the manifest more than 1 MiB"
        => "build it optimised and without debug information; settings are no place for data";
    NotAComponent: "the file is a core module, a text, or empty"
        => "build it with `umbel plugin build`, which makes a component of a core module";
    DigestMismatch: "the component is not the one that `spec.digest` of the manifest pins"
        => "pin the digest that `umbel plugin inspect` prints, or install the component that was meant";
    ManifestInvalid: "the manifest beside the component cannot be understood"
        => "mend the line that the message names; `umbel plugin check` says whether it is right";
    InvalidWasm: "the component is damaged or cut off"
        => "build it again and copy it whole";
    UnsupportedFeature: "the component is whole and needs a feature that gateways leave off"
        => "build it without threads, garbage collection, exceptions and component-model async; the message names the feature";
    CompileTimeout: "compiling takes more than 60 s of computing, or was not over after 300 s"
        => "make the component smaller: build it optimised, leave out what it does not use; where the machine was busy, ask for `plugins.umbel.dev/reload`";
    CompileMemory: "compiling takes more than 1 GiB of memory"
        => "make the component smaller: mostly one function is very large, or data are compiled in that settings could hold";
    CompileFailed: "the compiler died, could not be started, or answered with something else than native code"
        => "the message says how; where memory was short (signal 9) give the gateway more, where no process can be started allow that or keep components below 4 MiB, and then ask for `plugins.umbel.dev/reload`; report a crash (signal 6 or 11) with the component";
    NoKnownInterface: "the component exports no interface that a gateway asks, or no `umbel:lifecycle/lifecycle`"
        => "build it against one of the worlds in `wit/`: resolver, health or discovery";
    InterfaceTooNew: "the component speaks a version of an interface that this gateway does not know"
        => "update the gateway, or build against the `wit/` folder of this one: `umbel plugin new` writes it";
    ImportNotOffered: "the component imports WASI and its manifest does not ask for it, or files, sockets or something else that no plugin gets, or a transformer imports more than `log`"
        => "build without WASI: `umbel plugin build` does it for Rust, Go, JavaScript and Python; or write `wasi: std` into the manifest, which gives output, clocks and random numbers, and never files or sockets";
    LinkTimeout: "connecting its imports and finding its exports was not over after 30 s"
        => "make the component smaller; where the machine was busy, ask for `plugins.umbel.dev/reload`";
    TypeMismatch: "an interface of a known name has other types than here"
        => "build against the `wit/` folder as it is; leave its files unchanged";
    DescribeFailed: "a first call, `describe` or `validate`, trapped or ran out of its budget, or the settings schema that it states cannot be used"
        => "mend what the message names; `umbel plugin test` shows it without a gateway";
    SettingsInvalid: "`spec.settings` of the manifest do not fit the settings schema that the plugin states, or the plugin refuses them"
        => "mend the settings that the message names by JSON pointer";
    RehearsalTrap: "it traps, wants too much memory or answers nonsense at a recorded call that the generation before it answered"
        => "make cases of the recorded calls, `umbel plugin record`, and mend what `umbel plugin test` shows; `rehearsal: off` in the manifest skips this";
    RehearsalTimeout: "it runs out of time at a recorded call that the generation before it answered"
        => "as for `RehearsalTrap`; `umbel plugin bench` measures the call, and `spec.limits` of the manifest may allow more";
    RehearsalDifferent: "it answers a recorded call otherwise than the generation before it, and the manifest says `rehearsal: strict`"
        => "if that is meant, write `rehearsal: report`; else mend it: `umbel plugin record` makes cases of the calls";
    RolledBack: "on probation it failed five times, or more of its calls than not, and the generation before it serves again; or an operator went back"
        => "`/plugins` shows the last fault; make a case of it for `umbel plugin test`. The same file is not tried again until it changes or the annotation `plugins.umbel.dev/reload` asks for it";
    Suspended: "it failed five times in a row, or more than half of 20 calls or more in a minute, and there is no generation before it; it is asked again later"
        => "`/plugins` shows the last fault; make a case of it for `umbel plugin test`";
    Quarantined: "it was suspended three times within ten minutes; it is not asked any more"
        => "mend what the last fault names and install the new component; any change of its files ends the quarantine, and so does the annotation `plugins.umbel.dev/reset`";
    Missing: "an annotation or a manifest names the plugin and there is no such component"
        => "put the component there, or change the annotation, or remove the manifest";
    EngineUnavailable: "this machine cannot run the engine"
        => "the message says why: mostly too little address space (`ulimit -v`) or too few threads";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_is_explained_once() {
        let causes: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.cause()).collect();
        assert_eq!(causes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(
                !reason.cure().contains('|') && !reason.cause().contains('|'),
                "{reason} breaks the table"
            );
        }
    }
}
