//! The op stream over real gRPC: requests that the transport does not let through.

mod common;

use common::{connect, create, session, vector};
use osd_sim::{Config, Server};
use proto::osd::v1::{self as wire, op::Op as W};
use tonic::Request;

#[tokio::test]
async fn a_request_that_is_too_large_ends_the_stream_behind_the_replies_before_it_and_says_why() {
    let server = Server::start(Config::ci());
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    let large = W::Write(wire::Write { offset: 0, data: vec![0; rpc::MESSAGE_BYTES_MAX].into() });
    let requests = [vector(gid, 1, "object", vec![create()]), vector(gid, 2, "object", vec![large])];
    let mut osd = osd.max_encoding_message_size(2 * rpc::MESSAGE_BYTES_MAX);
    let mut replies = osd.operate_stream(tokio_stream::iter(requests)).await.expect("it opens").into_inner();
    let reply = replies.message().await.expect("the first op is answered").expect("it has a reply");
    assert_eq!((reply.tid, reply.error), (1, None));
    let status = replies.message().await.expect_err("the second request cannot be read");
    let error = rpc::status::to_error(&status).expect("it is the OSD's word");
    assert_eq!(error.name, "E2BIG", "{}", error.text);
}

#[tokio::test]
async fn the_call_itself_is_refused_when_it_names_a_session_that_is_over() {
    let server = Server::start(Config::ci());
    let mut osd = connect(&server).await;
    let gid = session(&mut osd).await;
    osd.disconnect(wire::DisconnectRequest { gid }).await.expect("it is live");
    let mut request = Request::new(tokio_stream::pending());
    request.metadata_mut().insert(rpc::GID_METADATA, gid.into());
    let status = osd.operate_stream(request).await.expect_err("the session is over");
    assert_eq!(rpc::status::to_error(&status).expect("it is the OSD's word").name, "ENOTCONN");
}

#[tokio::test]
async fn a_client_that_asks_for_more_than_there_is_room_for_gets_every_reply() {
    const READS: u64 = 64;
    let server = Server::start(Config { reply_bytes_in_flight_max: 1 << 20, ..Config::ci() });
    let mut writer = connect(&server).await;
    let gid = session(&mut writer).await;
    let write = W::Write(wire::Write { offset: 0, data: vec![7; 8 << 20].into() });
    writer.operate(vector(gid, 1, "object", vec![write])).await.expect("it is written");
    let read = move |tid| vector(gid, tid, "object", vec![W::Read(wire::Read { offset: 0, length: 0 })]);
    let mut osd = connect(&server).await;
    // The stream is not read while the calls are made.
    let mut replies = osd
        .operate_stream(tokio_stream::iter((2..2 + READS).map(read)))
        .await
        .expect("it opens")
        .into_inner();
    let other = connect(&server).await;
    let calls = (0..READS).map(|_| {
        let mut other = other.clone();
        async move { other.operate(read(0)).await.expect("it is read").into_inner().results.len() }
    });
    assert_eq!(futures_util::future::join_all(calls).await, [1; READS as usize]);
    for tid in 2..2 + READS {
        let reply = replies.message().await.expect("the stream goes on").expect("there is one for each");
        assert_eq!((reply.tid, reply.error), (tid, None));
    }
}
