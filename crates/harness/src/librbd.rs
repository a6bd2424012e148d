//! Ceph's own librbd as a process: a small program of python3-rbd that opens an image and does what it is asked, line by line.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use errno::Errno;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixStream, unix::pipe},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::{call::Failure, process::Process};

/// Debian's, for which its python3-rbd is made.
const PYTHON: &str = "/usr/bin/python3";
/// The program, which says in its head how it is talked to.
const PROGRAM: &str = include_str!("../../../tests/ceph/demo/client.py");
/// Where it lies beside the logs.
const FILE: &str = "librbd_client.py";
/// The errno by which the program says that its image could not be opened again.
const NOT_OPEN: i64 = 9;
/// How long it may take to say what it waits for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest that it may be.
const SAID_BYTES_MAX: usize = 1 << 20;
/// Ceph says by this number that a client is fenced; the host's name for it is ESHUTDOWN.
const FENCED: i64 = 108;

/// One client. Dropping it kills it.
pub struct Librbd {
    /// Its process.
    pub process: Process,
    /// Its client instance when it started; one that was opened anew has another.
    pub gid: u64,
    remote: LibrbdRemote,
    /// Where its admin socket lies: the name of a socket must be short.
    socket: TempDir,
    /// They end with their pipes.
    writer: JoinHandle<()>,
    reader: JoinHandle<()>,
}

/// Its calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LibrbdRemote {
    requests: mpsc::UnboundedSender<Request>,
}

#[derive(Debug)]
struct Request {
    verb: &'static str,
    arguments: Vec<Value>,
    answer: Answer,
}

/// Where the answer to a request goes.
type Answer = oneshot::Sender<Result<Value, Failure>>;

/// Calls under way, by number; `None` when no answer comes any more.
#[derive(Default)]
struct Waiting(Mutex<Option<BTreeMap<u64, Answer>>>);

impl Librbd {
    /// Opens an image of pool "rbd" under a name at the cluster that `ceph_conf` leads to, with these settings of Ceph's.
    pub async fn start(
        name: &str,
        image: &str,
        ceph_conf: &Path,
        settings: &[(String, String)],
        directory: &Path,
    ) -> Result<Self> {
        let program = directory.join(FILE);
        fs::write(&program, PROGRAM).with_context(|| format!("writing {}", program.display()))?;
        let socket = tempfile::tempdir().context("a folder for its admin socket")?;
        let mut settings: BTreeMap<_, _> = settings.iter().cloned().collect();
        let path = admin_socket(&socket).to_str().context("its name is not UTF-8")?.to_owned();
        settings.insert("admin_socket".to_owned(), path);
        let mut command = Command::new(PYTHON);
        command.arg("-B").arg(&program).args([&name.replace(' ', "-"), image]);
        command.arg(serde_json::to_string(&settings)?).env("CEPH_CONF", ceph_conf);
        let (mut process, line) =
            Process::spawn(command, name, directory).await.with_context(|| format!("{name}: librbd"))?;
        let gid = match answered(&line)? {
            (0, Ok(gid)) => gid.as_u64().context("an instance is a number")?,
            (0, Err(failure)) => return Err(failure).with_context(|| format!("{name}: opening {image}")),
            _ => anyhow::bail!("{name}: its first line is no answer to its start: {line}"),
        };
        let (input, output) = process.pipes()?;
        let (requests, asked) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting(Mutex::new(Some(BTreeMap::new()))));
        let writer = tokio::spawn(write(input, asked, waiting.clone()));
        let reader = tokio::spawn(read(output, waiting));
        Ok(Self { process, gid, remote: LibrbdRemote { requests }, socket, writer, reader })
    }

    /// Its calls alone, for tasks that outlive this borrow.
    pub fn remote(&self) -> LibrbdRemote {
        self.remote.clone()
    }

    /// What it has asked the cluster for and has no answer to, its watches aside, as its admin socket tells it.
    pub async fn awaits(&self) -> Result<Vec<String>> {
        let told = async {
            let mut socket = UnixStream::connect(admin_socket(&self.socket)).await?;
            socket.write_all(b"{\"prefix\":\"objecter_requests\"}\0").await?;
            let length = usize::try_from(socket.read_u32().await?)?;
            anyhow::ensure!(length <= SAID_BYTES_MAX, "it says {length} bytes");
            let mut said = vec![0; length];
            socket.read_exact(&mut said).await?;
            awaited(&serde_json::from_slice(&said)?)
        };
        timeout(PATIENCE, told).await.context("its admin socket does not answer")?.context("its admin socket")
    }

    /// Closes its input: it ends what it does, closes its image and ends.
    pub fn hang_up(&mut self) {
        self.writer.abort();
    }
}

impl Drop for Librbd {
    fn drop(&mut self) {
        self.writer.abort();
        self.reader.abort();
    }
}

