//! What is sent again when a backend did not look at it, and what never is.

use super::breaking::{Break, BreakingServer};
use super::frames::{FrameServer, Reply};
use super::pki::Authority;
use super::plane::{Plane, whole};
use anyhow::Result;
use bytes::Bytes;
use http::Request;

const PATH: &str = "/apis/g.example/v1/things";
/// As much as is kept for another attempt.
const KEPT: usize = 64 << 10;

fn body(size: usize) -> Bytes {
    (0..size).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_backend_did_not_look_at_is_sent_again_with_its_body() -> Result<()> {
    let ca = Authority::new("backends")?;
    let refusals: [fn(usize) -> Reply; 2] = [
        |connection| if connection == 0 { Reply::Refuse } else { Reply::Answer },
        |connection| if connection == 0 { Reply::LeaveBefore } else { Reply::Answer },
    ];
    for refusal in refusals {
        for (alpn, size) in [("h2", 0), ("h2", 10), ("h2", KEPT), ("http/1.1", 10), ("http/1.1", KEPT)] {
            let server = FrameServer::start(&ca, refusal).await?;
            let plane = Plane::before(server.port, &ca)?;
            let answer = plane.ask(alpn, Request::post(PATH).body(whole(body(size)))?).await?;
            assert_eq!(answer.status, 200, "{alpn}, {size} bytes: {}", answer.text());
            assert!(server.executed() == [body(size)], "{alpn}: not once and whole");
            assert_eq!((server.requests(), server.connections()), (2, 2), "{alpn}, {size} bytes");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_to_keep_is_not_sent_again() -> Result<()> {
    let ca = Authority::new("backends")?;
    let server =
        FrameServer::start(&ca, |connection| if connection == 0 { Reply::Refuse } else { Reply::Answer })
            .await?;
    let plane = Plane::before(server.port, &ca)?;
    let answer = plane.ask("h2", Request::post(PATH).body(whole(body(3 * KEPT)))?).await?;
    answer.status_object()?;
    assert_eq!((answer.status, server.requests(), server.connections()), (503, 1, 1));
    Ok(())
}

/// The backend names the request as one that it may have looked at, and leaves.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_leaving_backend_may_have_done_is_not_sent_again() -> Result<()> {
    let ca = Authority::new("backends")?;
    let server = FrameServer::start(&ca, |_| Reply::LeaveAfter).await?;
    let plane = Plane::before(server.port, &ca)?;
    let answer = plane.ask("h2", Request::post(PATH).body(whole("x"))?).await?;
    answer.status_object()?;
    assert_eq!((answer.status, server.requests()), (503, 1));
    Ok(())
}

/// More load does not help a backend that refuses: one other connection is tried, and it is kept for the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_refuses_everything_is_asked_twice() -> Result<()> {
    const ASKS: usize = 10;
    let ca = Authority::new("backends")?;
    let server = FrameServer::start(&ca, |_| Reply::Refuse).await?;
    let plane = Plane::before(server.port, &ca)?;
    for _ in 0..ASKS {
        assert_eq!(plane.ask("h2", Request::post(PATH).body(whole("x"))?).await?.status, 503);
    }
    assert_eq!((server.requests(), server.connections()), (2 * ASKS, 2));
    Ok(())
}

/// A request that its backend never answers may be the cause: it is not sent to one new connection after another.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_not_repeated_on_connections_that_never_answered() -> Result<()> {
    let ca = Authority::new("backends")?;
    let server = FrameServer::start(&ca, |_| Reply::LeaveAfter).await?;
    let plane = Plane::before(server.port, &ca)?;
    let answer = plane.ask("h2", Request::get(PATH).body(whole(""))?).await?;
    assert_eq!((answer.status, server.requests(), server.connections()), (503, 1, 1));
    let mut server = BreakingServer::start(&ca, "http/1.1", Break::AfterHead, 0).await?;
    let plane = Plane::before(server.port, &ca)?;
    let answer = plane.ask("h2", Request::get(PATH).body(whole(""))?).await?;
    assert_eq!((answer.status, server.executed()), (503, 1));
    server.stop().await;
    Ok(())
}

/// The backend violates the protocol, so the gateway closes the connection. That says nothing about the backend's
/// processing.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_not_repeated_after_a_go_away_of_the_gateway() -> Result<()> {
    let ca = Authority::new("backends")?;
    for good in [0, 1] {
        let server = BreakingServer::start(&ca, "h2", Break::Garbage, good).await?;
        let plane = Plane::before(server.port, &ca)?;
        for _ in 0..good {
            assert_eq!(plane.ask("h2", Request::get(PATH).body(whole(""))?).await?.status, 200);
        }
        let answer = plane.ask("h2", Request::post(PATH).body(whole("x"))?).await?;
        assert_eq!((answer.status, server.executed()), (503, good + 1));
        assert!(!answer.headers.contains_key("retry-after"), "{}", answer.text());
    }
    Ok(())
}
