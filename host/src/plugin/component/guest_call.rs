//! What can be asked of a component: its exports with their arguments.

use crate::plugin::component::bindings::{discovery, health, lifecycle, resolver};
use crate::plugin::component::budget::Facet;
use crate::plugin::component::call_state::CallState;
use crate::plugin::component::generation::Generation;
use crate::plugin::component::shelf::Shelf;
use discovery::exports::umbel::discovery::transformer as wit_discovery;
use health::exports::umbel::health::checker as wit_health;
use lifecycle::exports::umbel::lifecycle::lifecycle as wit_lifecycle;
use resolver::exports::umbel::resolver::resolver as wit_resolver;
use std::marker::PhantomData;
use std::sync::Arc;
use wasmtime::{Store, Trap};

/// One call of an export. It borrows the store for as long as it runs, and never gets it back when it failed.
pub(in crate::plugin) trait GuestCall: Send + 'static {
    /// The exports of an instance.
    type Part: Send + 'static;
    /// What the export returns.
    type Answer: Send + 'static;
    /// Whose limits hold.
    const FACET: Facet;

    /// Makes a new instance in the store.
    fn enter(
        generation: &Generation,
        store: &mut Store<CallState>,
    ) -> impl Future<Output = wasmtime::Result<Self::Part>> + Send;

    /// Calls the export.
    fn put(
        self,
        part: &Self::Part,
        store: &mut Store<CallState>,
    ) -> impl Future<Output = wasmtime::Result<Self::Answer>> + Send;

    /// Where instances wait for their next call. Nothing else is ever called twice: an outcome of discovery may
    /// depend on nothing but the group.
    fn shelf(_generation: &Generation) -> Option<&Arc<Shelf<Self::Part>>> {
        None
    }
}

/// `lifecycle.describe`.
pub(in crate::plugin) struct Describe;

/// `lifecycle.validate`.
pub(in crate::plugin) struct Validate {
    pub settings: String,
}

/// A new instance, and nothing more.
pub(in crate::plugin) struct Instantiate;

/// Whether the exports that a call would use have the right types. One at a time: each makes an instance, and they
/// would count together against the limits of one store.
pub(in crate::plugin) struct TryExports<C>(PhantomData<fn() -> C>);

impl<C> Default for TryExports<C> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// `resolver.resolve`.
pub(in crate::plugin) struct Resolve {
    pub context: wit_resolver::Context,
    pub target: Arc<wit_resolver::Target>,
}

/// `checker.check`.
pub(in crate::plugin) struct Check {
    pub question: Arc<(wit_health::Context, wit_health::Subject)>,
}

/// `transformer.transform`.
pub(in crate::plugin) struct Transform {
    pub context: wit_discovery::Context,
    pub group: Arc<str>,
}

/// `transformer.order`.
pub(in crate::plugin) struct Order {
    pub context: wit_discovery::Context,
    pub heads: Arc<[wit_discovery::Head]>,
}

impl GuestCall for Describe {
    type Part = lifecycle::Part;
    type Answer = wit_lifecycle::Description;
    const FACET: Facet = Facet::Lifecycle;

    async fn enter(generation: &Generation, store: &mut Store<CallState>) -> wasmtime::Result<Self::Part> {
        generation.facets.lifecycle.instantiate_async(store).await
    }

    async fn put(self, part: &Self::Part, store: &mut Store<CallState>) -> wasmtime::Result<Self::Answer> {
        part.umbel_lifecycle_lifecycle().call_describe(store).await
    }
}

impl GuestCall for Validate {
    type Part = lifecycle::Part;
    type Answer = Result<(), Vec<wit_lifecycle::Problem>>;
    const FACET: Facet = Facet::Lifecycle;

    async fn enter(generation: &Generation, store: &mut Store<CallState>) -> wasmtime::Result<Self::Part> {
        generation.facets.lifecycle.instantiate_async(store).await
    }

    async fn put(self, part: &Self::Part, store: &mut Store<CallState>) -> wasmtime::Result<Self::Answer> {
        part.umbel_lifecycle_lifecycle().call_validate(store, &self.settings).await
    }
}

impl GuestCall for Instantiate {
    type Part = lifecycle::Part;
    type Answer = ();
    const FACET: Facet = Facet::Lifecycle;

