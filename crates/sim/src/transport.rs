//! The way of a life's messages to the OSD.

use std::fmt;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use proto::osd::v1 as wire;
use rados::{Call, CallAnswer, Connection, Down, Failure, Transport};
use tokio::sync::{mpsc, oneshot};

use crate::mail::{Place, Up};
use crate::pool::{Life, lock};
use crate::state::End;
use crate::world::World;

/// Of one life.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) world: World,
    pub(crate) life: Life,
}

/// A connection, which opens itself anew.
struct Link {
    way: Way,
    connection: Mutex<u64>,
}

/// An open stream; it ends with this.
struct Open {
    world: World,
    place: Place,
}

impl Transport for Way {
    fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, String>> {
        let way = self.clone();
        async move {
            let (waiting, connected) = oneshot::channel();
            let connection = {
                let mut state = lock(&way.world.state);
                let connection = state.connect(way.life);
                state.begin(connection, End::Connecting(waiting), Up::Connect);
                connection
            };
            connected.await.map_err(|_| "the connection was broken off".to_owned())?;
            Ok(Arc::new(Link { way, connection: Mutex::new(connection) }) as Arc<dyn Connection>)
        }
        .boxed()
    }

    fn peer(&self) -> String {
        "the OSD".to_owned()
    }
}

impl Link {
    fn begin(&self, end: End, up: Up) -> Place {
        let mut connection = lock(&self.connection);
        let mut state = lock(&self.way.world.state);
        if !state.is_open(*connection) {
            *connection = state.connect(self.way.life);
        }
        state.begin(*connection, end, up)
    }

    /// Takes up what is sent into a stream as long as the client runs.
    fn pump<T: Send + 'static>(
        &self,
        place: Place,
        mut up: mpsc::UnboundedReceiver<T>,
        parcel: impl Fn(T) -> Up + Send + 'static,
    ) {
        let Way { world, life } = self.way.clone();
        let pump = {
            let world = world.clone();
            async move {
                while let Some(message) = up.recv().await {
                    lock(&world.state).post_up(place, parcel(message));
                }
            }
        };
        world.pool.start(life, pump.boxed());
    }
}

impl Connection for Link {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<CallAnswer, Failure>> {
        let (waiting, answered) = oneshot::channel();
        self.begin(End::Call(waiting), Up::Call(Box::new(call)));
        async move { answered.await.unwrap_or_else(|_| Err(lost())) }.boxed()
    }

    fn operate_stream(
        &self,
        gid: u64,
        up: mpsc::UnboundedReceiver<wire::OperateRequest>,
    ) -> BoxFuture<'static, Result<Down<wire::OperateReply>, Failure>> {
        let ((waiting, opened), (replies, down)) = (oneshot::channel(), mpsc::unbounded_channel());
        let place = self.begin(End::Ops(Some(waiting), replies), Up::OpenOps { gid });
        self.pump(place, up, |request| Up::Operate(Box::new(request)));
        self.opened(place, opened, down)
    }

    fn watch(
        &self,
        up: mpsc::UnboundedReceiver<wire::WatchRequest>,
    ) -> BoxFuture<'static, Result<Down<wire::WatchEvent>, Failure>> {
        let ((waiting, opened), (events, down)) = (oneshot::channel(), mpsc::unbounded_channel());
        let place = self.begin(End::Watch(Some(waiting), events), Up::OpenWatch);
        self.pump(place, up, |request| Up::Watch(Box::new(request)));
        self.opened(place, opened, down)
    }
}

impl Link {
    fn opened<T: Send + 'static>(
        &self,
        place: Place,
        opened: oneshot::Receiver<Result<(), Failure>>,
        down: mpsc::UnboundedReceiver<Result<T, Failure>>,
    ) -> BoxFuture<'static, Result<Down<T>, Failure>> {
        let open = Open { world: self.way.world.clone(), place };
        async move {
            opened.await.unwrap_or_else(|_| Err(lost()))?;
            let messages = stream::unfold((down, open), |(mut down, open)| async move {
                let message = down.recv().await?;
                Some((message, (down, open)))
            });
            Ok(messages.boxed())
        }
        .boxed()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.world.state).close(self.place);
    }
}

fn lost() -> Failure {
    Failure::ConnectionLost("the connection was broken off".to_owned())
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Way({:?})", self.life)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({:?}, {})", self.way.life, lock(&self.connection))
    }
}
