//! The op stream and its session.

use errno::Errno;

use crate::{fixture::Fixture, support::soon};

#[tokio::test]
async fn a_client_that_does_nothing_learns_that_it_is_fenced_when_its_op_stream_opens_again() {
    let fixture = Fixture::with_object().await;
    let idle = fixture.near.rados();
    soon(fixture.far.rados().blocklist_add(idle.gid(), None)).await.unwrap();
    fixture.proxy.reset().await.unwrap();
    assert_eq!(soon(idle.wait_ended()).await.errno(), Errno::EBLOCKLISTED);
}

#[tokio::test]
async fn a_client_that_does_nothing_counts_as_connected() {
    let fixture = Fixture::with_object().await;
    let idle = fixture.near.rados().gid();
    let is_connected = async {
        loop {
            let sessions = fixture.far.rados().sessions().await.unwrap();
            if sessions.iter().any(|session| session.gid == idle && session.connected) {
                return;
            }
        }
    };
    soon(is_connected).await;
}
