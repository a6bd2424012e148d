use std::collections::BTreeMap;

use prost::Message;
use proto::osd::v1::OperateRequest;

/// The unanswered ops of a session, in program order. `W` is who waits for an answer.
///
/// An op is *queued* until it is sent, *in flight* until it is answered; a broken connection turns every op in flight
/// back into a queued one, so that all are sent again in the order of their tids.
#[derive(Debug)]
pub(crate) struct Window<W> {
    bounds: Bounds,
    next_tid: u64,
    unanswered: BTreeMap<u64, Entry<W>>,
    /// Ops with a tid below this have been sent on the connection that is open.
    sent_below: u64,
    in_flight: Load,
    /// An op with a tid below this is sent alone: it may be the one for which the OSD ends the stream.
    alone_below: u64,
}

/// How much may be on its way at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Ops in flight.
    pub(crate) ops_in_flight_max: usize,
    /// Their encoded bytes; one op alone may exceed it.
    pub(crate) bytes_in_flight_max: usize,
    /// Ops in flight and queued; also how far a tid that is sent may be ahead of the watermark, for the OSD keeps the
    /// replies in between.
    pub(crate) ops_unanswered_max: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    ops: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Entry<W> {
    Op {
        request: OperateRequest,
        bytes: usize,
        waiter: W,
    },
    /// A tid that travels in a unary call; it holds the watermark back until the call is answered.
    Call,
}

/// `ops_unanswered_max` ops are unanswered.
#[derive(Debug)]
pub(crate) struct Full<W>(pub(crate) W);

