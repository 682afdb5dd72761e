//! The `std` profile of WASI: what it gives, and to whom.

use anyhow::{Result, anyhow};
use umbel::plugin::record::{Answer, Question, ResolveTarget, Tape};
use umbel::plugin::{Compiled, Metering, Reason, Tried, Workbench};
use umbel_tests::Guest;

fn ask(compiled: &Compiled<'_>, spec: &str) -> Result<Tried<Answer>> {
    let manifest = format!("apiVersion: plugins.umbel.dev/v1alpha1\nkind: Plugin\nspec: {spec}\n");
    let candidate = compiled.candidate(Some(&manifest)).map_err(|refusal| anyhow!("{refusal}"))?;
    let question = Question::Resolve { target: ResolveTarget::default() };
    Ok(candidate.ask(&question, &Tape::default()))
}

#[test]
fn plain_rust_for_wasip2_runs_where_its_manifest_asks() -> Result<()> {
    let component = std::fs::read(Guest::Standard.component().map_err(|missing| anyhow!("{missing}"))?)?;
    let bench = Workbench::open(Metering::Off).map_err(|refusal| anyhow!("{refusal}"))?;
    let compiled = bench.compile("standard", &component).map_err(|refusal| anyhow!("{refusal}"))?;
    let Err(refusal) = compiled.candidate(None) else { panic!("taken without being asked for") };
    assert_eq!(refusal.reason, Reason::ImportNotOffered);
    assert!(refusal.message.contains("add wasi: std to spec"), "{refusal}");

    let tried = ask(&compiled, "{wasi: std, limits: {wall: 30s, cpu: 5s}}")?;
    let Ok(Answer::Fault { message, .. }) = &tried.answer else { panic!("{tried:?}") };
    assert_eq!(message, "args=0 vars=0 stdin=0 since1970=true random=true steady=true");
    let lines: Vec<(&str, &str)> = tried.lines.iter().map(|(level, text)| (*level, text.as_str())).collect();
    assert_eq!(lines, [("info", "one line"), ("warn", "a warning"), ("warn", "no end")]);

    let left = ask(&compiled, "{wasi: std, settings: {do: exit}}")?;
    let failure = left.answer.unwrap_err().message;
    assert!(failure.contains("trapped") && failure.contains("exit"), "{failure}");
    assert_eq!(left.lines, [("warn", "about to leave".to_owned())]);

    let panicked = ask(&compiled, "{wasi: std, settings: {do: panic}}")?;
    let failure = panicked.answer.unwrap_err();
    assert_eq!(failure.kind, "trap");
    assert!(failure.message.contains("panicked at") && failure.message.contains("as told"), "{failure}");
    assert!(
        panicked.lines.iter().any(|(level, text)| *level == "warn" && text.contains("as told")),
        "{:?}",
        panicked.lines
    );
    Ok(())
}
