"""The engine's connections, as services call them. The engine does the work; a worker only asks."""

import json
import posixpath
import re

from .errors import NotFound, UpstreamError
from .exchange import Headers
from .lazy import lazy
from .simpleio import Input
from .wire import dump


def encode(data):
    """How data travels: (what the body is, the body)."""
    if data is None or (isinstance(data, str) and not data):
        return 'none', b''
    if isinstance(data, (bytes, bytearray, memoryview)):
        return 'bytes', bytes(data)
    if isinstance(data, str):
        return 'text', data.encode()
    return 'json', dump(data)


def decode(how, body):
    """The data from a body."""
    if how == 'json':
        return json.loads(body) if body else ''
    if how == 'text':
        return body.decode('utf-8', 'replace')
    return '' if how == 'none' else body


class Entries:
    """The connections of one kind, by name: ftp['my.ftp'] or ftp.get('my.ftp')."""

    def __init__(self, service, kind, make):
        self._service = service
        self._kind = kind
        self._make = make

    def __getitem__(self, name):
        return self._make(self._service, self._kind, name)

    def get(self, name, *_):
        """The connection of this name."""
        return self[name]

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return self[name]


class Connection:
    """A connection of any kind: each method called on it is asked of the engine."""

    def __init__(self, service, kind, name):
        self._service = service
        self._kind = kind
        self.name = name

    @property
    def conn(self):
        """The connection itself; either form works."""
        return self

    def client(self):
        """The connection itself; either form works."""
        return self

    def _ask(self, op, kw, body=b'', convert=None, args=()):
        return self._service._call(self._kind, self.name, op, kw, body, convert, args)

    def ping(self):
        """Asks whether the other side is there."""
        return self._ask('ping', {})

    def __getattr__(self, op):
        if op.startswith('_'):
            raise AttributeError(op)

        def ask(*args, **kw):
            return self._ask(op, kw, b'', None, args)

        return ask

    def __call__(self, *_, **__):
        raise AttributeError(f'{self._kind} has no {self.name!r}; connections go by their names: {self._kind}[name]')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


class Ftp(Connection):
    """Files on an FTP server."""

    def setcontents(self, path, data=b'', encoding=None, errors=None, chunk_size=None):
        """Writes a file; one that is there is replaced."""
        return self._put(path, data, False, encoding)

    def append(self, path, data, encoding=None):
        """Adds to the end of a file, which need not be there."""
        return self._put(path, data, True, encoding)

    def _put(self, path, data, append, encoding):
        if hasattr(data, 'read'):
            data = data.read()
        if isinstance(data, str):
            data = data.encode(encoding or 'utf-8')
        return self._ask('put', {'path': path, 'append': append}, bytes(data), _result)

    def getcontents(self, path, mode='rb', encoding=None, errors=None, newline=None):
        """Reads a file: bytes, or text if the mode has no b or an encoding is given."""
        if encoding is None and 'b' in mode:
            return self._ask('get', {'path': path}, b'', lambda _, body: body)
        return self._ask('get', {'path': path}, b'', lambda _, body: body.decode(encoding or 'utf-8'))

    def listdir(self, path='./', wildcard=None, full=False, absolute=False, dirs_only=False, files_only=False):
        """The names in a folder."""
        import fnmatch

        def convert(header, _):
            names = []
            for entry in header.get('result') or ():
                if (dirs_only and not entry['is_dir']) or (files_only and entry['is_dir']):
                    continue
                name = entry['name']
                if wildcard is None or (wildcard(name) if callable(wildcard) else fnmatch.fnmatch(name, wildcard)):
                    names.append(posixpath.join(path, name) if full or absolute else name)
            return names

        return self._ask('list', {'path': path}, b'', convert)

    def listdirinfo(self, path='./'):
        """Names and what is known of each: is_dir, size, modified."""
        return self._ask('list', {'path': path}, b'',
                         lambda h, _: [(entry['name'], entry) for entry in h.get('result') or ()])

    def _entry(self, path, of):
        folder, name = posixpath.split(path.rstrip('/'))
        if not name:
            return self._ask('list', {'path': path or '/'}, b'', lambda *_: of({'is_dir': True}))

        def convert(header, _):
            return of(next((e for e in header.get('result') or () if e['name'] == name), None))

        return self._service._link.recover(
            lambda: self._ask('list', {'path': folder or ('/' if path.startswith('/') else '.')}, b'', convert),
            NotFound, lambda: of(None))

    def exists(self, path):
        """Whether there is a file or a folder."""
        return self._entry(path, lambda entry: entry is not None)

    def isfile(self, path):
        """Whether there is a file."""
        return self._entry(path, lambda entry: entry is not None and not entry['is_dir'])

    def isdir(self, path):
        """Whether there is a folder."""
        return self._entry(path, lambda entry: entry is not None and entry['is_dir'])

    def getsize(self, path):
        """The size of a file in bytes."""
        return self._ask('size', {'path': path}, b'', _result)

    def remove(self, path):
        """Deletes a file."""
        return self._ask('delete', {'path': path})

    def makedir(self, path, recursive=False, allow_recreate=False):
        """Makes a folder; with `recursive`, those above it as well."""
        link = self._service._link
        if not (recursive or allow_recreate):
            return self._ask('make_dir', {'path': path})
        parts = path.rstrip('/').split('/')
        paths = ['/'.join(parts[:n + 1]) for n in range(len(parts))] if recursive else [path.rstrip('/')]
        steps = []
        for step in filter(None, paths):
            steps.append(lambda step=step: link.recover(
                lambda: self._ask('make_dir', {'path': step}), UpstreamError, lambda: None))
        # What was refused may be there already: the folder itself decides.
        steps.append(lambda: self._ask('list', {'path': path}, b'', lambda *_: None))
        return link.sequence(steps)

    def removedir(self, path, recursive=False, force=False):
        """Deletes an empty folder."""
        return self._ask('remove_dir', {'path': path})

    def rename(self, src, dst, overwrite=False):
        """Renames or moves a file or a folder."""
        return self._ask('rename', {'from': src, 'to': dst})

    move = rename


