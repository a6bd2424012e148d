use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use errno::Errno;
use futures_util::StreamExt;
use proto::osd::v1 as wire;
use tokio::sync::{mpsc, oneshot};

use super::{
    Command,
    table::{Broken, Table},
};
use crate::{
    Error,
    backoff::Backoff,
    session::Session,
    transport::{Down, Failure, Transport},
};

/// Jitter stream of this task.
const BACKOFF_STREAM: u64 = 2;

/// Keeps the session's watches alive until it ends: one stream on a connection of its own, opened with the first watch,
/// pinged, and opened again when it is lost or silent. Only the OSD's words end a watch, never the end of a stream. Pings and
/// silence go by the session's clock; opening a connection, and the wait before the next try, by the machine's.
pub(crate) async fn run(
    session: Arc<Session>,
    transport: Arc<dyn Transport>,
    commands: mpsc::UnboundedReceiver<Command>,
) {
    let config = &session.config;
    let backoff =
        Backoff::new(config.reconnect_min, config.reconnect_max, config.backoff_seed, BACKOFF_STREAM);
    let mut stream = Stream {
        table: Table::new(session.gid, session.watch_commands.clone()),
        silence_max: config.watch_silence_max(),
        session: session.clone(),
        transport,
        commands,
        backoff,
    };
    let over = session.over.clone();
    tokio::select! {
        biased;
        () = over.cancelled() => {}
        error = stream.keep() => session.end(&error),
    }
    stream.end();
}

/// Removes every watch of the session; answered when the OSD has done so.
pub(crate) async fn close_all(session: &Session) {
    let (done, closed) = oneshot::channel();
    let _ = session.watch_commands.send(Command::Close { done });
    let _ = closed.await;
}

struct Stream {
    session: Arc<Session>,
    transport: Arc<dyn Transport>,
    commands: mpsc::UnboundedReceiver<Command>,
    table: Table,
    backoff: Backoff,
    silence_max: Duration,
}

/// An open stream.
struct Open {
    up: mpsc::UnboundedSender<wire::WatchRequest>,
    down: Down<wire::WatchEvent>,
}

/// Why a stream is not open any more.
enum Gone {
    Lost(String),
    Session(Error),
}

impl Stream {
    /// Runs until the session has ended by the OSD's word.
    async fn keep(&mut self) -> Error {
        loop {
            while self.table.is_idle() {
                if let Some(command) = self.commands.recv().await {
                    self.table.apply(command);
                }
            }
            let gone = match self.open().await {
                Ok(open) => self.serve(open).await,
                Err(gone) => gone,
            };
            self.table.lost();
            match gone {
                Gone::Session(error) => return error,
                Gone::Lost(why) => tracing::debug!(gid = self.session.gid, why, "watch stream lost"),
            }
            let wait = self.backoff.next_wait();
            let machine = self.session.config.machine.clone();
            self.meanwhile(machine.sleep(wait)).await;
        }
    }

    /// Opens a connection and a stream on it, and greets.
    async fn open(&mut self) -> Result<Open, Gone> {
        let machine = self.session.config.machine.clone();
        let connecting = machine.timeout(self.silence_max, self.transport.connect());
        let connection = match self.meanwhile(connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(why)) => return Err(Gone::Lost(why)),
            Err(_) => return Err(Gone::Lost("no connection in time".to_owned())),
        };
        let (up, requests) = mpsc::unbounded_channel();
        self.table.opened();
        self.flush(&up);
        let watching = machine.timeout(self.silence_max, connection.watch(requests));
        match self.meanwhile(watching).await {
            Ok(Ok(down)) => Ok(Open { up, down }),
            Ok(Err(failure)) => Err(self.gone(failure)),
            Err(_) => Err(Gone::Lost("no answer in time".to_owned())),
        }
    }

    /// Serves an open stream until it is gone.
    async fn serve(&mut self, mut open: Open) -> Gone {
        let ping_interval = self.session.config.ping_interval;
        let clock = self.session.config.clock.clone();
        let mut next_ping = clock.now() + ping_interval;
        let mut last_heard = clock.now();
        loop {
            self.flush(&open.up);
            tokio::select! {
                biased;
                () = clock.sleep_until(next_ping) => {
                    next_ping = clock.now() + ping_interval;
                    self.table.ping();
                    self.table.retry();
                }
                Some(command) = self.commands.recv() => self.table.apply(command),
                event = open.down.next() => {
                    last_heard = clock.now();
                    if let Err(gone) = self.received(event) {
                        return gone;
                    }
                }
                () = clock.sleep_until(last_heard + self.silence_max) => {
                    return Gone::Lost(format!("silent for {:?}", self.silence_max));
                }
            }
        }
    }

    fn received(&mut self, event: Option<Result<wire::WatchEvent, Failure>>) -> Result<(), Gone> {
        match event {
            Some(Ok(event)) => {
                self.backoff.reset();
                self.table.event(event).map_err(|broken| match broken {
                    Broken::Session(error) => Gone::Session(error.seen_by(self.attempted())),
                    Broken::Protocol(text) => Gone::Lost(text),
                })
            }
            None => Err(Gone::Lost("the OSD closed the watch stream".to_owned())),
            Some(Err(failure)) => Err(self.gone(failure)),
        }
    }

    fn gone(&self, failure: Failure) -> Gone {
        match failure {
            Failure::Answer(error) if error.errno() == Errno::EBLOCKLISTED => {
                Gone::Session(error.seen_by(self.attempted()))
            }
            // The OSD may cut a stream for reasons of its own; whether the session lives, the next Hello tells.
            failure => Gone::Lost(failure.to_string()),
        }
    }

    /// Waits for `future` and goes on taking commands.
    async fn meanwhile<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                Some(command) = self.commands.recv() => self.table.apply(command),
            }
        }
    }

    fn flush(&mut self, up: &mpsc::UnboundedSender<wire::WatchRequest>) {
        for request in self.table.take_outbox() {
            // A stream that broke is noticed by its reader.
            let _ = up.send(request);
        }
    }

    /// The session has ended: everybody who waits, or asked just before, hears why.
    fn end(&mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            self.table.apply(command);
        }
        self.table.end(&self.session.why_over("watch"));
    }

    fn attempted(&self) -> String {
        format!("watch stream of session {}", self.session.gid)
    }
}
