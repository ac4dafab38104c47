"""What the author of a service sees."""

import contextvars
import logging

from .exchange import Request, Response
from .lazy import lazy
from .caching import Cache
from .locking import Lock
from .outgoing import Outgoing, decode, encode
from .patterns import Patterns, name_of, names_of
from .simpleio import Input
from . import clock

#: The invocation that runs here, for logs.
current = contextvars.ContextVar('zeugma_invocation', default=None)

_INSTEAD = {
    'kvdb': 'self.cache', 'odb': 'a connection of the engine under self.outgoing',
    'pubsub': 'self.invoke_async or self.patterns.fanout', 'sso': 'a security definition of the channel',
    'wsx': 'self.outgoing', 'cloud': 'self.outgoing', 'search': 'self.outgoing', 'email': 'self.outgoing',
    'user_config': 'the environment or a file of the package', 'static_config': 'a file of the package',
    'crypto': 'the modules hashlib, hmac and secrets', 'msg': 'plain Python on self.request.payload',
    'servers': 'self.invoke', 'wsgi_environ': 'self.request.http', 'definition': 'self.outgoing',
    'im': 'self.outgoing', 'sms': 'self.outgoing', 'cassandra_conn': 'self.outgoing', 'cassandra_query': 'self.outgoing',
    'audit_pii': 'self.logger', 'translate': 'self.cache', 'usage': 'the metrics of the node',
    'processing_time': 'the metrics of the node', 'schema': 'the declared input', 'vault': 'self.outgoing.vault',
}


class Security:
    """Who calls: the security definition that let the caller in."""

    def __init__(self, data):
        data = data or {}
        self.id = data.get('id')
        self.name = data.get('name')
        self.type = data.get('type')
        self.username = data.get('username')
        self.roles = tuple(data.get('roles') or ())

    def has(self, role):
        """Whether the caller has a role or a policy."""
        return role in self.roles

    def __bool__(self):
        return self.name is not None


class Channel:
    """The channel the request came through."""

    def __init__(self, data):
        self.id = data.get('id')
        self.name = data.get('name')
        self.type = data.get('type')
        self.data_format = data.get('data_format')
        self.is_internal = bool(data.get('is_internal'))
        self.security = self.sec = Security(data.get('security'))


class Job:
    """The job of a scheduler that started this invocation."""

    def __init__(self, data):
        self.__dict__.update(data)

    def __getattr__(self, name):
        return None


class Server:
    """The node, as services know it."""

    name = ''
    cluster = ''
    cluster_id = 1
    cluster_name = ''


