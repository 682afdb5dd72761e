//! What resolvers that are not built in decide about a service.

use crate::control_kit::{BOUND, Control, legacy_backend};
use anyhow::Result;
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use umbel::decision::binding::{BindingSubject, Decisions};
use umbel::decision::builtin::{BuiltInDecisions, ExternalNameResolver};
use umbel::decision::discovery::DiscoveryTransformer;
use umbel::decision::health::HealthChecker;
use umbel::decision::resolver::{Resolution, ResolveFault, Resolver, Target};
use umbel_tests::wait_for;

const VERBS: &[&str] = &["delete", "get", "list"];

/// Resolves as the built-in does, for a moment only, and counts.
#[derive(Default)]
struct Repeating {
    builtin: BuiltInDecisions,
    asked: Arc<AtomicUsize>,
}

struct Repeater(Arc<AtomicUsize>);

impl Resolver for Repeater {
    fn resolve<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Resolution, ResolveFault>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            let answer = ExternalNameResolver.resolve(target).await?;
            Ok(Resolution { fresh: Duration::from_millis(1), ..answer })
        })
    }
}

impl Decisions for Repeating {
    fn resolver(&self, _subject: &BindingSubject) -> Arc<dyn Resolver> {
        Arc::new(Repeater(Arc::clone(&self.asked)))
    }

    fn health_checker(&self, subject: &BindingSubject) -> Arc<dyn HealthChecker> {
        self.builtin.health_checker(subject)
    }

    fn transformers(&self) -> Vec<Arc<dyn DiscoveryTransformer>> {
        Vec::new()
    }

    fn generation(&self) -> watch::Receiver<u64> {
        self.builtin.generation()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolver_that_repeats_itself_publishes_nothing() -> Result<()> {
    let decisions = Repeating::default();
    let asked = Arc::clone(&decisions.asked);
    let control = Control::start_with(Arc::new(decisions)).await?;
    control.name_backend().await?;
    let backend = legacy_backend(&control.ca, VERBS).await?;
    control.register("same.example.com", backend.port).await?;
    control.condition("same.example.com", "True").await?;
    control.discovery("same.example.com", "Current", 1).await?;
    let published = control.shared.load_full();
    let before = asked.load(Ordering::Relaxed);
    wait_for("three more answers", BOUND, || async {
        let more = asked.load(Ordering::Relaxed) - before;
        anyhow::ensure!(more > 3, "{more}");
        Ok(())
    })
    .await?;
    let now = control.shared.load_full();
    assert!(Arc::ptr_eq(&published.routes["same.example.com"], &now.routes["same.example.com"]));
    assert_eq!(control.refusal("same.example.com"), None);
    Ok(())
}

/// Rejects every service with a text of its own.
#[derive(Default)]
struct Unknowing(BuiltInDecisions);

struct NotFound;

impl Resolver for NotFound {
    fn resolve<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Resolution, ResolveFault>> {
        let text = format!("no SRV record _https._tcp.{}", target.name);
        Box::pin(async { Err(ResolveFault::NotFound(text)) })
    }
}

impl Decisions for Unknowing {
    fn resolver(&self, _subject: &BindingSubject) -> Arc<dyn Resolver> {
        Arc::new(NotFound)
    }

    fn health_checker(&self, subject: &BindingSubject) -> Arc<dyn HealthChecker> {
        self.0.health_checker(subject)
    }

    fn transformers(&self) -> Vec<Arc<dyn DiscoveryTransformer>> {
        Vec::new()
    }

    fn generation(&self) -> watch::Receiver<u64> {
        self.0.generation()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_resolver_does_not_find_is_told_in_its_words() -> Result<()> {
    let control = Control::start_with(Arc::new(Unknowing::default())).await?;
    control.name_backend().await?;
    control.register("srv.example.com", 443).await?;
    let (condition, _) = control.condition("srv.example.com", "False").await?;
    let text = "no SRV record _https._tcp.backend";
    assert_eq!((&condition["reason"], &condition["message"]), (&json!("ServiceNotFound"), &json!(text)));
    assert_eq!(
        control.refusal("srv.example.com"),
        Some(format!("the APIService v1.srv.example.com is not available (ServiceNotFound): {text}"))
    );
    Ok(())
}
