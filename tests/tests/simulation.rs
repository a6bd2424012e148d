//! The same OSD and the same client library in a simulated network on simulated time: a lock, a forwarded flatten, links
//! that stall. One seed decides everything, and two processes with one seed tell the same story to the last event.

use std::{
    env, io,
    net::Ipv4Addr,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use check::{BreakRule, EventLog, Fact, ImageObjects};
use futures_util::{StreamExt, future::BoxFuture, stream};
use harness::program;
use librbd::{CallOptions, CloneOptions, CreateOptions, Features, Image, OpenOptions, OperationEvent};
use proto::osd::v1::EventsRequest;
use rados::Rados;
use rpc::{Address, BoxIo, Network, osd::osd_client::OsdClient};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};
use tonic::transport::server::Connected;
use turmoil::net::{TcpListener, TcpStream};

const SEED: &str = "RBD_SIM_SEED";
const PORT: u16 = 6800;
const OBJECTS: u64 = 24;
const ORDER: u32 = 16;
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// A simulated connection as tonic's server wants it.
struct Io(TcpStream);

impl Connected for Io {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn network() -> Network {
    let dial = |address: String| -> BoxFuture<'static, io::Result<BoxIo>> {
        Box::pin(async move { Ok(Box::pin(TcpStream::connect(address).await?) as BoxIo) })
    };
    Network::custom(Arc::new(dial), SILENCE_MAX)
}

fn osd_address() -> Result<Address> {
    Ok(format!("osd:{PORT}").parse()?)
}

/// What happened, in order, with simulated times.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    fn say(&self, what: &str) {
        let now = turmoil::sim_elapsed().unwrap_or_default().as_millis();
        self.0.lock().expect("nobody panics holding it").push(format!("{now} {what}"));
    }

    fn hash(&self) -> String {
        let text = self.0.lock().expect("nobody panics holding it").join("\n");
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

async fn session(name: &str, seed: u64) -> Result<Rados> {
    let config = rados::Config { client_name: name.to_owned(), backoff_seed: seed, ..rados::Config::ci() };
    Ok(Rados::connect(network(), osd_address()?, config).await?)
}

/// How far the play is; each client waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Opening,
    Owned,
    Flattened,
}

/// Makes parent and clone, owns the clone's lock, and serves what the other forwards.
async fn owner(seed: u64, trace: Trace, act: watch::Sender<Act>) -> Result<()> {
    let rados = session("owner", seed).await?;
    let io = rados.io_ctx("rbd").await?;
    let features: Features = "layering,exclusive-lock,deep-flatten".parse()?;
    let create = CreateOptions { size: OBJECTS << ORDER, order: ORDER, features, ..CreateOptions::default() };
    librbd::create(&io, "parent", &create).await?;
    let config = librbd::Config::ci();
    let parent = Image::open(&io, "parent", OpenOptions::default(), config.clone()).await?;
    for object in (0..OBJECTS).filter(|object| object % 3 != 2) {
        parent.write(object << ORDER, vec![object as u8 + 1; 512].into()).await?;
    }
    parent.snap_create("snap", CallOptions::default()).await?;
    parent.snap_protect("snap").await?;
    parent.close().await;
    librbd::clone(
        &io,
        "parent",
        "snap",
        &io,
        "child",
        &CloneOptions { order: Some(ORDER), ..Default::default() },
    )
    .await?;
    let child = Image::open(&io, "child", OpenOptions::default(), config).await?;
    child.write(0, vec![200; 16].into()).await?;
    ensure!(child.is_lock_owner().await?, "the writer owns the lock");
    trace.say("owner: owns the lock");
    act.send_replace(Act::Owned);
    act.subscribe().wait_for(|&act| act == Act::Flattened).await?;
    child.close().await;
    rados.shutdown().await;
    Ok(())
}