def _result(header, _):
    return header.get('result')


class HttpResponse:
    """The answer of an HTTP server."""

    def __init__(self, status, headers, body):
        self.status_code = self.status = status
        self.headers = Headers(headers or {})
        self.content = body

    @property
    def ok(self):
        """Whether the status is below 400."""
        return self.status_code < 400

    @lazy
    def text(self):
        """The body as text."""
        found = re.search(r'charset="?([\w-]+)', self.headers.get('content-type') or '')
        try:
            return self.content.decode(found.group(1) if found else 'utf-8', 'replace')
        except LookupError:
            return self.content.decode('utf-8', 'replace')

    @lazy
    def data(self):
        """The body parsed if it is JSON, else as text."""
        kind = (self.headers.get('content-type') or '').lower()
        if 'json' in kind or ('xml' not in kind and 'html' not in kind and self.content[:1] in (b'{', b'[')):
            try:
                found = json.loads(self.content)
            except ValueError:
                return self.text
            return Input(found) if isinstance(found, dict) else found
        return self.text

    def json(self):
        """The body parsed."""
        return json.loads(self.content)

    def raise_for_status(self):
        """UpstreamError if the status is 400 or above."""
        if not self.ok:
            raise UpstreamError(None, f'the answer has status {self.status_code}')

    def __repr__(self):
        return f'<HttpResponse {self.status_code}>'


class Http(Connection):
    """Requests to an HTTP server. The first argument is the cid."""

    def request(self, method, cid=None, data='', params=None, headers=None, path=None, timeout=None, **_):
        """Any method."""
        how, body = encode(data)
        said = {'method': method.upper(), 'payload': how, 'params': params or {}, 'headers': headers or {},
                'path': path, 'timeout': timeout}
        return self._ask('request', said, body,
                         lambda header, answer: HttpResponse(header.get('status', 200), header.get('headers'), answer))

    http_request = request

    def get(self, cid=None, data='', params=None, headers=None, **kw):
        """GET. A dict in the second place is the parameters."""
        return self._read('GET', cid, data, params, headers, kw)

    def head(self, cid=None, data='', params=None, headers=None, **kw):
        """HEAD. A dict in the second place is the parameters."""
        return self._read('HEAD', cid, data, params, headers, kw)

    def _read(self, method, cid, data, params, headers, kw):
        if isinstance(data, dict) and params is None:
            data, params = '', data
        return self.request(method, cid, data, params, headers, **kw)

    def delete(self, cid=None, data='', params=None, headers=None, **kw):
        """DELETE."""
        return self.request('DELETE', cid, data, params, headers, **kw)

    def options(self, cid=None, data='', params=None, headers=None, **kw):
        """OPTIONS."""
        return self.request('OPTIONS', cid, data, params, headers, **kw)

    def post(self, cid=None, data='', params=None, headers=None, **kw):
        """POST."""
        return self.request('POST', cid, data, params, headers, **kw)

    def put(self, cid=None, data='', params=None, headers=None, **kw):
        """PUT."""
        return self.request('PUT', cid, data, params, headers, **kw)

    def patch(self, cid=None, data='', params=None, headers=None, **kw):
        """PATCH."""
        return self.request('PATCH', cid, data, params, headers, **kw)

    send = post


class Vault(Connection):
    """Secrets of a Vault server: read(path), field(path, name), write(path, fields), delete(path), list(path). Paths begin with
    the mount point of an engine, such as secret/my-app."""

    @property
    def client(self):
        """The same in the words of the client library for Vault that older services use."""
        return VaultClient(self)


class VaultClient:
    """Reads and writes secrets: what is found is in `data`, and None is what is not there."""

    def __init__(self, vault):
        self._vault = vault

    def _found(self, op, path, key):
        vault = self._vault
        return vault._service._link.recover(
            lambda: vault._ask(op, {'path': path}, b'', lambda h, _: {'data': key(h.get('result'))}), NotFound, lambda: None)

    def read(self, path):
        """The fields of a secret."""
        return self._found('read', path, lambda fields: fields)

    def list(self, path):
        """The names below a path."""
        return self._found('list', path, lambda names: {'keys': names})

    def write(self, path, wrap_ttl=None, **fields):
        """Writes a secret with these fields."""
        return self._vault._ask('write', {'path': path, 'data': fields})

    def delete(self, path):
        """Deletes a secret."""
        return self._vault._ask('delete', {'path': path})

    def is_authenticated(self):
        """Whether the server is there and unsealed. The token is the connection's."""
        return self._vault._ask('ping', {}, b'', lambda *_: True)


#: Names of kinds that service code uses, and what the engine calls them.
KINDS = {'plain_http': 'http', 'rest': 'http', 'http': 'http', 'ftp': 'ftp', 'jms_wmq': 'ibm_mq', 'wmq': 'ibm_mq'}

_CLIENTS = {'ftp': Ftp, 'http': Http, 'vault': Vault}


class Outgoing:
    """The connections of the engine, by kind."""

    def __init__(self, service):
        self._service = service

    def __getattr__(self, attribute):
        if attribute.startswith('_'):
            raise AttributeError(attribute)
        kind = KINDS.get(attribute, attribute)
        found = self.__dict__[attribute] = Entries(self._service, kind, _CLIENTS.get(kind, Connection))
        return found
