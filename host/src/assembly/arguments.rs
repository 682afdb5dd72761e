//! Reads the command line of `umbel serve` to its end, past what cannot be understood, so that one mistyped flag
//! does not hide what is wrong with the others.

use super::cli::{Cli, Command};
use crate::config::{Origin, Problem};
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::{OsStr, OsString};

/// Parses the arguments, the program's name included. What cannot be understood behind `serve` becomes a problem of
/// its settings.
///
/// # Errors
/// As clap tells it: every other command that cannot be understood, and wishes for help.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let first = match Cli::try_parse_from(&arguments) {
        Err(error) if arguments.get(1).is_some_and(|command| command == "serve") => error,
        parsed => return parsed,
    };
    let mut rest = Rest { arguments, problems: Vec::new() };
    let mut error = first;
    // Every round takes at least one argument away.
    loop {
        if !rest.take_out(&error) {
            return Err(error);
        }
        match Cli::try_parse_from(&rest.arguments) {
            Ok(mut cli) => {
                if let Command::Serve(flags) = &mut cli.command {
                    flags.misunderstood = rest.problems;
                }
                return Ok(cli);
            }
            Err(next) => error = next,
        }
    }
}

/// What is left of the arguments, and what was wrong with the others.
struct Rest {
    arguments: Vec<OsString>,
    problems: Vec<Problem>,
}

impl Rest {
    /// Takes out what an error is about; `false` when that cannot be told.
    fn take_out(&mut self, error: &clap::Error) -> bool {
        let text = |kind: ContextKind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            _ => "",
        };
        // A known flag is named with its value, for example `--listen <IP:PORT>`.
        let named = text(ContextKind::InvalidArg).split([' ', '.']).next().unwrap_or_default();
        match error.kind() {
            ErrorKind::UnknownArgument if text(ContextKind::InvalidArg).starts_with('-') => {
                let suggested = text(ContextKind::SuggestedArg);
                let advice = if suggested.is_empty() {
                    "; `umbel serve --help` lists the flags".to_owned()
                } else {
                    format!("; did you mean {suggested}?")
                };
                let flag = text(ContextKind::InvalidArg);
                self.remove(flag, 0, true, format!("there is no such flag{advice}"))
            }
            ErrorKind::UnknownArgument => {
                self.remove(text(ContextKind::InvalidArg), 0, false, "belongs to no flag".to_owned())
            }
            ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_empty() => {
                let index = self.count(named).saturating_sub(1);
                let missing = (0..=index).find(|index| self.value_of(named, *index).is_none());
                self.remove(named, missing.unwrap_or(index), false, "needs a value".to_owned())
            }
            ErrorKind::TooManyValues => {
                self.remove(named, 0, false, "takes no value; repeat it instead".to_owned())
            }
            ErrorKind::ArgumentConflict => {
                self.remove(named, 1, true, "is given twice; give it once".to_owned())
            }
            _ => false,
        }
    }

    /// Removes the `index`-th argument that is `name` or `name=value`, and its value where it `has_value`.
    fn remove(&mut self, name: &str, index: usize, has_value: bool, text: String) -> bool {
        let Some(at) = self.positions(name).nth(index) else { return false };
        let attached = attached_value(&self.arguments[at]);
        let value = attached.or_else(|| if has_value { self.value_of(name, index) } else { None });
        let is_flag = name.starts_with("--");
        let detached = value.is_some() && attached_value(&self.arguments[at]).is_none();
        self.arguments.drain(at..=at + usize::from(detached));
        self.problems.push(Problem {
            origin: Origin::Flag,
            key: if is_flag { name[2..].to_owned() } else { String::new() },
            value: if is_flag { value } else { Some(name.to_owned()) },
            text,
        });
        true
    }

    fn positions(&self, name: &str) -> impl Iterator<Item = usize> {
        let is_meant = move |argument: &OsStr| {
            let argument = argument.to_string_lossy();
            argument == name
                || (name.starts_with('-')
                    && argument.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
        };
        // Behind the program's name and the command.
        let behind = self.arguments.iter().enumerate().skip(2);
        behind.filter(move |(_, argument)| is_meant(argument)).map(|(index, _)| index)
    }

    fn count(&self, name: &str) -> usize {
        self.positions(name).count()
    }

    /// The value of the `index`-th argument `name`, where one is there.
    fn value_of(&self, name: &str, index: usize) -> Option<String> {
        let at = self.positions(name).nth(index)?;
        attached_value(&self.arguments[at]).or_else(|| {
            let next = self.arguments.get(at + 1)?.to_string_lossy();
            (!next.starts_with('-')).then(|| next.into_owned())
        })
    }
}

/// The value in `--name=value`.
fn attached_value(argument: &OsStr) -> Option<String> {
    let argument = argument.to_string_lossy();
    argument.starts_with('-').then(|| argument.split_once('=').map(|(_, value)| value.to_owned())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(arguments: &[&str]) -> (Vec<String>, Option<String>) {
        let all = ["umbel", "serve"].iter().chain(arguments).map(OsString::from).collect();
        let Ok(Cli { command: Command::Serve(flags) }) = parse(all) else {
            panic!("{arguments:?} were not read to their end")
        };
        (flags.misunderstood.iter().map(ToString::to_string).collect(), flags.listen)
    }

    #[test]
    fn what_stands_behind_a_mistyped_flag_is_read() {
        let (problems, listen) = told(&["--listne", "x", "--dry", "--listen", ":0", "--lisen=:1", "extra"]);
        assert_eq!(
            problems,
            [
                "--listne \"x\": there is no such flag; did you mean --listen?",
                "--dry: there is no such flag; `umbel serve --help` lists the flags",
                "--lisen \":1\": there is no such flag; did you mean --listen?",
                "\"extra\": belongs to no flag",
            ]
        );
        assert_eq!(listen.as_deref(), Some(":0"));
    }

    #[test]
    fn flags_that_are_given_wrongly_are_told() {
        let (problems, listen) =
            told(&["--listen", ":0", "--listen", ":1", "--data-dir", "--verbose=2", "-x", "--plugin-dir"]);
        assert_eq!(
            problems,
            [
                "--listen \":1\": is given twice; give it once",
                "--verbose \"2\": takes no value; repeat it instead",
                "\"-x\": there is no such flag; `umbel serve --help` lists the flags",
                "--data-dir: needs a value",
                "--plugin-dir: needs a value",
            ]
        );
        assert_eq!(listen.as_deref(), Some(":0"));
    }

    #[test]
    fn help_and_other_commands_are_left_to_the_parser() {
        let kind = |arguments: &[&str]| {
            parse(arguments.iter().map(OsString::from).collect()).map(|_| ()).unwrap_err().kind()
        };
        assert_eq!(kind(&["umbel", "serve", "--help"]), ErrorKind::DisplayHelp);
        assert_eq!(kind(&["umbel", "sevre"]), ErrorKind::InvalidSubcommand);
        assert_eq!(kind(&["umbel", "version", "--listen"]), ErrorKind::UnknownArgument);
    }
}