impl LibrbdRemote {
    /// Does one thing. A failure without a name: the process has gone, or the answer makes no sense.
    pub async fn call(&self, verb: &'static str, arguments: Vec<Value>) -> Result<Value, Failure> {
        let (answer, answered) = oneshot::channel();
        let request = Request { verb, arguments, answer };
        self.requests.send(request).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn gone() -> Failure {
    nameless("the process has gone".to_owned())
}

fn nameless(text: String) -> Failure {
    Failure { name: String::new(), errno: 0, text }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<u64, Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests that are dropped are answered by the loss of their channel.
async fn write(mut input: pipe::Sender, mut asked: mpsc::UnboundedReceiver<Request>, waiting: Arc<Waiting>) {
    let mut number = 0;
    while let Some(Request { verb, arguments, answer }) = asked.recv().await {
        number += 1;
        match &mut *waiting.lock() {
            Some(waiting) => drop(waiting.insert(number, answer)),
            None => return,
        }
        let mut request = vec![json!(number), json!(verb)];
        request.extend(arguments);
        let line = format!("{}\n", Value::from(request));
        if input.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(mut output: BufReader<pipe::Receiver>, waiting: Arc<Waiting>) {
    let mut line = String::new();
    while matches!(output.read_line(&mut line).await, Ok(1..)) {
        match answered(&line) {
            Ok((number, result)) => {
                let answer = waiting.lock().as_mut().and_then(|waiting| waiting.remove(&number));
                if let Some(answer) = answer {
                    // Who asked may wait no longer.
                    let _ = answer.send(result);
                }
            }
            Err(_) if line.contains("\"progress\"") => {}
            Err(_) => break,
        }
        line.clear();
    }
    // Who waits is told by the loss of his channel.
    *waiting.lock() = None;
}

fn admin_socket(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("asok")
}

/// What `objecter_requests` lists of operations without an answer. A lasting one is a watch that is registered, one for each object;
/// any other is a notify whose end has not been told, or a watch on its way.
fn awaited(objecter: &Value) -> Result<Vec<String>> {
    let list = |name: &str| {
        objecter[name].as_array().with_context(|| format!("objecter_requests has no {name}: {objecter}"))
    };
    let mut awaited = Vec::new();
    for kind in ["ops", "pool_ops", "pool_stat_ops", "statfs_ops", "command_ops"] {
        awaited.extend(list(kind)?.iter().map(ToString::to_string));
    }
    let mut watched = BTreeSet::new();
    for lasting in list("linger_ops")? {
        let is_watch = lasting["registered"] == "1" && watched.insert(lasting["object_id"].to_string());
        if !is_watch {
            awaited.push(lasting.to_string());
        }
    }
    Ok(awaited)
}

/// The number of a request and what it came to; an error for a line that is no answer.
fn answered(line: &str) -> Result<(u64, Result<Value, Failure>)> {
    let (number, kind, value): (u64, String, Value) =
        serde_json::from_str(line).with_context(|| format!("no answer: {line}"))?;
    match kind.as_str() {
        "result" => Ok((number, Ok(value))),
        "error" => {
            let (errno, text): (i64, String) = serde_json::from_value(value)?;
            Ok((number, Err(failure(errno, text))))
        }
        other => anyhow::bail!("{other} is no answer"),
    }
}

fn failure(errno: i64, text: String) -> Failure {
    let known = match errno {
        FENCED => Some(Errno::EBLOCKLISTED),
        NOT_OPEN => Some(Errno::ESHUTDOWN),
        errno => i32::try_from(errno).ok().and_then(Errno::from_number),
    };
    match known {
        Some(known) => Failure { name: known.name().to_owned(), errno: known.number(), text },
        None => nameless(format!("errno {errno}: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_not_awaited_and_a_notify_is() {
        let lasting = |object: &str, registered: &str| json!({"object_id": object, "registered": registered});
        let objecter = |ops: Value, lasting: Vec<Value>| json!({"ops": ops, "linger_ops": lasting, "pool_ops": [], "pool_stat_ops": [], "statfs_ops": [], "command_ops": []});
        let count = |told: Value| awaited(&told).unwrap().len();
        assert_eq!(count(objecter(json!([]), vec![lasting("header", "1"), lasting("other", "1")])), 0);
        assert_eq!(count(objecter(json!([]), vec![lasting("header", "1"), lasting("header", "1")])), 1);
        assert_eq!(count(objecter(json!([]), vec![lasting("header", "0")])), 1);
        assert_eq!(count(objecter(json!([{"tid": 4}]), vec![])), 1);
        assert!(awaited(&json!({})).is_err());
    }

    #[test]
    fn an_answer_is_a_result_or_an_error_by_its_name() {
        assert_eq!(answered("[3,\"result\",\"00ff\"]").unwrap(), (3, Ok(json!("00ff"))));
        let name = |line: &str| answered(line).unwrap().1.unwrap_err().name;
        assert_eq!(name("[3,\"error\",[108,\"fenced\"]]"), "EBLOCKLISTED");
        assert_eq!(name("[3,\"error\",[9,\"closed\"]]"), "ESHUTDOWN");
        assert_eq!(name("[3,\"error\",[30,\"the lock is kept\"]]"), "EROFS");
        assert_eq!(name("[3,\"error\",[0,\"TypeError\"]]"), "");
        assert!(answered("[3,\"progress\",[1,2]]").is_err() && answered("Traceback").is_err());
    }
}
