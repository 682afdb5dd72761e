//! The command line: what it prints, what it refuses, and with which exit code.

use anyhow::Result;
use std::fs;
use std::process::Command;
use tempfile::TempDir;
use umbel_tests::umbel_program;

struct Told {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs `umbel` in a directory of its own.
fn umbel(home: &TempDir, arguments: &[&str]) -> Result<Told> {
    let output = Command::new(umbel_program()?).args(arguments).current_dir(home.path()).output()?;
    Ok(Told {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Arguments that cannot be used, and what is said about them. Exit code 2; nothing is made.
const BAD: &[(&[&str], &str)] = &[
    (&["serve", "--data-dir", "file"], "--data-dir \"file\": is there already and is no directory"),
    (&["serve", "--data-dir="], "--data-dir \"\": is empty"),
    (&["serve", "--listen", "6443"], "--listen \"6443\": is no address; write IP:PORT"),
    (&["serve", "--listen", "127.0.0.1:99999"], "--listen \"127.0.0.1:99999\": is no address"),
    (
        &["serve", "--advertise-host", "http://a"],
        "--advertise-host \"http://a\": is neither a DNS name nor an IP",
    ),
    (&["serve", "--plugin-dir", "file"], "--plugin-dir \"file\": is there already and is no directory"),
    (&["serve", "--manifest-dir", "file"], "--manifest-dir \"file\": is there already and is no directory"),
    (&["serve", "--tls-cert-file", "file"], "--tls-cert-file \"file\": needs --tls-private-key-file as well"),
    (
        &["serve", "--tls-private-key-file", "file"],
        "--tls-private-key-file \"file\": needs --tls-cert-file as well",
    ),
    (&["serve", "--client-ca-file", "gone"], "--client-ca-file \"gone\": cannot be read"),
    (&["serve", "--client-ca-file", "file"], "--client-ca-file \"file\": holds no certificate"),
    (&["serve", "--token-auth-file", "file"], "--token-auth-file \"file\": line 1: at least 3 columns"),
    (&["serve", "--worker-threads", "0"], "--worker-threads \"0\": must be a whole number from 1"),
    (&["serve", "--worker-threads", "many"], "--worker-threads \"many\": must be a whole number from 1"),
    (&["serve", "--drain-timeout", "soon"], "--drain-timeout \"soon\": must be a duration"),
    (&["serve", "--log-format", "xml"], "--log-format \"xml\": is neither text nor json"),
    (&["serve", "--config", "gone.yaml"], "--config \"gone.yaml\": cannot be read"),
    (&["serve", "--config", "umbel.yaml"], "umbel.yaml:2: lissen: no such setting"),
    (&["serve", "--lissen", ":0"], "--lissen \":0\": there is no such flag; did you mean --listen?"),
    (&["serve", "--data-dir"], "--data-dir: needs a value"),
    (&["serve", "--listen", ":0", "--listen", ":1"], "--listen \":1\": is given twice"),
    (&["serve", "data"], "\"data\": belongs to no flag"),
    (
        &["serve", "--plugin-dns-servers", "dns.example.com"],
        "--plugin-dns-servers \"dns.example.com\": is no address of a DNS server",
    ),
    (&["completions", "tcsh"], "invalid value 'tcsh'"),
    (&["version", "-o", "xml"], "invalid value 'xml'"),
    (&["sevre"], "unrecognized subcommand 'sevre'"),
    (&[], "Usage: umbel <COMMAND>"),
];

#[test]
fn what_cannot_be_used_is_named_with_exit_code_2() -> Result<()> {
    let home = TempDir::new()?;
    fs::write(home.path().join("file"), "one line\n")?;
    fs::write(home.path().join("umbel.yaml"), "# mine\nlissen: :0\n")?;
    for (arguments, expected) in BAD {
        let told = umbel(&home, arguments)?;
        assert!(told.stderr.contains(expected), "{arguments:?}: expected {expected:?} in\n{}", told.stderr);
        assert_eq!(told.code, 2, "{arguments:?}");
    }
    assert_eq!(fs::read_dir(home.path())?.count(), 2, "nothing may be made");
    Ok(())
}

#[test]
fn flags_and_file_are_judged_together() -> Result<()> {
    let home = TempDir::new()?;
    fs::write(home.path().join("umbel.yaml"), "worker-threads: 0\nlog-format: xml\n")?;
    let told = umbel(&home, &["serve", "--config", "umbel.yaml", "--listen", "x", "--log-format", "text"])?;
    assert!(
        told.stderr.starts_with("error: 2 problems with the settings, nothing was started\n"),
        "{}",
        told.stderr
    );
    assert!(told.stderr.contains("umbel.yaml:1: worker-threads \"0\""), "{}", told.stderr);
    assert!(told.stderr.contains("--listen \"x\""), "{}", told.stderr);
    Ok(())
}

#[test]
fn a_mistyped_flag_hides_nothing() -> Result<()> {
    let home = TempDir::new()?;
    let arguments = ["--listne", "x", "--token-auth-file", "missing", "--worker-threads", "zero"];
    let told = umbel(&home, &[&["serve"], &arguments[..]].concat())?;
    assert_eq!(told.code, 2);
    for expected in [
        "error: 3 problems with the settings, nothing was started\n",
        "--listne \"x\": there is no such flag; did you mean --listen?\n",
        "--token-auth-file \"missing\": cannot be read: ",
        "--worker-threads \"zero\": must be a whole number from 1 to 1024\n",
    ] {
        assert!(told.stderr.contains(expected), "{expected:?} is not in\n{}", told.stderr);
    }
    assert_eq!(fs::read_dir(home.path())?.count(), 0, "nothing may be made");
    Ok(())
}

#[test]
fn backends_with_impossible_names_are_refused_at_once() -> Result<()> {
    let home = TempDir::new()?;
    let arguments =
        ["backend", "init", "flunders", "--group", "wardle", "--version", "V1", "--port", "0", "--out", "b"];
    let told = umbel(&home, &[&arguments[..], &["--host", "https://a"]].concat())?;
    assert_eq!(told.code, 2);
    for expected in [
        "\"flunders\": must be NAMESPACE/NAME",
        "--group \"wardle\": must be a DNS name with a dot",
        "--version \"V1\": must be like v1",
        "--port \"0\": must be a number from 1 to 65535",
        "--host \"https://a\": must be a DNS name or an IP",
    ] {
        assert!(told.stderr.contains(expected), "{}", told.stderr);
    }
    assert_eq!(fs::read_dir(home.path())?.count(), 0, "nothing may be made");
    Ok(())
}

#[test]
fn a_backend_is_prepared_whether_umbel_ran_or_not_and_again() -> Result<()> {
    let home = TempDir::new()?;
    let arguments = ["backend", "init", "default/flunders", "--group", "wardle.example.com"];
    let arguments = [&arguments[..], &["--version", "v1alpha1", "--port", "9443", "--out", "b"]].concat();
    let first = umbel(&home, &arguments)?;
    assert_eq!(first.code, 0, "{}", first.stderr);
    // Umbel has never served from here, so there is no kubeconfig yet.
    assert!(first.stdout.contains("once `umbel serve` has started"), "{}", first.stdout);
    let flags = fs::read_to_string(home.path().join("b/flags.txt"))?;
    for line in flags.lines().filter(|line| line.contains("file=") || line.contains("kubeconfig=")) {
        let path = line.split_once('=').map_or("", |(_, path)| path);
        assert!(path.starts_with('/') && fs::exists(path)?, "{line}");
    }
    let again = umbel(&home, &arguments)?;
    assert_eq!((again.code, again.stdout), (0, first.stdout));
    fs::write(home.path().join("umbel-data/admin.kubeconfig"), "")?;
    let later = umbel(&home, &arguments)?;
    assert!(later.code == 0 && !later.stdout.contains("once `umbel serve`"), "{}", later.stdout);
    Ok(())
}

/// The indented lines of a text: what the user is to type.
fn commands(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("  ")).collect()
}

#[test]
fn the_printed_command_hands_on_every_flag_whole() -> Result<()> {
    for folder in ["plain", "my backend", "it's *"] {
        let home = TempDir::new()?;
        let arguments = ["backend", "init", "default/flunders", "--group", "wardle.example.com"];
        let arguments = [&arguments[..], &["--version", "v1", "--port", "9443", "--out", folder]].concat();
        let told = umbel(&home, &arguments)?;
        assert_eq!(told.code, 0, "{}", told.stderr);
        let commands = commands(&told.stdout);
        let shown = commands[0].replace("my-apiserver", "printf '%s\\n'");
        let output = Command::new("bash").args(["-c", &shown]).current_dir(home.path()).output()?;
        let flags = fs::read_to_string(home.path().join(folder).join("flags.txt"))?;
        assert_eq!(String::from_utf8_lossy(&output.stdout), flags, "{}", commands[0]);
        assert!(commands[1].starts_with("kubectl --kubeconfig ./umbel-data/admin.kubeconfig apply -f "));
    }
    Ok(())
}

#[test]
fn a_directory_of_somebody_else_is_refused_with_exit_code_1() -> Result<()> {
    let home = TempDir::new()?;
    fs::write(home.path().join("thesis.tex"), "")?;
    let told = umbel(&home, &["serve", "--data-dir", ".", "--listen", "127.0.0.1:0"])?;
    assert!(told.stderr.contains("choose an empty directory with --data-dir"), "{}", told.stderr);
    assert_eq!(told.code, 1);
    Ok(())
}

#[test]
fn version_and_completions_come_on_standard_output() -> Result<()> {
    let home = TempDir::new()?;
    assert!(umbel(&home, &["version"])?.stdout.starts_with("umbel 0."));
    let json: serde_json::Value = serde_json::from_str(&umbel(&home, &["version", "-o", "json"])?.stdout)?;
    assert!(json["version"].is_string(), "{json}");
    let yaml: serde_json::Value =
        umbel::model::yaml::read(&umbel(&home, &["version", "-o", "yaml"])?.stdout)?;
    assert_eq!(json, yaml);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = umbel(&home, &["completions", shell])?;
        assert!(told.code == 0 && told.stdout.contains("advertise-host"), "{shell}");
    }
    let help = umbel(&home, &["serve", "--help"])?;
    assert!(help.code == 0 && help.stdout.contains("127.0.0.1:6443"), "{}", help.stdout);
    Ok(())
}

/// As after `| head`: such a command exits successfully and prints nothing.
#[test]
fn a_reader_that_has_gone_is_no_failure() -> Result<()> {
    let commands: [&[&str]; 5] = [
        &["--help"],
        &["serve", "--help"],
        &["version"],
        &["version", "-o", "json"],
        &["completions", "bash"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut command = Command::new(umbel_program()?);
        let output = command.args(arguments).stdout(writer).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
    Ok(())
}
