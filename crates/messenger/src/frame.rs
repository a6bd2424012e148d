//! Frames: a preamble that says how long up to four segments are, the segments, and their checksums.

use bytes::{Buf, Bytes, BytesMut};
use ceph_wire::crc::{SEED, crc32c};
use ceph_wire::{Reader, Wire, WireError, Writer};

use crate::Broken;
use crate::output::Output;

/// Bytes of a preamble.
const PREAMBLE_BYTES: usize = 32;
/// Bytes of a preamble that its checksum covers.
const PREAMBLE_COVERED_BYTES: usize = 28;
/// Segments of a frame at most.
const SEGMENTS_MAX: usize = 4;
/// Room for bytes that arrive: so many at first, then so many times what has arrived.
const ROOM_BYTES_MIN: usize = 64 << 10;
const ROOM_FACTOR: usize = 4;
/// Bytes of a checksum.
const CRC_BYTES: usize = 4;
/// Bytes behind the segments of a frame that has more than one: a status, and the checksums of all but the first.
const EPILOGUE_BYTES: usize = 1 + (SEGMENTS_MAX - 1) * CRC_BYTES;
/// The status of a frame that was sent whole.
const COMPLETE: u8 = 0x0e;
/// How segments would like to lie in memory: the last one in pages.
const ALIGNMENTS: [u16; SEGMENTS_MAX] = [8, 8, 8, 4096];

macro_rules! tags {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// What a frame is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Tag {
            $(#[doc = $text] $name,)*
        }

        impl Tag {
            /// As it travels.
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }

            /// `None` for a number that is not known here.
            pub const fn of(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

tags! {
    Hello = 1, "Who the sender is, and where he sees the peer.";
    AuthRequest = 2, "How the client would authenticate.";
    AuthBadMethod = 3, "The server does not take that.";
    AuthReplyMore = 4, "The server wants to know more.";
    AuthRequestMore = 5, "What the server wanted to know.";
    AuthDone = 6, "The client is who it says.";
    AuthSignature = 7, "A checksum of everything before it; zeros without a key.";
    ClientIdent = 8, "Which instance the client is, and what it can.";
    ServerIdent = 9, "Which instance the server is, and what it can.";
    IdentMissingFeatures = 10, "What the client cannot and should.";
    SessionReconnect = 11, "A session of an earlier connection is to go on.";
    SessionReset = 12, "There is no such session.";
    SessionRetry = 13, "Of a crossing of connections.";
    SessionRetryGlobal = 14, "Of a crossing of connections.";
    SessionReconnectOk = 15, "It goes on.";
    Wait = 16, "Of a crossing of connections.";
    Message = 17, "A message.";
    Keepalive2 = 18, "Whether the peer lives.";
    Keepalive2Ack = 19, "It does.";
    Ack = 20, "Up to where messages have arrived, on connections with replay.";
    CompressionRequest = 21, "How the client would compress.";
    CompressionDone = 22, "How the server would.";
}

/// A frame that arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is, as it travelled.
    pub tag: u8,
    /// Its segments; those that were not sent are empty.
    pub segments: [Bytes; SEGMENTS_MAX],
}

impl Frame {
    /// The first segment as a value. Newer peers append to it.
    pub fn read<T: Wire>(&self) -> Result<T, WireError> {
        ceph_wire::from_bytes(&self.segments[0])
    }
}

/// Appends a frame: its first segments, and the last one, in pieces. Empty segments at the end are not sent, the first one always is.
pub fn encode(tag: Tag, segments: [&[u8]; SEGMENTS_MAX - 1], data: &[Bytes], out: &mut Output) {
    let data_bytes: usize = data.iter().map(Bytes::len).sum();
    let [first, second, third] = segments.map(<[u8]>::len);
    let lengths = [first, second, third, data_bytes];
    let last = lengths.iter().rposition(|&length| length > 0).unwrap_or(0);
    let mut preamble = Writer::with_capacity(PREAMBLE_BYTES);
    tag.number().put(&mut preamble);
    (last as u8 + 1).put(&mut preamble);
    for (index, (length, alignment)) in lengths.into_iter().zip(ALIGNMENTS).enumerate() {
        let alignment = if index <= last { alignment } else { 0 };
        (length as u32, alignment).put(&mut preamble);
    }
    // No flags, nothing reserved.
    0u16.put(&mut preamble);
    out.bytes(preamble.written());
    crc32c(0, preamble.written()).put(out.writer());
    out.bytes(segments[0]);
    if !segments[0].is_empty() {
        crc32c(SEED, segments[0]).put(out.writer());
    }
    if last > 0 {
        segments[1..].iter().for_each(|segment| out.bytes(segment));
        data.iter().for_each(|piece| out.piece(piece));
        COMPLETE.put(out.writer());
        let [_, second, third] = segments.map(|segment| crc32c(SEED, segment));
        let fourth = data.iter().fold(SEED, |crc, piece| crc32c(crc, piece));
        for (index, checksum) in [second, third, fourth].into_iter().enumerate() {
            if index < last { checksum } else { 0 }.put(out.writer());
        }
    }
}

/// Puts frames together from bytes as they arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    arrived: BytesMut,
    /// Of the frame whose preamble has been read.
    preamble: Option<Preamble>,
}

