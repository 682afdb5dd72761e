//! A resolver that asks a server: the body of the answer is the host. Settings: `{"url": …, "trapOn": …}`; it traps
//! at a body that has the text of `trapOn` in it. It names the secret `token` and reads the clock.

wit_bindgen::generate!({ path: "../../../wit", world: "umbel:plugin/resolver", generate_all });

use exports::umbel::lifecycle::lifecycle::{Description, Guest as Lifecycle, Problem};
use exports::umbel::resolver::resolver::{Context, Endpoint, Fault, Guest, Resolution, Target};
use umbel::host::{clock, http};

struct Plugin;

export!(Plugin);

/// The text behind `"<key>":"` up to the next quotation mark.
fn setting<'a>(settings: &'a str, key: &str) -> &'a str {
    let start = format!("\"{key}\":\"");
    let rest = settings.split_once(start.as_str()).map_or("", |(_, rest)| rest);
    rest.split_once('"').map_or("", |(value, _)| value)
}

impl Lifecycle for Plugin {
    fn describe() -> Description {
        Description {
            name: "resolver-http".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "resolves to what a server says".to_owned(),
            settings_schema: None,
            extra: Vec::new(),
        }
    }

    fn validate(_settings: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

impl Guest for Plugin {
    fn resolve(context: Context, target: Target) -> Result<Resolution, Fault> {
        let request = http::Request {
            method: "GET".to_owned(),
            url: setting(&context.settings, "url").to_owned(),
            headers: vec![("x-service".to_owned(), target.name.clone())],
            body: None,
            credential: Some("token".to_owned()),
            timeout_ms: None,
            extra: Vec::new(),
        };
        let answer = http::send(&request).map_err(|fault| Fault::Unavailable(format!("{fault:?}")))?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let trap_on = setting(&context.settings, "trapOn");
        assert!(trap_on.is_empty() || !body.contains(trap_on), "as told");
        let endpoint = Endpoint {
            host: body.trim().to_owned(),
            port: target.port,
            priority: 0,
            weight: 1,
            server_name: None,
            extra: Vec::new(),
        };
        // Good until the next full second, so that the answer depends on the clock.
        let fresh_ms = u32::try_from(60_000 - clock::wall_ms() % 1_000).ok();
        Ok(Resolution { endpoints: vec![endpoint], fresh_ms, stale_ms: None, extra: Vec::new() })
    }
}
