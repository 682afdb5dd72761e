//! Which manifest is used when another one is installed already.

use super::InstallFlags;
use crate::assembly::CommandError;
use crate::assembly::plugin_commands::given::Given;
use similar::TextDiff;
use std::fs;
use std::path::{Path, PathBuf};

/// The action on the manifest in the plugin directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The plugin's own manifest is written.
    Write,
    /// The installed one stays.
    Keep(PathBuf),
}

/// Decides between the plugin's own manifest and the installed one. Leaves the manifest that will be in effect in
/// `given`, so that the component is checked with it.
///
/// # Errors
/// `Failed` with the difference, when both exist and no flag chooses.
pub(super) fn choose(
    flags: &InstallFlags,
    given: &mut Given,
    directory: &Path,
) -> Result<Choice, CommandError> {
    let present = directory.join(format!("{}.yaml", given.name));
    if !present.exists() {
        return Ok(Choice::Write);
    }
    let installed = fs::read_to_string(&present)
        .map_err(|cause| CommandError::failed(format!("{}: {cause}", present.display())))?;
    match &given.manifest {
        Some((_, own)) if *own == installed || flags.replace_manifest => return Ok(Choice::Write),
        Some((path, own)) if !flags.keep_manifest => {
            return Err(CommandError::failed(difference(&present, &installed, path, own)));
        }
        _ => {}
    }
    given.manifest = Some((present.clone(), installed));
    Ok(Choice::Keep(present))
}

/// Grants and settings belong to the operator, so neither manifest may replace the other without a decision.
fn difference(present: &Path, installed: &str, path: &Path, own: &str) -> String {
    let diff = TextDiff::from_lines(installed, own);
    let headers = (present.display().to_string(), path.display().to_string());
    format!(
        "the manifest in the plugin directory differs from the plugin's own, so nothing is installed\n{}\
         --keep-manifest keeps {}\n--replace-manifest replaces it with {}",
        diff.unified_diff().header(&headers.0, &headers.1),
        headers.0,
        headers.1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_line_by_line_with_both_ways_forward() {
        let text = difference(
            Path::new("plugins/a.yaml"),
            "kind: Plugin\nspec: {settings: {zone: a}}\n",
            Path::new("a.yaml"),
            "kind: Plugin\nspec: {settings: {zone: b}}\n",
        );
        for line in [
            "--- plugins/a.yaml",
            "+++ a.yaml",
            "-spec: {settings: {zone: a}}",
            "+spec: {settings: {zone: b}}",
            " kind: Plugin",
            "--keep-manifest keeps plugins/a.yaml",
            "--replace-manifest replaces it with a.yaml",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
