//! Running the tools of a language.

use super::PluginBuildError;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A program that the author has, and how to get it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    /// The program's name.
    pub(super) name: &'static str,
    /// What to do when it is missing.
    pub(super) cure: &'static str,
}

impl Tool {
    /// Runs it; what it says about mistakes goes to standard error, where the author sees it at once.
    ///
    /// # Errors
    /// When it cannot be run or refuses.
    pub(super) fn run(self, command: &mut Command, dir: &Path) -> Result<Output, PluginBuildError> {
        let output = self.output(command.stderr(Stdio::inherit()))?;
        if output.status.success() {
            return Ok(output);
        }
        Err(PluginBuildError::Refused { tool: self.name.to_owned(), dir: dir.to_owned() })
    }

    /// Runs it and takes all that it says.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(super) fn output(self, command: &mut Command) -> Result<Output, PluginBuildError> {
        let missing = |cause| PluginBuildError::NoTool { tool: self.name.to_owned(), cause, cure: self.cure };
        // A backtrace of the tool would hide the plugin's own error.
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).output().map_err(missing)
    }

    /// Its command, without arguments.
    pub(super) fn command(self) -> Command {
        Command::new(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_its_cure() {
        let tool = Tool { name: "no-such-tool", cure: "install it from example.com" };
        let error = tool.run(&mut tool.command(), Path::new("x")).unwrap_err().to_string();
        assert!(error.contains("no-such-tool cannot be run"), "{error}");
        assert!(error.ends_with("install it from example.com"), "{error}");
    }

    #[test]
    fn a_refusal_names_tool_and_directory() {
        let tool = Tool { name: "false", cure: "" };
        let error = tool.run(&mut tool.command(), Path::new("my/plugin")).unwrap_err().to_string();
        assert_eq!(error, "false could not build my/plugin; see its messages above");
    }
}
