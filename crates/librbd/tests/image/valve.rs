//! A client's connections behind a valve: closed, nothing passes and nothing breaks, as when a machine hangs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rpc::{BoxIo, Dial};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Open at first.
#[derive(Clone)]
pub(crate) struct Valve {
    open: Arc<watch::Sender<bool>>,
}

impl Valve {
    pub(crate) fn new() -> Self {
        Self { open: Arc::new(watch::Sender::new(true)) }
    }

    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    pub(crate) fn dial(&self) -> Dial {
        let valve = self.clone();
        Arc::new(move |address: String| {
            let valve = valve.clone();
            Box::pin(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::pin(Valved { stream, reading: valve.passage(), writing: valve.passage() }) as BoxIo)
            })
        })
    }

    fn passage(&self) -> Passage {
        Passage { open: self.open.subscribe(), opening: None }
    }
}

/// One direction of one connection.
struct Passage {
    open: watch::Receiver<bool>,
    opening: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Passage {
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.opening.is_none() {
            if *self.open.borrow() {
                return Poll::Ready(());
            }
            let mut open = self.open.clone();
            self.opening = Some(Box::pin(async move { drop(open.wait_for(|open| *open).await) }));
        }
        let opening = self.opening.as_mut().expect("just set");
        let opened = opening.as_mut().poll(context);
        if opened.is_ready() {
            self.opening = None;
        }
        opened
    }
}

struct Valved {
    stream: TcpStream,
    reading: Passage,
    writing: Passage,
}

impl AsyncRead for Valved {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.reading.poll_open(context));
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Valved {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.writing.poll_open(context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.writing.poll_open(context));
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
