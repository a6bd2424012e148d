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
