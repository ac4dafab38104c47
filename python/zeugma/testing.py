"""Runs services in plain tests, with nothing but this package: connections are stand-ins and calls are kept.

    from zeugma.testing import Engine

    def test_billing():
        engine = Engine(now='2026-02-21T10:00:00')
        engine.ftp['Billings'].files['/in/1.xml'] = b'<bill/>'
        engine.http['ERP'] = {'accepted': True}
        answer = engine.run(BillingHandler)
        assert engine.calls_of('http', 'ERP')[0].body == b'<bill/>'
"""

import asyncio
import datetime as dt
import itertools
import posixpath

from . import clock, wire
from .elements import parse_time
from .errors import NotFound, UpstreamError
from .links import AwaitingLink, BlockingLink, opened
from .outgoing import decode, encode
from .plan import Plan, service_name
from .running import Invocation, run, run_async
from .service import Service


class Call:
    """One thing a service asked of the engine."""

    def __init__(self, kind, name, op, args, kw, body):
        self.kind, self.name, self.op, self.args, self.kw, self.body = kind, name, op, args, kw, body

    @property
    def data(self):
        """The body as it was passed: parsed if it was a dict or a list."""
        return decode(self.kw.get('payload', 'bytes'), self.body)

    def __repr__(self):
        return f'<Call {self.kind} {self.name} {self.op} {self.kw}>'


class Answer:
    """What a service answered."""

    def __init__(self, status, data, headers, content_type):
        self.status = self.status_code = status
        self.data = data
        self.headers = headers
        self.content_type = content_type

    def __repr__(self):
        return f'<Answer {self.status} {self.data!r}>'


class Files:
    """An FTP server in memory: `files` are bytes by path, `folders` are paths."""

    def __init__(self):
        self.files = {}
        self.folders = {'/'}

    @staticmethod
    def _path(path):
        return posixpath.normpath('/' + path).replace('//', '/')

    def answer(self, call):
        """What the engine would say."""
        path = self._path(call.kw.get('path') or call.kw.get('from') or '/')
        return getattr(self, '_' + call.op)(path, call)

    def _put(self, path, call):
        before = self.files.get(path, b'') if call.kw.get('append') else b''
        self.files[path] = before + call.body
        return {'result': len(call.body)}, b''

    def _there(self, path):
        if path not in self.files:
            raise NotFound(None, f'there is no file {path}')
        return self.files[path]

    def _get(self, path, _):
        return {}, self._there(path)

    def _size(self, path, _):
        return {'result': len(self._there(path))}, b''

    def _delete(self, path, _):
        self._there(path)
        del self.files[path]
        return {}, b''

    def _list(self, path, _):
        prefix = path.rstrip('/') + '/'
        entries = {}
        for name, data in self.files.items():
            if name.startswith(prefix):
                first, _, deeper = name[len(prefix):].partition('/')
                entries[first] = {'name': first, 'is_dir': bool(deeper), 'size': 0 if deeper else len(data), 'modified': None}
        for folder in self.folders:
            if folder.startswith(prefix) and folder != prefix:
                first = folder[len(prefix):].partition('/')[0]
                entries.setdefault(first, {'name': first, 'is_dir': True, 'size': 0, 'modified': None})
        if not entries and path not in self.folders:
            raise NotFound(None, f'there is no folder {path}')
        return {'result': [entries[name] for name in sorted(entries)]}, b''

    def _make_dir(self, path, _):
        if path in self.folders:
            raise UpstreamError(None, f'{path} is there already')
        self.folders.add(path)
        return {}, b''

    def _remove_dir(self, path, _):
        self.folders.discard(path)
        return {}, b''

    def _rename(self, path, call):
        to = self._path(call.kw['to'])
        self.files[to] = self._there(path)
        del self.files[path]
        return {}, b''

    def _ping(self, *_):
        return {}, b''


class Caches(dict):
    """The caches: dicts by name."""

    def answer(self, call):
        """What the engine would say."""
        held, kw = self.setdefault(call.name, {}), call.kw
        if call.op == 'get':
            found = kw['key'] in held
            return {'found': found}, held.get(kw['key'], b'')
        if call.op == 'set':
            held[kw['key']] = call.body
            return {}, b''
        if call.op == 'keys':
            return {'result': sorted(held)}, b''
        if call.op == 'values':
            return {'result': [[key, held[key].decode()] for key in kw['keys'] if key in held]}, b''
        keys = [key for key in kw['keys'] if key in held]
        if call.op == 'delete':
            for key in keys:
                del held[key]
        return {'result': len(keys)}, b''


class _FtpServers(dict):
    def __missing__(self, name):
        self[name] = Files()
        return self[name]


class _Blocking(BlockingLink):
    def call(self, invocation, kind, name, op, args, kw, body, convert):
        return self.worker.answer(Call(kind, name, op, args, kw, body), convert)


class _Awaiting(AwaitingLink):
    async def call(self, invocation, kind, name, op, args, kw, body, convert):
        await asyncio.sleep(0)
        return self.worker.answer(Call(kind, name, op, args, kw, body), convert)