    async fn enter(generation: &Generation, store: &mut Store<CallState>) -> wasmtime::Result<Self::Part> {
        generation.facets.lifecycle.instantiate_async(store).await
    }

    async fn put(self, _part: &Self::Part, _store: &mut Store<CallState>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl<C: GuestCall> GuestCall for TryExports<C> {
    type Part = Option<wasmtime::Error>;
    /// What does not fit.
    type Answer = Option<wasmtime::Error>;
    const FACET: Facet = C::FACET;

    async fn enter(generation: &Generation, store: &mut Store<CallState>) -> wasmtime::Result<Self::Part> {
        match C::enter(generation, &mut *store).await {
            Ok(_) => Ok(None),
            // What the instance did while it was made says nothing about types.
            Err(error) if error.is::<Trap>() || store.data().meter.is_exceeded() => Err(error),
            Err(error) => Ok(Some(error)),
        }
    }

    async fn put(self, part: &Self::Part, _store: &mut Store<CallState>) -> wasmtime::Result<Self::Answer> {
        Ok(part.as_ref().map(|error| wasmtime::Error::msg(format!("{error:#}"))))
    }
}

impl GuestCall for Resolve {
    type Part = resolver::Part;
    type Answer = Result<wit_resolver::Resolution, wit_resolver::Fault>;
    const FACET: Facet = Facet::Resolver;

    async fn enter(generation: &Generation, store: &mut Store<CallState>) -> wasmtime::Result<Self::Part> {
        let Some(part) = &generation.facets.resolver else { wasmtime::bail!("exports no resolver") };
        part.instantiate_async(store).await
    }

    async fn put(self, part: &Self::Part, store: &mut Store<CallState>) -> wasmtime::Result<Self::Answer> {
        part.umbel_resolver_resolver().call_resolve(store, &self.context, &self.target).await
    }

    fn shelf(generation: &Generation) -> Option<&Arc<Shelf<Self::Part>>> {
        generation.shelves.resolver.as_ref()
    }
}

impl GuestCall for Check {
    type Part = health::Part;
    type Answer = Result<wit_health::Verdict, wit_health::Fault>;
    const FACET: Facet = Facet::Health;

    async fn enter(generation: &Generation, store: &mut Store<CallState>) -> wasmtime::Result<Self::Part> {
        let Some(part) = &generation.facets.health else { wasmtime::bail!("exports no health checker") };
        part.instantiate_async(store).await
    }

    async fn put(self, part: &Self::Part, store: &mut Store<CallState>) -> wasmtime::Result<Self::Answer> {
        part.umbel_health_checker().call_check(store, &self.question.0, &self.question.1).await
    }

    fn shelf(generation: &Generation) -> Option<&Arc<Shelf<Self::Part>>> {
        generation.shelves.health.as_ref()
    }
}

impl GuestCall for Transform {
    type Part = discovery::Part;
    type Answer = Result<wit_discovery::Outcome, String>;
    const FACET: Facet = Facet::Discovery;

    async fn enter(generation: &Generation, store: &mut Store<CallState>) -> wasmtime::Result<Self::Part> {
        enter_transformer(generation, store).await
    }

    async fn put(self, part: &Self::Part, store: &mut Store<CallState>) -> wasmtime::Result<Self::Answer> {
        part.umbel_discovery_transformer().call_transform(store, &self.context, &self.group).await
    }
}

impl GuestCall for Order {
    type Part = discovery::Part;
    type Answer = Result<Option<Vec<String>>, String>;
    const FACET: Facet = Facet::Discovery;

    async fn enter(generation: &Generation, store: &mut Store<CallState>) -> wasmtime::Result<Self::Part> {
        enter_transformer(generation, store).await
    }

    async fn put(self, part: &Self::Part, store: &mut Store<CallState>) -> wasmtime::Result<Self::Answer> {
        part.umbel_discovery_transformer().call_order(store, &self.context, &self.heads).await
    }
}

async fn enter_transformer(
    generation: &Generation,
    store: &mut Store<CallState>,
) -> wasmtime::Result<discovery::Part> {
    let Some(part) = &generation.facets.discovery else {
        wasmtime::bail!("exports no discovery transformer")
    };
    part.instantiate_async(store).await
}
