//! `umbel version`.

use crate::model::yaml;
use clap::ValueEnum;
use serde::Serialize;

/// Forms of the answer, as kubectl names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    Json,
    Yaml,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    platform: String,
    kubernetes_types: &'static str,
}

/// The version in the wanted form, with a line end.
pub(super) fn render(output: Option<OutputFormat>) -> String {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        kubernetes_types: "v1.37",
    };
    let rendered = match output {
        None => Ok(format!("umbel {} ({})", version.version, version.platform)),
        Some(OutputFormat::Json) => serde_json::to_string_pretty(&version).map_err(|error| error.to_string()),
        Some(OutputFormat::Yaml) => {
            serde_json::to_value(&version).map(|value| yaml::write(&value)).map_err(|error| error.to_string())
        }
    };
    let text = rendered.unwrap_or_else(|error| error);
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_holds_the_version() {
        for output in [None, Some(OutputFormat::Json), Some(OutputFormat::Yaml)] {
            assert!(render(output).contains(env!("CARGO_PKG_VERSION")));
        }
        let json: serde_json::Value = serde_json::from_str(&render(Some(OutputFormat::Json))).unwrap();
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    }
}
