//! The real programs that suites run Umbel beside: found, or built into a cache outside the tree.

use anyhow::{Context, Result};
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program to test with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The newest kubectl.
    Kubectl,
    /// The oldest kubectl that is tried.
    OldestKubectl,
    /// The upstream sample API server.
    SampleApiServer,
    /// etcd, which the sample API server stores in.
    Etcd,
    /// A program that writes once by client-go: `PROGRAM KUBECONFIG GROUP VERB`.
    ClientGoWriter,
}

/// A peer that cannot be had, and why.
#[derive(Clone, Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives the peer; without it the test is skipped with a word, or fails where `CI=true`.
///
/// # Errors
/// When the peer is missing and `CI=true`.
pub fn need<T>(peer: Result<T, Missing>) -> Result<Option<T>> {
    match peer {
        Ok(peer) => Ok(Some(peer)),
        Err(missing) if std::env::var("CI").is_ok_and(|value| value == "true") => {
            Err(anyhow::anyhow!("{missing}"))
        }
        Err(missing) => {
            // Past the test harness, which shows nothing of a test that passes.
            writeln!(std::io::stderr(), "SKIPPED: {missing}")?;
            Ok(None)
        }
    }
}

impl Peer {
    /// Every peer.
    pub const ALL: [Self; 5] =
        [Self::Kubectl, Self::OldestKubectl, Self::SampleApiServer, Self::Etcd, Self::ClientGoWriter];

    /// Name and version, which is also the file's name in the cache.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubectl => "kubectl-v0.37.2",
            Self::OldestKubectl => "kubectl-v0.27.16",
            Self::SampleApiServer => "sample-apiserver-v0.36.6",
            Self::Etcd => "etcd-v3.6.7",
            Self::ClientGoWriter => "client-go-writer-v0.37.2",
        }
    }

    /// The program; it is built when the cache does not hold it.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn program(self) -> Result<PathBuf, Missing> {
        static BUILT: [OnceLock<Result<PathBuf, Missing>>; Peer::ALL.len()] =
            [const { OnceLock::new() }; Peer::ALL.len()];
        BUILT[self as usize].get_or_init(|| self.find_or_build()).clone()
    }

    fn find_or_build(self) -> Result<PathBuf, Missing> {
        let program = cache_dir()?.join("bin").join(self.name());
        if program.exists() {
            return Ok(program);
        }
        eprintln!("building {} into {}", self.name(), program.display());
        let missing = |error: anyhow::Error| Missing(format!("{} cannot be built: {error:#}", self.name()));
        self.build(&program).map_err(missing)?;
        Ok(program)
    }

    fn build(self, program: &Path) -> Result<()> {
        let directory = program.parent().context("the cache has no directory")?;
        fs::create_dir_all(directory)?;
        let work = tempfile::TempDir::with_prefix_in(".build-", directory)?;
        let built = match self {
            Self::SampleApiServer => {
                let mut command = go(work.path(), &["install", "k8s.io/sample-apiserver@v0.36.6"]);
                run(command.env("GOBIN", work.path()))?;
                work.path().join("sample-apiserver")
            }
            Self::Kubectl => build_main(work.path(), KUBECTL_MAIN, "k8s.io/kubectl@v0.37.2")?,
            Self::OldestKubectl => build_main(work.path(), KUBECTL_MAIN, "k8s.io/kubectl@v0.27.16")?,
            Self::Etcd => build_main(work.path(), ETCD_MAIN, "go.etcd.io/etcd/server/v3@v3.6.7")?,
            Self::ClientGoWriter => build_main(work.path(), WRITER_MAIN, "k8s.io/client-go@v0.37.2")?,
        };
        fs::rename(&built, program).with_context(|| format!("no {} came out", built.display()))
    }
}

const KUBECTL_MAIN: &str = r#"package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

func main() { os.Exit(cli.Run(cmd.NewDefaultKubectlCommand())) }
"#;

const ETCD_MAIN: &str = r#"package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
"#;

const WRITER_MAIN: &str = r#"package main

import (
	"context"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

func write(kubeconfig, group, verb string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.Timeout = 3 * time.Second
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	things := client.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: "things"}).Namespace("default")
	thing := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1", "kind": "Thing",
		"metadata": map[string]any{"name": "known", "namespace": "default"},
	}}
	ctx := context.Background()
	switch verb {
	case "create":
		_, err = things.Create(ctx, thing, metav1.CreateOptions{})
	case "update":
		_, err = things.Update(ctx, thing, metav1.UpdateOptions{})
	case "patch":
		_, err = things.Patch(ctx, "known", types.MergePatchType, []byte("{}"), metav1.PatchOptions{})
	case "delete":
		err = things.Delete(ctx, "known", metav1.DeleteOptions{})
	case "deletecollection":
		err = things.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	default:
		err = fmt.Errorf("no verb %q", verb)
	}
	return err
}

func main() {
	if err := write(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
"#;

fn build_main(work: &Path, source: &str, module: &str) -> Result<PathBuf> {
    fs::write(work.join("main.go"), source)?;
    run(&mut go(work, &["mod", "init", "peer"]))?;
    run(&mut go(work, &["get", module]))?;
    run(&mut go(work, &["mod", "tidy"]))?;
    run(&mut go(work, &["build", "-o", "program", "."]))?;
    Ok(work.join("program"))
}

fn go(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("go");
    command.args(arguments).current_dir(directory);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} (is Go 1.26 or newer installed?)"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?} ended with {}:\n{told}", output.status);
    Ok(())
}

/// `$UMBEL_TEST_CACHE`, else `$XDG_CACHE_HOME/umbel-tests`, else `~/.cache/umbel-tests`.
fn cache_dir() -> Result<PathBuf, Missing> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("UMBEL_TEST_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|home| home.join("umbel-tests")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/umbel-tests")))
        .ok_or_else(|| Missing("no cache directory: set UMBEL_TEST_CACHE or HOME".to_owned()))
}