/// Forwards the flatten to the owner, and checks what came of it.
async fn requester(seed: u64, trace: Trace, act: watch::Sender<Act>) -> Result<()> {
    act.subscribe().wait_for(|&act| act == Act::Owned).await?;
    let rados = session("requester", seed ^ 0x5eed).await?;
    let io = rados.io_ctx("rbd").await?;
    let config = librbd::Config { rbd_concurrent_management_ops: 1, ..librbd::Config::ci() };
    let child = Image::open(&io, "child", OpenOptions::default(), config).await?;
    let told = trace.clone();
    let forwarded = Arc::new(Mutex::new(Vec::new()));
    let placements = forwarded.clone();
    let progress = Arc::new(move |event: OperationEvent| {
        if let OperationEvent::Placed { forwarded, .. } = event {
            placements.lock().expect("nobody panics holding it").push(forwarded);
        }
        told.say(&format!("requester: {event:?}"));
    });
    child.flatten(CallOptions { progress, ..CallOptions::default() }).await?;
    trace.say("requester: flattened");
    ensure!(
        forwarded.lock().expect("nobody panics holding it").first() == Some(&true),
        "the first attempt was forwarded"
    );
    for object in 0..OBJECTS {
        let expected = match object {
            0 => 200,
            _ if object % 3 == 2 => 0,
            _ => object as u8 + 1,
        };
        let found = child.read(object << ORDER, 1).await?;
        ensure!(found[..] == [expected], "object {object} holds {found:?} instead of {expected}");
    }
    let info = child.info().await?;
    ensure!(info.parent.is_none(), "the parent is gone");
    let objects = ImageObjects {
        pool: "rbd".to_owned(),
        header: child.header_object().to_owned(),
        object_prefix: info.object_prefix,
    };
    child.close().await;
    judge(&tell_events(&trace).await?, &objects)?;
    rados.shutdown().await;
    act.send_replace(Act::Flattened);
    Ok(())
}

/// One writer at a time (I1).
fn judge(log: &EventLog, image: &ImageObjects) -> Result<()> {
    let mut locks = log.events().iter().filter(|event| matches!(event.fact, Fact::Locked(_)));
    ensure!(locks.any(|event| event.object == image.header), "nobody took the lock of {}", image.header);
    let violations = check::one_writer_at_a_time(log, image, BreakRule::FenceFirst, &Default::default());
    let found: Vec<_> = violations.iter().map(ToString::to_string).collect();
    ensure!(found.is_empty(), "{}", found.join("; "));
    Ok(())
}

/// Adds the OSD's whole event log to the trace.
async fn tell_events(trace: &Trace) -> Result<EventLog> {
    let channel = network().connect(&osd_address()?).await?;
    let mut osd = OsdClient::new(channel).max_decoding_message_size(rpc::MESSAGE_BYTES_MAX);
    let mut events = osd.events(EventsRequest { after: 0, until_now: true }).await?.into_inner();
    let mut log = Vec::new();
    while let Some(event) = events.message().await? {
        trace.say(&format!("{event:?}"));
        log.push(event);
    }
    Ok(EventLog::from_wire(log)?)
}

/// Plays the whole world with one seed; the trace.
fn play(seed: u64) -> Result<Trace> {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(UNIX_EPOCH)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(5))
        .simulation_duration(Duration::from_secs(120))
        .tcp_capacity(4096)
        .enable_random_order()
        .build();
    sim.host("osd", move || async move {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        let incoming = stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(stream, _)| Io(stream));
            Some((accepted, listener))
        });
        let config = osd_sim::Config::ci();
        osd_sim::serve(incoming.boxed(), config, seed, std::future::pending::<()>()).await?;
        Ok(())
    });
    let trace = Trace::default();
    let act = watch::Sender::new(Act::Opening);
    let (told, acts) = (trace.clone(), act.clone());
    sim.client("owner", async move { Ok(owner(seed, told, acts).await?) });
    let (told, acts) = (trace.clone(), act);
    sim.client("requester", async move { Ok(requester(seed, told, acts).await?) });
    sim.run().map_err(|error| anyhow::anyhow!("seed {seed}: {error}"))?;
    Ok(trace)
}

/// The seed is the environment's, so that a failure can be played again: RBD_SIM_SEED=7 cargo test --test simulation
#[test]
fn a_forwarded_flatten_ends_well_in_the_simulated_world() {
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let trace = play(seed).unwrap();
    let events = trace.0.lock().unwrap().len();
    assert!(events > 100, "{events} events");
    println!("\nseed {seed} trace {} events {events}", trace.hash());
}

async fn trace_line_of(seed: u64) -> Result<String> {
    let arguments = [
        format!("{SEED}={seed}"),
        env::current_exe()?.to_str().context("the test's path is UTF-8")?.to_owned(),
        "--exact".to_owned(),
        "a_forwarded_flatten_ends_well_in_the_simulated_world".to_owned(),
        "--nocapture".to_owned(),
    ];
    let output = program::run(Path::new("/usr/bin/env"), &arguments, Duration::from_secs(300)).await?;
    let text = output.success("a simulated world")?;
    let line = text.lines().find(|line| line.starts_with("seed ")).context("the trace's hash")?;
    Ok(line.to_owned())
}

#[tokio::test]
async fn one_seed_is_one_story_in_every_process() -> Result<()> {
    let first = trace_line_of(11).await?;
    assert_eq!(first, trace_line_of(11).await?);
    let other = trace_line_of(12).await?;
    let hash = |line: &str| line.split(" trace ").nth(1).map(str::to_owned);
    assert_ne!(hash(&first), hash(&other), "another seed is another story");
    Ok(())
}
