//! A real OSD, a client behind a proxy and one with a direct connection.

use harness::proxy::Proxy;
use std::time::Duration;

use osd_sim::Server;
use rados::{IoCtx, ObjectOp};

use crate::support::{config, connect, soon};

pub(crate) struct Fixture {
    pub(crate) proxy: Proxy,
    /// Behind the proxy.
    pub(crate) near: IoCtx,
    /// Undisturbed.
    pub(crate) far: IoCtx,
    /// Stops when dropped.
    _server: Server,
}

impl Fixture {
    /// `grace`: how long a watch outlives its connection.
    pub(crate) async fn start(grace: Duration) -> Self {
        let config_of_osd = osd_sim::Config { osd_client_watch_grace: grace, ..osd_sim::Config::default() };
        let server = Server::start(config_of_osd);
        let proxy = Proxy::start(server.address()).await.unwrap();
        let near = connect(proxy.address().clone(), config("near")).await;
        let far = connect(server.address(), config("far")).await;
        let near = soon(near.io_ctx("rbd")).await.unwrap();
        let far = soon(far.io_ctx("rbd")).await.unwrap();
        Self { proxy, near, far, _server: server }
    }

    /// With object "x", and more time than any test takes.
    pub(crate) async fn with_object() -> Self {
        Self::with_object_and_grace(Duration::from_secs(60)).await
    }

    pub(crate) async fn with_object_and_grace(grace: Duration) -> Self {
        let fixture = Self::start(grace).await;
        soon(fixture.far.operate("x", ObjectOp::new().create(true))).await.unwrap();
        fixture
    }
}
