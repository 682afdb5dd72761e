//! A resolver that looks a name up again and again, whatever comes of it.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "package umbel:waiting;
        world waiting {
            import umbel:host/dns@0.1.1;
            export umbel:lifecycle/lifecycle@0.1.0;
            export umbel:resolver/resolver@0.1.0;
        }",
    world: "umbel:waiting/waiting",
    generate_all,
});

use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use exports::umbel::resolver::resolver;
use umbel::host::dns;

struct Plugin;

export!(Plugin);

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: "waiting".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "waits for DNS".to_owned(),
            settings_schema: None,
            extra: Vec::new(),
        }
    }

    fn validate(_settings: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

impl resolver::Guest for Plugin {
    fn resolve(
        _context: resolver::Context,
        _target: resolver::Target,
    ) -> Result<resolver::Resolution, resolver::Fault> {
        loop {
            std::hint::black_box(dns::addresses("never.test", dns::Family::V4)).ok();
        }
    }
}
