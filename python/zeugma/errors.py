"""What can go wrong: exceptions with the status that a caller gets."""

_CID = frozenset('0123456789abcdef')


def _is_cid(text):
    return isinstance(text, str) and len(text) in (24, 26, 32) and _CID.issuperset(text.lower())


class ZeugmaException(Exception):
    """The base of what the package raises. `kind` is the engine's word for it, `status` that of HTTP."""

    kind = 'internal'
    status = 500
    default = 'An error has occurred'

    def __init__(self, *args, cid=None, msg=None, message=None, details=None, retry_after=None, headers=None, **_):
        args = list(args)
        if args and cid is None and (len(args) > 1 or args[0] is None or _is_cid(args[0])):
            cid = args.pop(0)
        text = msg if msg is not None else message
        if text is None and args:
            text = args.pop(0)
        self.cid = cid
        self.message = self.msg = self.default if text is None else text if isinstance(text, str) else str(text)
        self.details = details or []
        self.retry_after = retry_after
        self.headers = headers or {}
        self.status_code = self.status
        self.reason = self.message
        super().__init__(self.message)


class ClientError(ZeugmaException):
    """The caller is at fault; the message is for the caller's eyes."""

    kind = 'invalid'
    status = 400


class BadRequest(ClientError):
    """400."""

    default = 'Bad request'


class Unauthorized(ClientError):
    """401. `challenge` is what WWW-Authenticate says."""

    kind = 'unauthenticated'
    status = 401
    default = 'You are not authorized to access this resource'

    def __init__(self, cid=None, msg=None, challenge=None, **kw):
        if msg is None and not _is_cid(cid):
            cid, msg = None, cid
        super().__init__(cid, msg, **kw)
        if challenge:
            self.headers = dict(self.headers, **{'WWW-Authenticate': challenge})


class Forbidden(ClientError):
    """403."""

    kind = 'forbidden'
    status = 403
    default = 'Forbidden'


class NotFound(ClientError):
    """404."""

    kind = 'not-found'
    status = 404
    default = 'Not found'


class MethodNotAllowed(ClientError):
    """405."""

    kind = 'method-not-allowed'
    status = 405
    default = 'Method not allowed'


class Conflict(ClientError):
    """409."""

    kind = 'conflict'
    status = 409
    default = 'Conflict'


class TooManyRequests(ClientError):
    """429."""

    kind = 'too-many'
    status = 429
    default = 'Too many requests'


class InternalServerError(ZeugmaException):
    """500."""


class UpstreamError(ZeugmaException):
    """502: the other side of a connection refused, or gave an answer that makes no sense."""

    kind = 'upstream'
    status = 502
    default = 'The other side failed'


class ServiceUnavailable(ZeugmaException):
    """503."""

    kind = 'unavailable'
    status = 503
    default = 'Service unavailable'


class Inactive(ServiceUnavailable):
    """503: what is asked for is switched off."""


class TimeoutException(ZeugmaException):
    """504: somebody did not answer in time."""

    kind = 'timeout'
    status = 504
    default = 'It took too long'


class HTTPException(ZeugmaException):
    """Any status: HTTPException(cid, msg, status)."""

    def __init__(self, cid=None, msg=None, status=500, **kw):
        super().__init__(cid, msg, **kw)
        self.status = self.status_code = status
        self.kind = BY_STATUS.get(status, InternalServerError if status >= 500 else ClientError).kind


class ValidationException(BadRequest):
    """400: an element is missing or wrong. `elements` are the paths."""

    def __init__(self, details):
        first = details[0]
        message = f"{first['at']}: {first['message']}" if first['at'] else first['message']
        super().__init__(None, message, details=details)
        self.elements = [detail['at'] for detail in details]


class OutputError(ZeugmaException):
    """500: a service answers something else than it declares. `details` tell where."""

    default = 'The output is not as it is declared'

    def __init__(self, details):
        text = '; '.join(f"{d['at'] or '/'}: {d['message']}" for d in details[:10])
        super().__init__(None, f'{self.default}: {text}', details=details)


class Cancelled(BaseException):
    """The engine no longer wants the answer. No `except Exception` stops it."""

    def __init__(self, reason='cancelled'):
        super().__init__(reason)
        self.reason = reason


_CLASSES = (BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, Conflict, TooManyRequests,
            InternalServerError, UpstreamError, ServiceUnavailable, TimeoutException)

#: The class for a status.
BY_STATUS = {cls.status: cls for cls in _CLASSES}

#: The class for a kind of the engine.
BY_KIND = {cls.kind: cls for cls in _CLASSES}


def of_reply(header):
    """The exception for an ERROR that answers a call."""
    kind = header.get('kind', 'internal')
    cls = BY_KIND.get(kind, InternalServerError)
    error = cls(None, header.get('message') or cls.default, details=header.get('details'))
    error.kind = kind
    if header.get('status'):
        error.status = error.status_code = header['status']
    if header.get('retry_after') is not None:
        error.retry_after = header['retry_after']
    error.from_engine = True
    return error
