"""Frames: how the engine and a worker talk over a stream socket."""

import json
import struct
from collections import deque
from dataclasses import asdict, is_dataclass
from enum import Enum
from json import JSONDecoder, JSONEncoder
from json.scanner import make_scanner
from threading import Lock

PROTOCOL = 1

HELLO, WELCOME, LOAD, LOADED, INVOKE, RESULT, ERROR, CALL, REPLY, CANCEL = range(1, 11)
LOG, PING, PONG, DRAIN, BYE, STATS = range(11, 17)
DATA = 20

#: Flag: the body goes on in DATA frames of the same id.
MORE = 1

#: The most bytes of body in one frame, so that the frame stays under 256 KiB with its header.
PIECE = 224 * 1024

#: The most bytes in one frame; more is a protocol error.
LONGEST = 1024 * 1024

_HEAD = struct.Struct('>IBBHQI')
_HEAD_SIZE = _HEAD.size
_pack = _HEAD.pack
_unpack = _HEAD.unpack_from

_scan = make_scanner(JSONDecoder())


class ProtocolError(Exception):
    """What came is no frame."""


def plain(value):
    """What JSON does not know: times, decimals, sets, models and objects that say how they look."""
    to_dict = getattr(value, 'to_dict', None)
    if to_dict is not None:
        return to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Enum):
        return value.value
    isoformat = getattr(value, 'isoformat', None)
    if isoformat is not None:
        return isoformat()
    if isinstance(value, (bytes, bytearray)):
        return value.decode('utf-8')
    if isinstance(value, (set, frozenset, tuple)) or hasattr(value, '__next__'):
        return list(value)
    if type(value).__module__ in ('decimal', 'uuid'):
        return str(value)
    raise TypeError(f'{type(value).__name__} has no form in JSON')


_encoder = JSONEncoder(ensure_ascii=False, separators=(',', ':'), allow_nan=False, default=plain)


def _fast_encoder():
    """The encoder made once instead of at each call, where the interpreter has it in C."""
    make = getattr(json.encoder, 'c_make_encoder', None)
    if make is None:
        return _encoder.encode
    text = json.encoder.encode_basestring
    encode = make(None, plain, text, None, ':', ',', False, False, False)
    join = ''.join

    def dump(value):
        return join(encode(value, 0))

    return dump


dump_text = _fast_encoder()


def dump(value):
    """JSON as bytes."""
    return dump_text(value).encode()


def load(data):
    """JSON of a header, which this side may trust to be well-formed."""
    return _scan(data.decode(), 0)[0]


#: Where `load_head` leaves the part that it does not read.
REST = ''


def load_head(data):
    """The header of an INVOKE: an object, and perhaps, after a line feed, another with what few services look at."""
    text = data.decode()
    found, end = _scan(text, 0)
    if end < len(text):
        found[REST] = text[end + 1:]
    return found


def load_text(text):
    """JSON of a header as text."""
    return _scan(text, 0)[0]


def frame(kind, number, header=b'', body=b'', flags=0):
    """One frame; the header is bytes of JSON."""
    return _pack(16 + len(header) + len(body), kind, flags, 0, number, len(header)) + header + body


def frames(kind, number, header, body):
    """One frame, or several if the body is long."""
    if len(body) <= PIECE:
        return [frame(kind, number, header, body)]
    view = memoryview(body)
    out = [frame(kind, number, header, view[:PIECE], MORE)]
    for at in range(PIECE, len(body), PIECE):
        piece = view[at:at + PIECE]
        out.append(frame(DATA, number, b'', piece, MORE if at + PIECE < len(body) else 0))
    return out


class Reader:
    """Cuts what comes over a socket into messages. One thread at a time uses it."""

    __slots__ = ('sock', 'data', 'at', 'parts')

    def __init__(self, sock):
        self.sock = sock
        self.data = b''
        self.at = 0
        self.parts = {}

    def next(self):
        """The next whole message (kind, id, header bytes, body) of what is already here, or None."""
        while True:
            data, at = self.data, self.at
            left = len(data) - at
            if left < _HEAD_SIZE:
                return None
            length, kind, flags, _, number, header_length = _unpack(data, at)
            if length > LONGEST or header_length + 16 > length:
                raise ProtocolError(f'a frame of {length} bytes with a header of {header_length}')
            end = at + 4 + length
            if end > len(data):
                return None
            self.at = end
            middle = at + _HEAD_SIZE + header_length
            if not flags and kind != DATA:
                return kind, number, data[at + _HEAD_SIZE:middle], data[middle:end]
            whole = self._assemble(kind, flags, number, data[at + _HEAD_SIZE:middle], data[middle:end])
            if whole is not None:
                return whole

    def _assemble(self, kind, flags, number, header, body):
        if kind != DATA:
            self.parts[number] = (kind, header, [body])
            if flags & MORE:
                return None
        else:
            part = self.parts.get(number)
            if part is None:
                return None
            part[2].append(body)
        if flags & MORE:
            return None
        kind, header, pieces = self.parts.pop(number)
        return kind, number, header, b''.join(pieces)

    def fill(self, flags=0):
        """Waits for more bytes; False if the other side is gone."""
        more = self.sock.recv(262144, flags)
        if not more:
            return False
        if self.at == len(self.data):
            self.data = more
        else:
            self.data = self.data[self.at:] + more
        self.at = 0
        return True


class Writer:
    """Sends frames from any thread; those that come while one is sent go out together."""

    def __init__(self, sock):
        self.sock = sock
        self.queue = deque()
        self.put = self.queue.append
        self.lock = Lock()

    def send(self, data):
        """Sends one frame now."""
        self.queue.append(data)
        self.flush()

    def send_all(self, frames_):
        """Sends several frames in this order."""
        self.queue.extend(frames_)
        self.flush()

    def flush(self):
        """Sends what is queued, unless another thread is just doing that: it then sends ours as well."""
        queue, lock = self.queue, self.lock
        while queue and lock.acquire(False):
            try:
                while queue:
                    chunk, size = [], 0
                    try:
                        while size < 262144:
                            piece = queue.popleft()
                            size += len(piece)
                            chunk.append(piece)
                    except IndexError:
                        pass
                    self.sock.sendall(chunk[0] if len(chunk) == 1 else b''.join(chunk))
            finally:
                lock.release()
