"""One invocation: from what came in, through the hooks and the handler, to the frames that answer it."""

import os
import traceback

from . import wire
from .errors import BadRequest, Cancelled, OutputError, ZeugmaException
from .exchange import Payload
from .outgoing import encode
from .plan import AFTER, BEFORE
from .service import current

_JSON = b'{"payload":"json"}'
_TEXT = b'{"payload":"text"}'
_NONE = b'{"payload":"none"}'
_BYTES = b'{"payload":"bytes"}'
_HOW = {'json': _JSON, 'text': _TEXT, 'none': _NONE, 'bytes': _BYTES}

#: Where this package is: its frames are of no interest to the author of a service.
_HERE = os.path.dirname(__file__)

#: Hooks whose exceptions stop the invocation; those of the others are logged.
_STRICT = ('validate_input', 'validate_output')


class Invocation:
    """One request for one service."""

    __slots__ = ('number', 'header', 'body', 'plan', 'cid', 'runner', 'task', 'done', 'cancelled',
                 'shield', 'struck', 'errors')

    def __init__(self, number, header, body, plan):
        self.number = number
        self.header = header
        self.body = body
        self.plan = plan
        self.cid = header.get('cid', '')
        self.runner = None
        self.task = None
        self.done = False
        self.cancelled = None
        self.shield = 0
        self.struck = False
        self.errors = None

    def said(self, name):
        """What the engine says of a part that few services look at: http, channel, job, environ."""
        header = self.header
        rest = header.get(wire.REST)
        if rest is not None:
            header.update(wire.load_text(rest))
            header.pop(wire.REST, None)
        return header.get(name)


def _hooks(plan, invocation, names, when):
    job = invocation.said('job')
    out = [name for name in names if name in plan.hooks]
    if job:
        kind = job.get('job_type') or job.get('type') or ''
        kind = {'interval': 'interval_based', 'cron': 'cron_style', 'one-time': 'one_time'}.get(kind, kind)
        jobs = [name for name in (f'{when}_job', f'{when}_{kind}_job') if name in plan.hooks]
        out = jobs + out if when == 'before' else out[:-1] + jobs + out[-1:] if 'finalize_handle' in out else out + jobs
    return out


def _log_hook(service, name):
    service.logger.exception('%s of %s failed', name, service.name)


def _steps(service, plan, invocation):
    """The calls of one invocation, in order: (what to call, whether its exceptions count, its name)."""
    if 'accept' in plan.hooks:
        yield service.accept, True, 'accept'
    for name in _hooks(plan, invocation, BEFORE, 'before'):
        yield getattr(service, name), name in _STRICT, name
    yield getattr(service, plan.method(invocation)), True, 'handle'
    for name in _hooks(plan, invocation, AFTER, 'after'):
        yield getattr(service, name), name in _STRICT, name


def make(plan, invocation, link):
    """The object that serves the invocation."""
    service = plan.cls()
    service._begin(invocation, link)
    service._plan = plan
    if plan.takes_input:
        service.request.input
    return service


def run(invocation, link):
    """Runs a service and returns the frames of its answer. Never raises, but for what ends the process."""
    plan = invocation.plan
    token = current.set(invocation)
    try:
        service = make(plan, invocation, link)
        if plan.simple:
            service.handle()
        else:
            for call, strict, name in _steps(service, plan, invocation):
                try:
                    found = call()
                except Exception:
                    if strict:
                        raise
                    _log_hook(service, name)
                else:
                    _accepted(name, found, invocation)
        frames = answer(invocation, service.response)
    except BaseException as error:
        frames = failed(invocation, error)
    try:
        current.reset(token)
    except ValueError:
        pass
    return frames


async def run_async(invocation, link):
    """As `run`, for services whose handler is a coroutine."""
    plan = invocation.plan
    current.set(invocation)
    try:
        service = make(plan, invocation, link)
        if plan.simple:
            await service.handle()
        else:
            for call, strict, name in _steps(service, plan, invocation):
                try:
                    found = call()
                    if hasattr(found, '__await__'):
                        found = await found
                except Exception:
                    if strict:
                        raise
                    _log_hook(service, name)
                else:
                    _accepted(name, found, invocation)
        return answer(invocation, service.response)
    except BaseException as error:
        return failed(invocation, error)


def _accepted(name, found, invocation):
    if name == 'accept' and not found:
        raise BadRequest(invocation.cid, 'the request was not accepted')


def answer(invocation, response):
    """The frames of a result."""
    payload = response.payload
    shape = invocation.plan.output
    if type(payload) is Payload:
        value = payload.__dict__ if payload._rows is None else payload._rows
        if value or payload._rows is not None:
            how, body = _JSON, wire.dump(shape.write(value) if shape is not None else value)
        else:
            how, body = _NONE, b''
    elif shape is None or payload is None or isinstance(payload, (str, bytes, bytearray)):
        kind, body = encode(payload)
        how = _HOW[kind]
    else:
        how, body = _JSON, wire.dump(shape.write(payload))
    if len(response.__dict__) > 1:
        how = _said(how, response)
    return wire.frames(wire.RESULT, invocation.number, how, body)


def _said(how, response):
    header = wire.load(how)
    if response.status_code != 200:
        header['status'] = int(response.status_code)
    if response.content_type:
        header['content_type'] = response.content_type
    said = response.headers
    if response.content_encoding:
        said = dict(said, **{'Content-Encoding': response.content_encoding})
    if said:
        header['headers'] = {str(k): [str(i) for i in v] if isinstance(v, (list, tuple)) else str(v)
                             for k, v in said.items()}
    return wire.dump(header)


def failed(invocation, error):
    """The frames of an error."""
    if invocation.errors is not None:
        invocation.errors.append(error)
    if isinstance(error, Cancelled) or invocation.cancelled:
        reason = invocation.cancelled or error.reason
        kind = 'timeout' if 'deadline' in reason or 'time' in reason else 'cancelled'
        header = {'kind': kind, 'status': 504, 'message': 'the service was stopped: ' + reason}
    elif isinstance(error, ZeugmaException):
        header = {'kind': error.kind, 'status': error.status, 'message': error.message}
        if error.details:
            header['details'] = error.details
        if error.retry_after is not None:
            header['retry_after'] = error.retry_after
        if error.headers:
            header['headers'] = {str(k): str(v) for k, v in error.headers.items()}
        if error.status >= 500 and not isinstance(error, OutputError):
            header['traceback'] = _trace(error)
    else:
        header = {'kind': 'internal', 'status': 500, 'message': _text(error), 'traceback': _trace(error)}
    try:
        data = wire.dump(header)
    except (TypeError, ValueError, RecursionError):
        data = wire.dump({'kind': 'internal', 'status': 500, 'message': _text(error)})
    if len(data) > wire.PIECE:
        header = {key: value for key, value in header.items() if key in ('kind', 'status')}
        data = wire.dump(dict(header, message=_text(error)[:4000]))
    return [wire.frame(wire.ERROR, invocation.number, data)]


def _text(error):
    try:
        return f'{type(error).__name__}: {error}'
    except Exception:
        return type(error).__name__


def _trace(error):
    try:
        trace = error.__traceback__
        while trace and trace.tb_next and os.path.dirname(trace.tb_frame.f_code.co_filename) == _HERE:
            trace = trace.tb_next
        lines = traceback.format_exception(type(error), error, trace)
    except Exception:
        return _text(error)
    text = ''.join(lines)
    return text if len(text) <= 32768 else text[:16384] + '\n...\n' + text[-16384:]
