//! The vocabulary of the scripts, read.

use errno::Errno;
use rbd_protocol::locker::{LOCK_TAG, LockInfo, LockKind, LockerInfo, encode_cookie};
use rbd_protocol::{
    Answer, ClientId, Ended, Failure, Message, NotifyAnswers, OpResult, Operation, Payload, Request,
    RequestId, ended_from_message,
};

/// The words of one command, taken from the front; whatever is missing or wrong names the command.
pub(crate) struct Words<'a> {
    line: &'a str,
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        let mut rest: Vec<&str> = line.split_whitespace().collect();
        rest.reverse();
        Self { line, rest }
    }

    pub(crate) fn try_next(&mut self) -> Option<&'a str> {
        self.rest.pop()
    }

    pub(crate) fn next(&mut self) -> &'a str {
        self.try_next().unwrap_or_else(|| self.wrong("one more word"))
    }

    pub(crate) fn wrong(&self, wanted: &str) -> ! {
        panic!("`{}`: expected {wanted}", self.line)
    }

    /// Takes the word if it is the next one.
    pub(crate) fn flag(&mut self, word: &str) -> bool {
        let found = self.rest.last() == Some(&word);
        if found {
            self.rest.pop();
        }
        found
    }

    pub(crate) fn number(&mut self) -> u64 {
        let word = self.next();
        word.parse().unwrap_or_else(|_| self.wrong("a number"))
    }

    /// `gid/handle`.
    pub(crate) fn client(&mut self) -> ClientId {
        let word = self.next();
        self.parse_client(word)
    }

    fn parse_client(&self, word: &str) -> ClientId {
        let numbers: Vec<u64> = word.split('/').filter_map(|part| part.parse().ok()).collect();
        match numbers[..] {
            [gid, handle] => ClientId { gid, handle },
            _ => self.wrong("gid/handle"),
        }
    }

    /// `gid.open.number`.
    pub(crate) fn request_id(&mut self) -> RequestId {
        let numbers: Vec<u64> = self.next().split('.').filter_map(|part| part.parse().ok()).collect();
        match numbers[..] {
            [gid, open, number] => RequestId { gid, open, number },
            _ => self.wrong("gid.open.number"),
        }
    }

    pub(crate) fn errno(&mut self) -> Errno {
        let word = self.next();
        Errno::from_name(word).unwrap_or_else(|| self.wrong("an errno"))
    }

    /// All words that are left.
    fn rest(&mut self) -> String {
        std::mem::take(&mut self.rest).into_iter().rev().collect::<Vec<_>>().join(" ")
    }

    /// `ok` or an errno and a reason.
    pub(crate) fn ended(&mut self) -> Ended {
        if self.flag("ok") { Ok(()) } else { Err(Failure::new(self.errno(), self.rest())) }
    }

    /// `ok` or an errno.
    pub(crate) fn result(&mut self) -> OpResult {
        if self.flag("ok") { Ok(()) } else { Err(self.errno()) }
    }

    /// `ID handle=H attempt=N low=N OPERATION`, of which all but the id may be left out.
    pub(crate) fn request(&mut self) -> Request {
        let mut request = Request {
            id: self.request_id(),
            handle: 0,
            attempt: 1,
            low_water_mark: 0,
            operation: Operation::Flatten,
        };
        while let Some(word) = self.try_next() {
            match word.split_once('=') {
                Some(("handle", value)) => request.handle = value.parse().expect("a handle"),
                Some(("attempt", value)) => request.attempt = value.parse().expect("an attempt"),
                Some(("low", value)) => request.low_water_mark = value.parse().expect("a mark"),
                Some(("resize", value)) => {
                    let size = value.parse().expect("a size");
                    request.operation = Operation::Resize { size, allow_shrink: true };
                }
                Some(("snap-create", value)) => {
                    request.operation = Operation::SnapCreate { name: value.to_owned() };
                }
                Some(("snap-remove", value)) => {
                    request.operation = Operation::SnapRemove { name: value.to_owned() };
                }
                _ => self.wrong("handle=, attempt=, low=, resize=, snap-create= or snap-remove="),
            }
        }
        request
    }

    /// `from=GID` in front of a message.
    pub(crate) fn try_notifier(&mut self) -> Option<u64> {
        let gid = self.rest.last()?.strip_prefix("from=")?.parse().expect("a gid");
        self.rest.pop();
        Some(gid)
    }

    pub(crate) fn message(&mut self) -> Message {
        match self.next() {
            "AcquiredLock" => Message::AcquiredLock(self.client()),
            "ReleasedLock" if self.flag("-") => Message::ReleasedLock(None),
            "ReleasedLock" => Message::ReleasedLock(Some(self.client())),
            "RequestLock" => Message::RequestLock(self.client()),
            "HeaderUpdate" => Message::HeaderUpdate,
            "AsyncProgress" => {
                Message::AsyncProgress { id: self.request_id(), offset: self.number(), total: self.number() }
            }
            "AsyncComplete" => {
                let id = self.request_id();
                let result = self.next().parse().expect("a result");
                let reason = self.rest();
                Message::AsyncComplete { id, result: ended_from_message(result, reason) }
            }
            "Request" => Message::Request(self.request()),
            "Unknown" => Message::Unknown,
            _ => self.wrong("a message"),
        }
    }

    /// `[timed-out] gid/handle:PAYLOAD ...`, or an errno.
    pub(crate) fn notified(&mut self) -> Result<NotifyAnswers, Errno> {
        if let Some(errno) = self.rest.last().and_then(|word| Errno::from_name(word)) {
            return Err(errno);
        }
        let mut notified = NotifyAnswers { timed_out: self.flag("timed-out"), answers: Vec::new() };
        while let Some((client, payload)) =
            self.try_next().map(|word| word.split_once(':').unwrap_or((word, "")))
        {
            let payload = match payload {
                "" => Payload::Empty,
                "garbage" => Payload::Undecodable,
                result => Payload::Response(ended_from_message(result.parse().expect("a result"), "")),
            };
            notified.answers.push(Answer { from: self.parse_client(client), payload });
        }
        Ok(notified)
    }

    /// `nobody`, `gid/handle`, `manual`, `shared`, or an errno.
    pub(crate) fn lock_info(&mut self) -> Result<LockInfo, Errno> {
        let locker = |gid, cookie| vec![LockerInfo { gid, cookie, address: format!("address of {gid}") }];
        let internal = |lockers| LockInfo { kind: LockKind::Exclusive, tag: LOCK_TAG.to_owned(), lockers };
        let word = self.next();
        match word {
            "nobody" => Ok(internal(Vec::new())),
            "manual" => Ok(LockInfo { tag: String::new(), ..internal(locker(9, "mine".to_owned())) }),
            "shared" => Ok(LockInfo { kind: LockKind::Shared, ..internal(locker(9, "mine".to_owned())) }),
            word => match Errno::from_name(word) {
                Some(errno) => Err(errno),
                None => {
                    let client = self.parse_client(word);
                    Ok(internal(locker(client.gid, encode_cookie(client.handle))))
                }
            },
        }
    }

    /// `nobody`, clients, or an errno.
    pub(crate) fn watchers(&mut self) -> Result<Vec<ClientId>, Errno> {
        if self.flag("nobody") {
            return Ok(Vec::new());
        }
        if let Some(errno) = self.rest.last().and_then(|word| Errno::from_name(word)) {
            return Err(errno);
        }
        let mut watchers = Vec::new();
        while !self.rest.is_empty() {
            watchers.push(self.client());
        }
        Ok(watchers)
    }
}
