//! Frames: how the engine and a worker process talk over a stream socket.
//!
//! `u32 length of the rest | u8 type | u8 flags | u16 0 | u64 id | u32 length of the header | header, JSON | body`, all big
//! endian. Even ids are made by the engine, odd ones by the worker. A body longer than [`PIECE`] goes on in frames of type
//! [`DATA`] with the same id; all but the last have the flag [`MORE`].

use std::collections::HashMap;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

pub(super) const HELLO: u8 = 1;
pub(super) const WELCOME: u8 = 2;
pub(super) const LOAD: u8 = 3;
pub(super) const LOADED: u8 = 4;
pub(super) const INVOKE: u8 = 5;
pub(super) const RESULT: u8 = 6;
pub(super) const ERROR: u8 = 7;
pub(super) const CALL: u8 = 8;
pub(super) const REPLY: u8 = 9;
pub(super) const CANCEL: u8 = 10;
pub(super) const LOG: u8 = 11;
pub(super) const PING: u8 = 12;
pub(super) const PONG: u8 = 13;
pub(super) const DRAIN: u8 = 14;
pub(super) const BYE: u8 = 15;
pub(super) const DATA: u8 = 20;

/// The body goes on in the next frame of this id.
const MORE: u8 = 1;
/// The bytes of a body in one frame.
const PIECE: usize = 224 * 1024;
/// The longest frame that a worker may send.
const LONGEST: usize = 1024 * 1024;
/// The longest body that a worker may send in pieces.
const LONGEST_BODY: usize = 256 * 1024 * 1024;
/// The most bodies that a worker may have begun and not ended.
const MAX_PARTS: usize = 1024;
/// The bytes before the header.
const HEAD: usize = 20;

/// A whole message of a worker.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) id: u64,
    pub(super) header: Bytes,
    pub(super) body: Bytes,
}

/// What came is no frame: the worker cannot be trusted any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

/// Appends a message, in as many frames as it takes.
pub(super) fn write(out: &mut BytesMut, kind: u8, id: u64, header: &[u8], mut body: &[u8]) {
    let (mut kind, mut header) = (kind, header);
    loop {
        let (piece, rest) = body.split_at(body.len().min(PIECE));
        let length = HEAD - 4 + header.len() + piece.len();
        out.reserve(4 + length);
        out.put_u32(u32::try_from(length).unwrap_or(u32::MAX)); // a header is far shorter than that
        out.put_u8(kind);
        out.put_u8(if rest.is_empty() { 0 } else { MORE });
        out.put_u16(0);
        out.put_u64(id);
        out.put_u32(u32::try_from(header.len()).unwrap_or(u32::MAX));
        out.put_slice(header);
        out.put_slice(piece);
        if rest.is_empty() {
            return;
        }
        (kind, header, body) = (DATA, &[], rest);
    }
}

/// Puts messages together from what comes over the socket.
#[derive(Default)]
pub(super) struct Reader {
    /// What has come and is not used yet.
    pub(super) data: BytesMut,
    /// By id: what has begun and goes on.
    parts: HashMap<u64, (Message, BytesMut)>,
}

impl Reader {
    /// The next whole message, if it has come.
    ///
    /// # Errors
    /// If what came is no frame.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Broken> {
        loop {
            let mut head = &self.data[..];
            if head.len() < HEAD {
                return Ok(None);
            }
            let length = head.get_u32() as usize;
            let (kind, flags) = (head.get_u8(), head.get_u8());
            head.advance(2);
            let (id, header) = (head.get_u64(), head.get_u32() as usize);
            if length > LONGEST || length < HEAD - 4 + header {
                return Err(Broken("a frame of an impossible length"));
            }
            if self.data.len() < 4 + length {
                return Ok(None);
            }
            let mut frame = self.data.split_to(4 + length).freeze();
            frame.advance(HEAD);
            let header = frame.split_to(header);
            if kind != DATA && flags & MORE == 0 {
                return Ok(Some(Message { kind, id, header, body: frame }));
            }
            if let Some(whole) = self.part(kind, flags, id, header, &frame)? {
                return Ok(Some(whole));
            }
        }
    }

    fn part(
        &mut self,
        kind: u8,
        flags: u8,
        id: u64,
        header: Bytes,
        body: &Bytes,
    ) -> Result<Option<Message>, Broken> {
        if kind != DATA {
            if self.parts.len() >= MAX_PARTS {
                return Err(Broken("more messages begun than may be"));
            }
            let begun = Message { kind, id, header, body: Bytes::new() };
            self.parts.insert(id, (begun, BytesMut::from(&body[..])));
            return Ok(None);
        }
        let Some((_, whole)) = self.parts.get_mut(&id) else { return Ok(None) };
        if whole.len() + body.len() > LONGEST_BODY {
            return Err(Broken("a body that is too long"));
        }
        whole.extend_from_slice(body);
        if flags & MORE != 0 {
            return Ok(None);
        }
        let whole = self.parts.remove(&id);
        Ok(whole.map(|(message, body)| Message { body: body.freeze(), ..message }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_go_in_pieces_and_come_out_whole_however_they_are_cut() {
        let long: Vec<u8> = (0..PIECE * 3 + 17).map(|n| (n % 251) as u8).collect();
        let mut wire = BytesMut::new();
        write(&mut wire, INVOKE, 2, b"{\"a\":1}", &long);
        write(&mut wire, PING, 4, b"", b"");
        let mut reader = Reader::default();
        let mut found = Vec::new();
        for piece in wire.chunks(100_003) {
            reader.data.extend_from_slice(piece);
            while let Some(message) = reader.next().expect("frames") {
                found.push(message);
            }
        }
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].id, &found[0].header[..]), (INVOKE, 2, &b"{\"a\":1}"[..]));
        assert!(found[0].body == long);
        assert_eq!((found[1].kind, found[1].id), (PING, 4));
    }

    #[test]
    fn what_is_no_frame_is_told() {
        let mut reader = Reader::default();
        reader.data.extend_from_slice(&[0xff; 64]);
        assert!(reader.next().is_err());
        let mut reader = Reader::default();
        reader.data.extend_from_slice(&[0, 0, 0, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert!(reader.next().is_err(), "the header is longer than the frame");
    }
}
