//! The transport settings that every program of this workspace relies on.

use proto::osd::v1::Error;
use rpc::{Address, incoming, status};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;

#[tokio::test]
async fn accepted_sockets_send_small_packets_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut connections = Box::pin(incoming(listener));
    let (_client, accepted) = tokio::join!(TcpStream::connect(address), connections.next());
    let accepted = accepted.expect("the listener goes on").expect("the client connected");
    assert!(accepted.nodelay().expect("it is a TCP socket"));
}

#[test]
fn an_address_is_host_and_port() {
    for text in ["127.0.0.1:6800", "http://127.0.0.1:6800/", "osd:6800", "[::1]:6800"] {
        assert!(text.parse::<Address>().is_ok(), "{text}");
    }
    for text in ["", "127.0.0.1", ":6800", "host:port", "host:99999", "a/b:1", "user@host:1"] {
        let error = text.parse::<Address>().expect_err(text);
        assert!(error.to_string().contains(&format!("'{text}'")), "{error}");
    }
}

#[test]
fn an_error_crosses_the_wire_with_its_name() {
    let error = Error {
        number: 108,
        name: "EBLOCKLISTED".to_owned(),
        failed_op: Some(3),
        text: "client 4107 is blocklisted".to_owned(),
    };
    let status = status::from_error(&error);
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    assert_eq!(status::to_error(&status), Some(error));
}

#[test]
fn a_status_of_the_transport_is_not_an_error_of_the_osd() {
    assert_eq!(status::to_error(&tonic::Status::unavailable("connection refused")), None);
}

#[test]
fn no_errno_becomes_a_code_that_stock_clients_retry() {
    use tonic::Code::{Cancelled, DeadlineExceeded, Unavailable, Unknown};
    for name in
        ["ENOENT", "EAGAIN", "ETIMEDOUT", "ESHUTDOWN", "ENOTCONN", "ERESTART", "EIO", "ECANCELED", "ENEWER"]
    {
        let error = Error { number: 1, name: name.to_owned(), failed_op: None, text: String::new() };
        let code = status::from_error(&error).code();
        assert!(
            ![Cancelled, DeadlineExceeded, Unavailable, Unknown].contains(&code),
            "{name} became {code:?}"
        );
    }
}
