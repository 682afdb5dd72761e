//! Components made to be a burden: what they are refused for, and what must not be held against them.

use super::{Plugins, target};
use anyhow::Result;
use umbel::plugin::{Reason, State};
use umbel_tests::large_component_of_all_kinds;

async fn start(mib: usize) -> Result<Plugins> {
    let component = large_component_of_all_kinds(mib)?;
    Plugins::start_loaded(vec![], |dir| Ok(std::fs::write(dir.join("large.wasm"), component)?)).await
}

/// Each call has an instance of its own, so that what they take does not add up.
#[tokio::test]
async fn a_component_of_three_kinds_may_use_the_limit_for_each() -> Result<()> {
    let plugins = start(20).await?;
    let status = plugins.status("large")?;
    assert_eq!((status.state, status.interfaces.len()), (State::Active, 3), "{status:?}");
    let refused = plugins.resolver("large").resolve(&target(None)).await.unwrap_err().to_string();
    assert!(refused.contains("no endpoints"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_limit_that_is_reached_before_the_first_call_is_named() -> Result<()> {
    let status = start(40).await?.status("large")?;
    assert_eq!(status.reason, Some(Reason::DescribeFailed), "{status:?}");
    assert!(status.message.contains("wanted more than its 32768 KiB of memory"), "{status:?}");
    Ok(())
}
