//! Parsing, with a budget for everything that can grow.

use serde::Deserialize;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, MessageFormatter as _, Options, UserMessageFormatter};

/// How deep lists and mappings may be nested: as deep as in `serde_json`.
pub const MAX_DEPTH: usize = 127;
/// The error text for deeper ones.
pub const TOO_DEEP: &str = "exceeded max depth";

/// Lists, mappings and scalars of one document. The largest list that fits into a manifest file needs fewer.
const MAX_NODES: usize = 2_000_000;
/// Events of the parser: two for each list and mapping, one for each scalar.
const MAX_EVENTS: usize = 2 * MAX_NODES;
/// Maximum number of nodes that aliases repeat. Text that expands to more is an attack, not configuration.
const MAX_REPEATED: usize = 100_000;
/// Maximum number of anchors in one document, and of aliases.
const MAX_ALIASES: usize = 10_000;
/// Bytes of stack that [`MAX_DEPTH`] levels need at most.
const STACK_NEEDED: usize = 4 << 20;
/// Longest error text that is passed on, in bytes: it may quote the input.
const MAX_CAUSE: usize = 1_000;

/// Why text is not valid YAML for the expected type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause} at line {line} column {column}")]
pub struct YamlError {
    /// The line, the first is 1.
    pub line: usize,
    /// The column, the first is 1.
    pub column: usize,
    /// The error at this place.
    pub cause: String,
}

/// Reads one document as `sigs.k8s.io/yaml` does, which is YAML 1.1: a plain `on` is a boolean, `012` is ten. No key
/// may stand twice.
///
/// # Errors
/// The first thing that is wrong, or the limit that is exceeded.
pub fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, YamlError> {
    let mut options = bounded();
    options.legacy_octal_numbers = true;
    parse(text, options)
}

/// The same for a type that handles duplicate keys itself.
///
/// # Errors
/// As [`read`].
pub fn read_with_duplicates<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, YamlError> {
    let mut options = bounded();
    options.legacy_octal_numbers = true;
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    parse(text, options)
}

/// Reads one document whose values are mostly text: only `true`, `false`, `null` and numbers in their usual form have
/// other types, as in YAML 1.2. Duplicate keys are errors.
///
/// # Errors
/// The first thing that is wrong, or the limit that is exceeded.
pub fn read_settings<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, YamlError> {
    let mut options = bounded();
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.underscored_numbers_as_strings = true;
    parse(text, options)
}

/// Reading one level takes a dozen calls, which need up to 16 KiB in a debug build. A thread of a runtime has 2 MiB,
/// so [`MAX_DEPTH`] levels get a stack of their own where less than `STACK_NEEDED` is left.
fn parse<'de, T: Deserialize<'de>>(text: &'de str, options: Options) -> Result<T, YamlError> {
    stacker::maybe_grow(STACK_NEEDED, 2 * STACK_NEEDED, || {
        serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(&error))
    })
}

fn bounded() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            // One more than the depth, so that the budget reports the error and not the parser.
            flow_nesting_limit: MAX_DEPTH + 1,
            max_nodes: MAX_NODES,
            max_events: MAX_EVENTS,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_merge_keys: MAX_ALIASES,
            max_recorded_anchor_events: MAX_EVENTS,
            // The nodes that aliases repeat have a limit of their own.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPEATED,
            max_replay_stack_depth: 32,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        reject_unsupported_tags: true,
        // The error never shows a line of the input, which may hold a secret.
        with_snippet: false,
    }
}

fn explain(error: &Error) -> YamlError {
    let place = error.location();
    let [line, column] = place.map_or([1, 1], |place| [place.line(), place.column()]);
    let position = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
    YamlError { line: position(line), column: position(column), cause: cause(error) }
}

fn cause(error: &Error) -> String {
    if let Error::Budget { breach, .. } = error {
        return match breach {
            BudgetBreach::Depth { .. } => TOO_DEEP.to_owned(),
            BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } => {
                format!("has more than {MAX_ALIASES} anchors or aliases")
            }
            BudgetBreach::MergeKeys { .. } => format!("has more than {MAX_ALIASES} merge keys"),
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
                format!("has more than {MAX_NODES} values: split it")
            }
            other => format!("is larger than what is read: {other:?}"),
        };
    }
    if matches!(error, Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. }) {
        return format!("aliases repeat more than {MAX_REPEATED} values");
    }
    let text = UserMessageFormatter.format_message(error).into_owned();
    if text.contains("recursion limit") || text.contains("nesting") {
        return TOO_DEEP.to_owned();
    }
    let shown = &text[..text.floor_char_boundary(MAX_CAUSE)];
    if shown.len() < text.len() { format!("{shown}…") } else { text }
}
