//! What the spans of an operation tell.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex};

use errno::Errno;
use librbd::CallOptions;
use rados::IoCtx;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::faults::op;
use crate::support::*;

/// The fields of one span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Span {
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Span {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Span {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("absent", String::as_str)
    }
}

/// The spans that have ended, of all tests of this program.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

impl Spans {
    /// Collects from the first call on.
    fn collect() -> &'static Self {
        static ALL: LazyLock<Spans> = LazyLock::new(|| {
            let spans = Spans::default();
            let subscriber = Registry::default().with(spans.clone()).with(crate::panics::Listening);
            tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
            spans
        });
        &ALL
    }

    /// Those about requests of one client.
    fn named(&self, name: &str, requester: &IoCtx) -> Vec<Span> {
        let prefix = format!("{}.", requester.rados().gid());
        let spans = self.0.lock().unwrap();
        let is_wanted = |span: &&Span| span.name == name && span.field("id").starts_with(&prefix);
        spans.iter().filter(is_wanted).cloned().collect()
    }
}

/// One subscriber for all threads and tests: whether an event is of interest is decided once, and not by who came first.
pub(crate) fn listen() {
    Spans::collect();
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        // The OSD runs in this program too.
        if attributes.metadata().target().starts_with("librbd") {
            let mut span = Span { name: attributes.metadata().name(), ..Span::default() };
            attributes.record(&mut span);
            context.span(id).unwrap().extensions_mut().insert(span);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id).unwrap().extensions_mut().get_mut::<Span>() {
            values.record(span);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.0.lock().unwrap().extend(context.span(&id).unwrap().extensions_mut().remove::<Span>());
    }
}

/// What the caller's span says: operation, attempts, result; and the request's id.
fn of_call(requester: &IoCtx) -> ([String; 3], String) {
    let calls = Spans::collect().named("call", requester);
    assert_eq!(calls.len(), 1, "{calls:?}");
    let field = |name| calls[0].field(name).to_owned();
    (["operation", "attempts", "result"].map(field), field("id"))
}

/// What the spans of those who ran it say: id, attempt, whether it was forwarded.
fn of_runs(requester: &IoCtx) -> Vec<[String; 3]> {
    let runs = Spans::collect().named("operation", requester);
    runs.iter().map(|run| ["id", "attempt", "forwarded"].map(|name| run.field(name).to_owned())).collect()
}

#[tokio::test]
async fn a_forwarded_operation_has_the_callers_id_at_both_ends() {
    Spans::collect();
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    create(&io, "img", 4).await;
    let (owner, requester) = (open(&io, "img").await, open(&other, "img").await);
    soon(owner.acquire_lock()).await.unwrap();
    soon(requester.resize(8 * OBJECT, false, CallOptions::default())).await.unwrap();
    soon(owner.close()).await;
    let (call, id) = of_call(&other);
    assert_eq!(call, ["resize", "1", "0"]);
    assert_eq!(of_runs(&other), [[&id, "1", "true"]]);
}

#[tokio::test]
async fn an_operation_that_failed_says_so() {
    Spans::collect();
    let cluster = Cluster::start();
    let io = cluster.client("a").await;
    create(&io, "img", 4).await;
    let image = open(&io, "img").await;
    assert_eq!(errno_of(soon(image.snap_remove("none", CallOptions::default())).await), Errno::ENOENT);
    let (call, id) = of_call(&io);
    assert_eq!(call, ["snap_remove", "1", &Errno::ENOENT.result().to_string()]);
    assert_eq!(of_runs(&io), [[&id, "1", "false"]]);
}

/// One id from the requester to its first owner and back to the requester, who ends it.
#[tokio::test]
async fn a_flatten_is_followed_by_its_id_over_a_change_of_the_owner() {
    Spans::collect();
    let cluster = Cluster::start();
    let (io, other) = (cluster.client("a").await, cluster.client("b").await);
    clone(&io, 4).await;
    let (owner, requester) = (open_with(&io, "child", slow()).await, open(&other, "child").await);
    soon(owner.acquire_lock()).await.unwrap();
    let held = cluster.hold_next(op("rbd.copyup")).await;
    let flattening = tokio::spawn(async move { requester.flatten(CallOptions::default()).await });
    held.arrived().await;
    let closing = tokio::spawn(async move { owner.close().await });
    held.let_go().await;
    soon(flattening).await.unwrap().unwrap();
    soon(closing).await.unwrap();
    let (call, id) = of_call(&other);
    assert_eq!([&call[0], &call[2]], ["flatten", "0"]);
    assert!(call[1].parse::<u32>().unwrap() >= 2, "{call:?}");
    let runs = of_runs(&other);
    assert_eq!(runs.first(), Some(&[id.clone(), "1".to_owned(), "true".to_owned()]));
    assert_eq!(runs.last(), Some(&[id.clone(), call[1].clone(), "false".to_owned()]));
    assert!(runs.iter().all(|run| run[0] == id), "{runs:?}");
}
