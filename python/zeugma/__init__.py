"""Services for Zeugma in Python."""

VERSION = '1'

from .elements import (  # noqa: E402
    CSV, UTC, UUID, AsIs, Bool, Boolean, Date, DateTime, Decimal, Float, Int, Integer, Secret, Text, Unicode)
from .errors import (  # noqa: E402
    BadRequest, Cancelled, Conflict, Forbidden, HTTPException, InternalServerError, MethodNotAllowed, NotFound,
    ServiceUnavailable, TimeoutException, TooManyRequests, Unauthorized, UpstreamError, ValidationException,
    ZeugmaException)
from .locking import LockTimeout  # noqa: E402
from .model import Model  # noqa: E402
from .service import AdminService, Service  # noqa: E402
from .simpleio import SimpleIO  # noqa: E402
from .structures import Dict, DictList, List, ListOfDicts, Nested, Opaque  # noqa: E402

__all__ = [
    'AdminService', 'AsIs', 'BadRequest', 'Bool', 'Boolean', 'CSV', 'Cancelled', 'Conflict', 'Date', 'DateTime',
    'Decimal', 'Dict', 'DictList', 'Float', 'Forbidden', 'HTTPException', 'Int', 'Integer', 'InternalServerError',
    'List', 'ListOfDicts', 'LockTimeout', 'MethodNotAllowed', 'Model', 'Nested', 'NotFound', 'Opaque', 'Secret', 'Service',
    'ServiceUnavailable', 'SimpleIO', 'Text', 'TimeoutException', 'TooManyRequests', 'UTC', 'UUID', 'Unauthorized',
    'Unicode', 'UpstreamError', 'ValidationException', 'ZeugmaException',
]