class Engine:
    """Stands in for the engine.

    `ftp`, `http`, `services` and `others[kind]` hold, by name, what answers: data, an exception to be raised, or a
    function that is given the Call (a function for a service is given the payload). `calls` is what was asked. What is to
    be done in the background is done at once. `locked` has the names of locks that somebody else holds."""

    def __init__(self, now=None):
        self.now = now
        self.calls = []
        self.ftp = _FtpServers()
        self.http = {}
        self.services = {}
        self.caches = Caches()
        self.others = {}
        self.locked = set()
        self.cids = itertools.count(1)
        self.fences = itertools.count(1)

    def calls_of(self, kind, name=None, op=None):
        """What was asked of this kind, of this name, in this way."""
        return [call for call in self.calls
                if call.kind == kind and name in (None, call.name) and op in (None, call.op)]

    def run(self, cls, payload=None, *, method=None, path='/', params=None, query=None, headers=None, input=None,
            data_format='json', channel=None, security=None, job=None, module=''):
        """Runs a service class and returns its Answer. What the service raises, this raises."""
        plan = Plan(cls, Service, service_name(cls, module))
        cls.name = plan.name
        how, body = encode(payload)
        how = {'bytes': 'raw'}.get(how, how)
        header = {'cid': f'{next(self.cids):024x}', 'service': plan.name, 'payload': how, 'job': job,
                  'channel': dict({'name': 'test', 'type': 'scheduler' if job else 'rest', 'data_format': data_format,
                                   'security': security}, **(channel or {}))}
        if input is not None:
            header['input'] = input
        if method or params or query or headers:
            header['http'] = {'method': method or 'GET', 'path': path, 'params': params or {}, 'query': query or {},
                              'headers': headers or {}, 'peer': '127.0.0.1'}
        invocation = Invocation(2, header, body, plan)
        invocation.errors = []
        with _At(self.now):
            frames = (asyncio.run(run_async(invocation, _Awaiting(self))) if plan.is_async
                      else run(invocation, _Blocking(self)))
        if invocation.errors:
            raise invocation.errors[0]
        return self._read(frames)

    @staticmethod
    def _read(frames):
        reader = wire.Reader(None)
        reader.data = b''.join(bytes(frame) for frame in frames)
        _, _, header, body = reader.next()
        said = wire.load(header)
        return Answer(said.get('status', 200), decode(said['payload'], body), said.get('headers', {}),
                      said.get('content_type'))

    def answer(self, call, convert):
        """What a service gets for a call."""
        self.calls.append(call)
        header, body = self._answer(call)
        return opened(wire.REPLY, wire.dump(header), body, convert)

    def _answer(self, call):
        if call.kind == 'ftp':
            return self.ftp[call.name].answer(call)
        if call.kind == 'cache':
            return self.caches.answer(call)
        if call.kind == 'http':
            return self._http(call)
        if call.kind == 'service':
            return self._service(call)
        if call.kind == 'lock':
            return self._lock(call)
        found = self._found(self.others.get(call.kind, {}), call, call)
        return {'result': found}, b''

    @staticmethod
    def _found(entries, call, argument):
        if call.name not in entries:
            raise NotFound(None, f'no {call.kind} {call.name!r} was given to the test')
        found = entries[call.name]
        if isinstance(found, BaseException) or isinstance(found, type) and issubclass(found, BaseException):
            raise found
        return found(argument) if callable(found) else found

    def _http(self, call):
        found = self._found(self.http, call, call)
        status, headers = 200, {}
        if isinstance(found, tuple):
            status, found, *rest = found
            headers = rest[0] if rest else {}
        how, body = encode(found)
        if how == 'json':
            headers = dict({'Content-Type': 'application/json'}, **headers)
        return {'status': status, 'headers': headers}, body

    def _service(self, call):
        if call.op == 'unknown':
            return {'result': [name for name in call.kw['names'] if name not in self.services]}, b''
        if call.op != 'invoke':
            return {'result': self._background(call)}, b''
        how, body = encode(self._called(call.name, call))
        return {'payload': how}, body

    def _called(self, name, call, data=None):
        found = self.services.get(name)
        data = call.data if data is None else data
        if isinstance(found, type) and issubclass(found, Service):
            return self.run(found, data).data
        return self._found(self.services, Call('service', name, call.op, call.args, call.kw, call.body), data)

    def _background(self, call):
        """Does at once what the engine does in the background; what is raised is in the outcomes, or raised here if nobody
        hears of it."""
        kw, cid, outcomes, rest = call.kw, call.kw.get('cid') or f'{next(self.cids):024x}', {}, call.body
        targets = kw.get('targets') or [[call.name, kw.get('payload', 'bytes'), len(rest)]]
        for target, how, length in targets:
            data, rest = decode(how, rest[:length]), rest[length:]
            outcome = outcomes[target] = {'cid': cid, 'ok': True, 'response': None, 'exception': None, 'target': target}
            try:
                outcome['response'] = self._called(target, call, data)
            except Exception as error:
                if call.op == 'invoke_async':
                    raise
                outcome.update(ok=False, exception=str(error))
            if call.op == 'invoke_async':
                told = [(name, outcome['response']) for name in kw.get('callback') or ()]
            else:
                if call.op == 'retry':
                    outcome['context'] = kw.get('context')
                told = [(name, outcome) for name in kw.get('on_target') or kw.get('callback') or ()]
            for name, what in told:
                self._called(name, call, what)
        for name in kw.get('on_final') or ():
            self._called(name, call, {'cid': cid, 'data': outcomes})
        return cid

    def _lock(self, call):
        if call.op == 'give':
            return {'result': True}, b''
        return {'result': None if call.name in self.locked else next(self.fences)}, b''


class _At:
    """The time stands still here."""

    def __init__(self, now):
        if isinstance(now, str):
            now = parse_time(now)
        if isinstance(now, dt.datetime):
            now = (now if now.tzinfo else now.replace(tzinfo=dt.timezone.utc)).timestamp()
        self.now = now

    def __enter__(self):
        self.before = clock.present
        if self.now is not None:
            clock.present = lambda: self.now

    def __exit__(self, *_):
        clock.present = self.before


__all__ = ['Answer', 'Call', 'Engine', 'Files']