class Service:
    """The base of services. One object serves one request; its methods `handle` or `handle_GET`, ... do the work."""

    name = None
    namespace = ''
    invokes = ()
    server = Server
    _inv = None
    _link = None
    _plan = None

    @classmethod
    def get_name(cls):
        """The name of the service."""
        return cls.name

    def _begin(self, invocation, link):
        self._inv = invocation
        self._link = link
        self.cid = invocation.cid
        self.request = Request(invocation)
        self.response = Response(invocation.plan.output)

    def _call(self, kind, name, op, kw, body=b'', convert=None, args=()):
        return self._link.call(self._inv, kind, name, op, args, kw, body, convert)

    def handle(self):
        """Does the work."""
        raise NotImplementedError(f'{type(self).__name__} has no method handle')

    # What a service may call

    def invoke(self, service, payload='', channel='invoke', data_format='dict', transport=None, serialize=False,
               as_bunch=False, timeout=None, raise_timeout=True, skip_response_elem=True, **kw):
        """Calls another service, anywhere in the cluster, and returns its answer."""
        if payload == '' and kw:
            payload = kw
        how, body = encode(payload)
        if data_format == 'dict':
            data_format = 'json' if how == 'json' else None

        def convert(header, answer):
            found = decode(header.get('payload', 'json'), answer)
            return Input(found) if as_bunch and isinstance(found, dict) else found

        said = {'payload': how, 'channel': channel, 'data_format': data_format, 'timeout': timeout}
        return self._call('service', name_of(service), 'invoke', said, body, convert)

    def invoke_async(self, service, payload='', channel='invoke-async', data_format='dict', expiration=15,
                     to_json_string=False, cid=None, callback=None, zato_ctx=None, environ=None, delay=None, **_):
        """Has another service called in the background, after `delay` seconds, and returns the cid of that call at once.
        The services in `callback` are called with its answer; if none is named, the one called like this service with
        `-async-callback` behind, if there is one."""
        how, body = encode(payload)
        said = {'payload': how, 'channel': channel, 'data_format': None if data_format == 'dict' else data_format,
                'expiration': expiration, 'cid': cid, 'delay': delay, 'environ': environ,
                'callback': None if callback is None else names_of(callback)}
        return self._call('service', name_of(service), 'invoke_async', said, body, lambda h, _: h.get('result'))

    def invoke_by_impl_name(self, name, *args, **kw):
        """As `invoke`."""
        return self.invoke(name, *args, **kw)

    invoke_by_id = invoke_by_impl_name

    @property
    def outgoing(self):
        """The connections of the engine, by kind and name: self.outgoing.ftp['my.ftp']."""
        return Outgoing(self)

    @property
    def out(self):
        """As `outgoing`."""
        return self.outgoing

    @property
    def rest(self):
        """As `outgoing.rest`."""
        return self.outgoing.rest

    @property
    def cache(self):
        """What all nodes remember: self.cache.get(key), self.cache.default, self.cache['another']."""
        return Cache(self)

    def lock(self, name=None, ttl=20, block=10):
        """A lock of the cluster, called as this service unless it has a name: `with self.lock(): ...`. It is held for `ttl`
        seconds at most, and waited for `block` seconds; LockTimeout if it is not to be had."""
        return Lock(self, name or self.name, ttl, block)

    @property
    def patterns(self):
        """Several calls as one: fanout, parallel, invoke_retry."""
        return Patterns(self)

    # What a service may look at

    @lazy
    def channel(self):
        """The channel: id, name, type, data_format, security."""
        return Channel(self._inv.said('channel') or {})

    @property
    def chan(self):
        """As `channel`."""
        return self.channel

    @lazy
    def time(self):
        """The time, in the ways that services ask for it."""
        return clock.Time()

    @lazy
    def job(self):
        """The job that started this invocation, if one did."""
        return Job(self._inv.said('job') or {})

    @lazy
    def environ(self):
        """A dict that goes along with the request, from hook to hook."""
        return dict(self._inv.said('environ') or {})

    @lazy
    def in_reply_to(self):
        """The cid of the call whose outcome this invocation is told of; None, if of none."""
        return self._inv.said('in_reply_to')

    @property
    def job_type(self):
        """The type of that job: one_time, interval_based or cron_style."""
        return (self._inv.said('job') or {}).get('job_type')

    @property
    def data_format(self):
        """That of the channel."""
        return self.channel.data_format

    @property
    def transport(self):
        """That of the channel."""
        return self.channel.type

    @property
    def impl_name(self):
        """The class with its module."""
        return f'{type(self).__module__}.{type(self).__name__}'

    def get_response_payload(self):
        """The answer so far."""
        return self.response.payload

    # What a service may log

    @lazy
    def logger(self):
        """The logger of this service; its lines carry the cid."""
        return logging.getLogger(self.name or type(self).__name__)

    def debug(self, *args, **kw):
        """As `logger.debug`."""
        self.logger.debug(*args, **kw)

    def info(self, *args, **kw):
        """As `logger.info`."""
        self.logger.info(*args, **kw)

    def warning(self, *args, **kw):
        """As `logger.warning`."""
        self.logger.warning(*args, **kw)

    warn = warning

    def error(self, *args, **kw):
        """As `logger.error`."""
        self.logger.error(*args, **kw)

    def exception(self, *args, **kw):
        """As `logger.exception`."""
        self.logger.exception(*args, **kw)

    def log_input(self, user_msg='', level=logging.INFO):
        """Logs what came in."""
        self.logger.log(level, '%s request: %s', user_msg, self.request.payload)

    def log_output(self, user_msg='', level=logging.INFO):
        """Logs what is to go out."""
        payload = self.response.payload
        self.logger.log(level, '%s response: %s', user_msg, payload.to_dict() if hasattr(payload, 'to_dict') else payload)

    # Hooks

    @staticmethod
    def before_add_to_store(logger):
        """Whether the service may be deployed."""
        return True

    @staticmethod
    def after_add_to_store(logger):
        """Called when the service is deployed."""

    def accept(self, *_args, **_kw):
        """Whether the request is to be handled; if not, the caller gets 400."""
        return True

    def _hook(self):
        """Does nothing."""

    before_handle = after_handle = finalize_handle = validate_input = validate_output = _hook
    before_job = before_one_time_job = before_interval_based_job = before_cron_style_job = _hook
    after_job = after_one_time_job = after_interval_based_job = after_cron_style_job = _hook

    def __getattr__(self, name):
        instead = _INSTEAD.get(name)
        hint = f'; use {instead} instead' if instead else ''
        raise AttributeError(f'{type(self).__name__} has no {name!r}{hint}')


class AdminService(Service):
    """As Service."""
