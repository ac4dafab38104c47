"""Functions and constants that service code imports."""

import datetime as dt
import os
import re

from . import clock
from .plan import uncamel
from .simpleio import Input

_TRUE = frozenset(('true', 'yes', 'on', 'y', 't', '1'))
_FALSE = frozenset(('false', 'no', 'off', 'n', 'f', '0'))


class Bunch(Input):
    """A dict whose items are attributes as well."""


def bunchify(value):
    """The same with a Bunch for each dict in it."""
    if isinstance(value, dict):
        return Bunch((key, bunchify(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(bunchify(item) for item in value)
    return value


class _Constants(type):
    """A class of constants that can be walked."""

    def __iter__(cls):
        return iter([value for name, value in vars(cls).items() if not name.startswith('_') and not callable(value)])

    def items(cls):
        """Names and values."""
        return [(name, value) for name, value in vars(cls).items() if not name.startswith('_')]


class SCHEDULER:
    """Words of the scheduler."""

    class JOB_TYPE(metaclass=_Constants):
        """Types of jobs."""
        ONE_TIME = 'one_time'
        INTERVAL_BASED = 'interval_based'
        CRON_STYLE = 'cron_style'

    JOB_TYPES = JOB_TYPE
    InitialSleepTime = 0.1
    DefaultHost = '127.0.0.1'


class DATA_FORMAT(metaclass=_Constants):
    """Data formats."""
    JSON = 'json'
    XML = 'xml'
    DICT = 'dict'
    CSV = 'csv'
    FORM_DATA = 'form'


class CHANNEL(metaclass=_Constants):
    """Types of channels."""
    AMQP = 'amqp'
    HTTP_SOAP = 'http-soap'
    INVOKE = 'invoke'
    INVOKE_ASYNC = 'invoke-async'
    INVOKE_ASYNC_CALLBACK = 'invoke-async-callback'
    SCHEDULER = 'scheduler'
    SERVICE = 'service'
    STARTUP_SERVICE = 'startup-service'
    WEB_SOCKET = 'web-socket'
    ZMQ = 'zmq'


class URL_TYPE(metaclass=_Constants):
    """Kinds of HTTP definitions."""
    SOAP = 'soap'
    PLAIN_HTTP = 'plain_http'


class HTTP_METHODS(metaclass=_Constants):
    """Methods of HTTP."""
    DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT = 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'


class PUBSUB:
    """Words of publish and subscribe."""


ZATO_OK = 'ZATO_OK'
ZATO_ERROR = 'ZATO_ERROR'
ZATO_NONE = 'ZATO_NONE'
ZATO_NOT_GIVEN = 'ZATO_NOT_GIVEN'
ZATO_DEFAULT = 'ZATO_DEFAULT'
ZATO_SEC_USE_RBAC = 'ZATO_SEC_USE_RBAC'
NO_DEFAULT_VALUE = 'NO_DEFAULT_VALUE'
MISC_SEPARATOR = ':::'


def new_cid(*_, **__):
    """A new correlation id: 24 hexadecimal digits."""
    return os.urandom(12).hex()


def asbool(value):
    """True or false from a text such as yes, off, 1."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise ValueError(f'{value!r} is neither true nor false')
    return bool(value)


as_bool = asbool


def is_boolean(value):
    """Whether it is a boolean or a text for one."""
    return isinstance(value, bool) or str(value).lower() in _TRUE | _FALSE


def aslist(value, sep=None, flatten=True):
    """A list from lines or words of a text."""
    found = value if not isinstance(value, str) else [line.strip() for line in (value.split(sep) if sep else value.split())]
    return [item for item in found if item != '']


def fs_safe_name(value):
    """A text that can be the name of a file."""
    return re.sub(r'[\W.]+', '_', str(value)) if value else ''


def fs_safe_now(now=None):
    """The time in UTC, as it can stand in the name of a file."""
    return (now or utcnow()).isoformat().replace(':', '_').replace('.', '_')


def utcnow(*_):
    """The time in UTC, without an offset."""
    return dt.datetime.fromtimestamp(clock.present(), dt.timezone.utc).replace(tzinfo=None)


datetime_utcnow = utcnow


def utcnow_as_ms(*_):
    """Milliseconds since 1970."""
    return int(clock.present() * 1000)


def slugify(value):
    """A text of small letters, digits and dashes."""
    import unicodedata
    plain = unicodedata.normalize('NFKD', str(value)).encode('ascii', 'ignore').decode()
    return re.sub(r'[^a-z0-9]+', '-', plain.lower()).strip('-')


def uncamelify(value, separator='-'):
    """GetCustomer -> get-customer."""
    return uncamel(value).replace('-', separator)


def make_repr(value, *_, **__):
    """An object with its attributes as text."""
    return f'<{type(value).__name__} {vars(value)!r}>'


def pprint(value):
    """A value as text over several lines."""
    from pprint import pformat
    return pformat(value)


def generate_secret(*_, **__):
    """A random text nobody guesses."""
    import secrets
    return secrets.token_urlsafe(32)


generate_password = generate_secret


def multikeysort(items, columns):
    """Dicts sorted by several keys; a dash before a key turns its order round."""
    for column in reversed(list(columns)):
        items = sorted(items, key=lambda item: item[column.lstrip('-')], reverse=column.startswith('-'))
    return items


def grouper(n, iterable, fillvalue=None):
    """Groups of n."""
    from itertools import zip_longest
    return zip_longest(*[iter(iterable)] * n, fillvalue=fillvalue)


class dotted_getitem:
    """obj, 'a.b.c' -> obj['a']['b']['c']"""

    def __new__(cls, value, path):
        for part in path.split('.'):
            value = value[part]
        return value


def to_form(value):
    """The attributes of an object as a dict."""
    return {name: item for name, item in vars(value).items() if not name.startswith('_')}