impl<W> Window<W> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            next_tid: 1,
            unanswered: BTreeMap::new(),
            sent_below: 1,
            in_flight: Load::default(),
            alone_below: 0,
        }
    }

    /// Queues an op behind all others.
    pub(crate) fn push(&mut self, mut request: OperateRequest, waiter: W) -> Result<(), Full<W>> {
        if self.unanswered.len() >= self.bounds.ops_unanswered_max {
            return Err(Full(waiter));
        }
        request.tid = self.take_tid();
        let bytes = request.encoded_len();
        self.unanswered.insert(request.tid, Entry::Op { request, bytes, waiter });
        Ok(())
    }

    /// A tid for a unary call that the OSD recognises when it is sent again. Ends with [`Window::call_answered`].
    pub(crate) fn begin_call(&mut self) -> u64 {
        let tid = self.take_tid();
        self.unanswered.insert(tid, Entry::Call);
        tid
    }

    pub(crate) fn call_answered(&mut self, tid: u64) {
        self.unanswered.remove(&tid);
    }

    /// The next op to send, if the bounds allow one more.
    pub(crate) fn next_to_send(&mut self) -> Option<OperateRequest> {
        let is_one_alone =
            self.in_flight.ops > 0 && self.first_op().is_some_and(|tid| tid < self.alone_below);
        if self.in_flight.ops >= self.bounds.ops_in_flight_max || is_one_alone {
            return None;
        }
        let watermark = self.watermark();
        let queued = self.unanswered.range(self.sent_below..);
        let (&tid, request, bytes) = queued.into_iter().find_map(|(tid, entry)| match entry {
            Entry::Op { request, bytes, .. } => Some((tid, request, *bytes)),
            Entry::Call => None,
        })?;
        if tid - watermark >= self.bounds.ops_unanswered_max as u64 {
            return None;
        }
        if self.in_flight.ops > 0 && self.in_flight.bytes + bytes > self.bounds.bytes_in_flight_max {
            return None;
        }
        self.sent_below = tid + 1;
        self.in_flight = Load { ops: self.in_flight.ops + 1, bytes: self.in_flight.bytes + bytes };
        Some(OperateRequest { watermark, ..request.clone() })
    }

    /// Ends the op `tid`; `None` when it is not in flight.
    pub(crate) fn answered(&mut self, tid: u64) -> Option<W> {
        if tid >= self.sent_below || !matches!(self.unanswered.get(&tid), Some(Entry::Op { .. })) {
            return None;
        }
        self.end(tid)
    }

    /// The connection broke because of an op on it: ends it when it was alone there. Else every op that was in flight is
    /// sent alone from here on, so that the next time tells which one it is.
    pub(crate) fn refused(&mut self) -> Option<W> {
        if self.in_flight.ops == 1 {
            return self.end(self.first_op()?);
        }
        self.alone_below = self.sent_below;
        None
    }

    /// Ends an op in flight.
    fn end(&mut self, tid: u64) -> Option<W> {
        let Some(Entry::Op { bytes, waiter, .. }) = self.unanswered.remove(&tid) else { return None };
        self.in_flight = Load { ops: self.in_flight.ops - 1, bytes: self.in_flight.bytes - bytes };
        Some(waiter)
    }

    /// The connection broke: everything unanswered is to be sent again.
    pub(crate) fn rewind(&mut self) {
        self.sent_below = self.watermark();
        self.in_flight = Load::default();
    }

    /// The lowest unanswered tid: the OSD may forget everything below it.
    pub(crate) fn watermark(&self) -> u64 {
        self.unanswered.keys().next().copied().unwrap_or(self.next_tid)
    }

    /// The lowest op. It is in flight when any is.
    fn first_op(&self) -> Option<u64> {
        self.unanswered.iter().find_map(|(&tid, entry)| matches!(entry, Entry::Op { .. }).then_some(tid))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Gives all waiters up, in program order.
    pub(crate) fn take_all(&mut self) -> Vec<W> {
        let all = std::mem::take(&mut self.unanswered);
        self.in_flight = Load::default();
        let waiter = |entry| match entry {
            Entry::Op { waiter, .. } => Some(waiter),
            Entry::Call => None,
        };
        all.into_values().filter_map(waiter).collect()
    }

    fn take_tid(&mut self) -> u64 {
        let tid = self.next_tid;
        self.next_tid += 1;
        tid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { ops_in_flight_max: 3, bytes_in_flight_max: 1_000, ops_unanswered_max: 5 };

    fn window_of(ops: usize) -> Window<char> {
        let mut window = Window::new(BOUNDS);
        for waiter in ('a'..).take(ops) {
            window.push(request(waiter, 0), waiter).unwrap();
        }
        window
    }

    fn request(name: char, bytes: usize) -> OperateRequest {
        OperateRequest { object: name.to_string(), pool: "p".repeat(bytes), ..OperateRequest::default() }
    }

    /// Sends all that the bounds allow: "tid name watermark".
    fn send(window: &mut Window<char>) -> Vec<String> {
        let show =
            |request: OperateRequest| format!("{} {} {}", request.tid, request.object, request.watermark);
        std::iter::from_fn(|| window.next_to_send().map(show)).collect()
    }

    #[test]
    fn ops_are_sent_in_program_order_up_to_the_limit() {
        let mut window = window_of(5);
        assert_eq!(send(&mut window), ["1 a 1", "2 b 1", "3 c 1"]);
        assert_eq!(window.answered(2), Some('b'));
        assert_eq!(send(&mut window), ["4 d 1"]);
    }

    #[test]
    fn the_watermark_is_the_lowest_unanswered_tid() {
        let mut window = window_of(3);
        send(&mut window);
        window.answered(2);
        assert_eq!(window.watermark(), 1);
        window.answered(1);
        assert_eq!(window.watermark(), 3);
        window.answered(3);
        assert_eq!(window.watermark(), 4);
        assert!(window.is_empty());
    }

    #[test]
    fn after_a_reconnect_the_unanswered_are_sent_again_in_tid_order() {
        let mut window = window_of(4);
        send(&mut window);
        window.answered(2);
        window.rewind();
        assert_eq!(send(&mut window), ["1 a 1", "3 c 1", "4 d 1"]);
    }

    #[test]
    fn an_answer_counts_once_and_only_for_an_op_in_flight() {
        let mut window = window_of(4);
        assert_eq!(window.answered(1), None, "not sent yet");
        send(&mut window);
        assert_eq!(window.answered(1), Some('a'));
        assert_eq!(window.answered(1), None, "answered before");
        assert_eq!(window.answered(4), None, "held back by the limit");
        assert_eq!(window.answered(99), None, "never existed");
    }

    #[test]
    fn bytes_in_flight_hold_back_all_but_a_lone_op() {
        let mut window = Window::new(BOUNDS);
        for name in ['a', 'b'] {
            window.push(request(name, 2_000), name).unwrap();
        }
        assert_eq!(send(&mut window), ["1 a 1"]);
        window.answered(1);
        assert_eq!(send(&mut window), ["2 b 2"]);
    }

    #[test]
    fn one_op_more_than_the_limit_is_turned_away() {
        let mut window = window_of(5);
        assert_eq!(window.push(request('z', 0), 'z').unwrap_err().0, 'z');
    }

    #[test]
    fn a_call_holds_the_watermark_back_until_it_is_answered() {
        let mut window = Window::new(BOUNDS);
        let tid = window.begin_call();
        window.push(request('a', 0), 'a').unwrap();
        assert_eq!(send(&mut window), ["2 a 1"]);
        assert_eq!(window.answered(tid), None, "a call is not answered on the op stream");
        window.call_answered(tid);
        assert_eq!(window.watermark(), 2);
    }

    #[test]
    fn no_op_is_sent_too_far_ahead_of_an_unanswered_one() {
        let mut window = Window::new(BOUNDS);
        let tid = window.begin_call();
        for tid in 2..=5 {
            window.push(request('a', 0), 'a').unwrap();
            send(&mut window);
            assert_eq!(window.answered(tid), Some('a'));
        }
        window.push(request('b', 0), 'b').unwrap();
        assert!(send(&mut window).is_empty());
        window.call_answered(tid);
        assert_eq!(send(&mut window), ["6 b 6"]);
    }

    #[test]
    fn the_op_that_was_alone_on_a_refused_connection_is_ended() {
        let mut window = window_of(1);
        send(&mut window);
        window.push(request('b', 0), 'b').unwrap();
        assert_eq!(window.refused(), Some('a'));
        window.rewind();
        assert_eq!(send(&mut window), ["2 b 2"]);
    }

    #[test]
    fn of_several_ops_on_a_refused_connection_each_is_sent_alone_until_it_is_answered() {
        let mut window = window_of(5);
        assert_eq!(send(&mut window), ["1 a 1", "2 b 1", "3 c 1"]);
        assert_eq!(window.refused(), None);
        window.rewind();
        assert_eq!(send(&mut window), ["1 a 1"]);
        window.answered(1);
        assert_eq!(send(&mut window), ["2 b 2"]);
        assert_eq!(window.refused(), Some('b'));
        window.rewind();
        assert_eq!(send(&mut window), ["3 c 3"]);
        window.answered(3);
        assert_eq!(send(&mut window), ["4 d 4", "5 e 4"]);
    }

    #[test]
    fn the_end_of_the_session_gives_up_every_waiter_in_order() {
        let mut window = window_of(5);
        send(&mut window);
        window.begin_call();
        assert_eq!(window.take_all(), ['a', 'b', 'c', 'd', 'e']);
        assert!(window.is_empty());
    }
}