#[derive(Clone, Copy, Debug)]
struct Preamble {
    tag: u8,
    /// How many were sent.
    segments: usize,
    lengths: [usize; SEGMENTS_MAX],
}

impl Decoder {
    /// Bytes that arrived and are not read yet.
    pub fn arrived_bytes(&self) -> usize {
        self.arrived.len()
    }

    /// More bytes have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.arrived.extend_from_slice(bytes);
    }

    /// Bytes that the frame lacks whose preamble has arrived; 0 when none has.
    pub fn lacking_bytes(&self) -> usize {
        self.preamble.map_or(0, |preamble| preamble.body_bytes().saturating_sub(self.arrived.len()))
    }

    /// Where more bytes are to arrive, behind those that have, with room for at least one. Of a long frame it has room for several times
    /// what has arrived of it, and not for what its preamble promises.
    pub fn room(&mut self) -> &mut BytesMut {
        if self.arrived.capacity() == self.arrived.len() {
            let justified = ROOM_BYTES_MIN.max(self.arrived.len() * ROOM_FACTOR);
            self.arrived.reserve(self.lacking_bytes().clamp(1, justified));
        }
        &mut self.arrived
    }

    /// The next bytes that are no frame: a banner. `None` when they have not arrived.
    pub(crate) fn raw(&mut self, count: usize) -> Option<Bytes> {
        (self.arrived.len() >= count).then(|| self.arrived.split_to(count).freeze())
    }

    /// The bytes that have arrived, before they are read.
    pub(crate) fn peek(&self) -> &[u8] {
        &self.arrived
    }

    /// The next frame; `None` when it has not arrived. `bytes_max` is the limit of its segments together. A frame whose
    /// sender gave it up half-way is skipped.
    pub fn next_frame(&mut self, bytes_max: usize) -> Result<Option<Frame>, Broken> {
        loop {
            let preamble = match self.preamble {
                Some(preamble) => preamble,
                None => {
                    let Some(bytes) = self.raw(PREAMBLE_BYTES) else { return Ok(None) };
                    *self.preamble.insert(Preamble::read(&bytes, bytes_max)?)
                }
            };
            let Some(body) = self.raw(preamble.body_bytes()) else { return Ok(None) };
            self.preamble = None;
            if let Some(frame) = preamble.frame(body)? {
                return Ok(Some(frame));
            }
        }
    }
}

impl Preamble {
    fn read(bytes: &[u8], bytes_max: usize) -> Result<Self, Broken> {
        let (covered, crc) = bytes.split_at(PREAMBLE_COVERED_BYTES);
        if crc != crc32c(0, covered).to_le_bytes() {
            return Err(Broken::Checksum("preamble"));
        }
        let mut reader = Reader::new(covered);
        let (tag, segments) = (u8::take(&mut reader)?, usize::from(u8::take(&mut reader)?));
        if !(1..=SEGMENTS_MAX).contains(&segments) {
            return Err(Broken::Frame("has 1 to 4 segments"));
        }
        let mut lengths = [0; SEGMENTS_MAX];
        for length in &mut lengths {
            *length = <(u32, u16)>::take(&mut reader)?.0 as usize;
        }
        if u8::take(&mut reader)? != 0 {
            return Err(Broken::Frame("is compressed, which was not agreed upon"));
        }
        let bytes = lengths.iter().sum();
        if bytes > bytes_max {
            return Err(Broken::TooLarge { bytes, max: bytes_max });
        }
        if lengths[segments..].iter().any(|&length| length != 0) {
            return Err(Broken::Frame("has a segment that it does not count"));
        }
        Ok(Self { tag, segments, lengths })
    }

    /// Bytes after the preamble.
    fn body_bytes(&self) -> usize {
        let first_crc = if self.lengths[0] == 0 { 0 } else { CRC_BYTES };
        let epilogue = if self.segments == 1 { 0 } else { EPILOGUE_BYTES };
        self.lengths.iter().sum::<usize>() + first_crc + epilogue
    }

    /// `None` for one that was given up.
    fn frame(&self, mut body: Bytes) -> Result<Option<Frame>, Broken> {
        let mut segments = [const { Bytes::new() }; SEGMENTS_MAX];
        segments[0] = body.split_to(self.lengths[0]);
        if !segments[0].is_empty() {
            check("segment", &segments[0], body.get_u32_le())?;
        }
        if self.segments == 1 {
            return Ok(Some(Frame { tag: self.tag, segments }));
        }
        for (segment, &length) in segments.iter_mut().zip(&self.lengths).skip(1) {
            *segment = body.split_to(length);
        }
        if body.get_u8() & 0x0f != COMPLETE {
            return Ok(None);
        }
        for segment in &segments[1..self.segments] {
            check("segment", segment, body.get_u32_le())?;
        }
        Ok(Some(Frame { tag: self.tag, segments }))
    }
}

fn check(what: &'static str, bytes: &[u8], crc: u32) -> Result<(), Broken> {
    if crc32c(SEED, bytes) == crc { Ok(()) } else { Err(Broken::Checksum(what)) }
}
