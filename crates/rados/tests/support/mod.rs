//! What the tests of this crate share.

use std::time::Duration;

use rados::{Config, Rados};
use rpc::{Address, Network};

/// No call of a test takes this long unless something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Short waits, so that repairs are quick.
pub(crate) fn config(name: &str) -> Config {
    Config { client_name: name.to_owned(), ..Config::ci() }
}

pub(crate) async fn connect(address: Address, config: Config) -> Rados {
    let network = Network::tcp(Duration::from_secs(2));
    soon(Rados::connect(network, address, config)).await.expect("the OSD is there")
}

/// Fails the test instead of hanging.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("must come to an end")
}
