//! The room for replies that all clients share: who waits, and who has to go.

mod common;

use std::time::Duration;

use common::program::BOUND;
use common::{Osd, connect, session, slow_to, until_there_is_no_room, vector};
use osd_sim::{Config, Server};
use proto::osd::v1::{self as wire, op::Op as W};
use tokio::time::timeout;
use tonic::Streaming;

const OBJECT_BYTES: usize = 2 << 20;

fn read(gid: u64, tid: u64) -> wire::OperateRequest {
    vector(gid, tid, "large", vec![W::Read(wire::Read { offset: 0, length: 0 })])
}

fn write(gid: u64, tid: u64, object: &str, bytes: usize) -> wire::OperateRequest {
    vector(gid, tid, object, vec![W::Write(wire::Write { offset: 0, data: vec![7; bytes].into() })])
}

/// A server that has room for one large reply, and a client that has stored what is large.
async fn server(reply_stall_time_max: Duration) -> (Server, Osd, u64) {
    let config = Config { all_reply_bytes_in_flight_max: OBJECT_BYTES, reply_stall_time_max, ..Config::ci() };
    let server = Server::start(config);
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    osd.operate(write(gid, 1, "large", OBJECT_BYTES)).await.expect("it is written");
    (server, osd, gid)
}

/// A client that asks for large replies and reads none of them.
async fn slow(server: &Server) -> (Streaming<wire::OperateReply>, u64) {
    let mut osd = slow_to(&server.address()).await;
    let gid = session(&mut osd).await;
    let requests = tokio_stream::iter((1..=4).map(move |tid| read(gid, tid)));
    (osd.operate_stream(requests).await.expect("it opens").into_inner(), gid)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_reply_waits_for_room_in_the_whole_osd_and_a_small_one_does_not() {
    let (server, mut osd, gid) = server(Duration::from_secs(3600)).await;
    let (unread, _) = slow(&server).await;
    until_there_is_no_room(&mut osd, &read(gid, 0)).await;
    let small = osd.operate(write(gid, 2, "other", 16));
    timeout(BOUND, small).await.expect("it waits for nobody").expect("it is written");
    drop(unread);
    let large = osd.operate(read(gid, 0));
    timeout(BOUND, large).await.expect("the slow client is gone").expect("it is read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_what_others_wait_for_loses_its_connection() {
    let (server, mut osd, gid) = server(Duration::from_millis(400)).await;
    let (_unread, slow) = slow(&server).await;
    let is_connected = async |osd: &mut Osd| {
        let sessions = osd.list_sessions(wire::ListSessionsRequest {}).await.expect("they are listed");
        let mut sessions = sessions.into_inner().sessions.into_iter();
        sessions.find(|session| session.gid == slow).expect("it is live").connected
    };
    let reading = async {
        while is_connected(&mut osd).await {
            osd.operate(read(gid, 0)).await.expect("nobody waits for ever");
        }
    };
    timeout(BOUND, reading).await.expect("the slow one goes");
}
