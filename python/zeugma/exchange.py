"""What came in and what goes out: the request and the response of one invocation."""

import json
from urllib.parse import parse_qs

from .lazy import lazy
from .simpleio import Input
from .errors import BadRequest


def flat(query):
    """Parameters as a dict: one value as it is, several as a list."""
    return {k: (v[0] if len(v) == 1 else list(v)) if isinstance(v, list) else v for k, v in query.items()}


class Http:
    """The HTTP side of a request."""

    def __init__(self, head, body):
        self._head = head
        self._body = body
        self.method = head.get('method', '')
        self.path = head.get('path', '')
        self.params = Input(head.get('params') or {})

    @lazy
    def GET(self):
        """The query."""
        return Input(flat(self._head.get('query') or {}))

    @lazy
    def POST(self):
        """The fields of a form."""
        try:
            return Input(flat(parse_qs(self._body.decode('utf-8'), keep_blank_values=True)))
        except UnicodeDecodeError:
            return Input()

    @lazy
    def headers(self):
        """The headers by their names in lower case."""
        return Headers(self._head.get('headers') or {})

    @property
    def user_agent(self):
        """Who the caller says it is."""
        return self.headers.get('user-agent', '')

    @property
    def peer(self):
        """The address of the caller."""
        return self._head.get('peer', '')

    remote_addr = peer

    def get_form_data(self):
        """The fields of a form."""
        return self.POST


class Headers(dict):
    """Headers, whose names may be written in either case."""

    def __init__(self, items=()):
        super().__init__((str(name).lower(), value) for name, value in dict(items).items())

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return super().__contains__(name.lower())

    def get(self, name, default=None):
        return super().get(name.lower(), default)


class Request:
    """What came in: `raw_request` as it came, `payload` parsed, `input` as declared."""

    def __init__(self, invocation):
        self._inv = invocation
        self.raw_request = invocation.body

    @lazy
    def payload(self):
        """The body, parsed by the data format of the channel; as it is if there is none."""
        how, body = self._inv.header.get('payload', 'raw'), self._inv.body
        if how == 'json':
            if not body:
                return ''
            try:
                return json.loads(body)
            except ValueError as error:
                raise BadRequest(self._inv.cid, f'the body is not JSON: {error}') from None
        if how == 'text':
            return body.decode('utf-8', 'replace')
        return '' if how == 'none' else body

    @lazy
    def input(self):
        """The declared input; parameters of path and query if none is declared."""
        header, shape = self._inv.header, self._inv.plan.input
        checked = header.get('input')
        if shape is None:
            return Input(checked) if checked else Input(self.channel_params)
        if checked is not None:
            return shape.convert(checked)
        body = self.payload
        if isinstance(body, bytes):
            try:
                body = json.loads(body) if body else {}
            except ValueError as error:
                raise BadRequest(self._inv.cid, f'the body is not JSON: {error}') from None
        if shape.many:
            return shape.read(body)
        if not isinstance(body or {}, dict):
            raise BadRequest(self._inv.cid, 'the body is not a JSON object')
        own = {k: v for k, v in body.items() if k in shape.names or shape.model} if body else {}
        return shape.read(dict(own, **self.channel_params))

    @lazy
    def http(self):
        """Method, path, query, headers; empty if the request did not come over HTTP."""
        return Http(self._inv.said('http') or {}, self._inv.body)

    @lazy
    def channel_params(self):
        """Parameters of path and query as one; those of the query win, unless the channel says otherwise."""
        http = self._inv.said('http')
        if not http:
            return {}
        query, path = flat(http.get('query') or {}), http.get('params') or {}
        return {**query, **path} if http.get('url_params_pri') == 'path-over-qs' else {**path, **query}

    @property
    def cid(self):
        """The correlation id."""
        return self._inv.cid

    @property
    def data_format(self):
        """That of the channel: json, ... or None."""
        return (self._inv.said('channel') or {}).get('data_format')

    def deepcopy(self):
        """A copy of the input."""
        return self.input.deepcopy()


class Payload:
    """The answer, one declared element at a time, by attribute or by item; `append` and `[:] =` make it a list."""

    __slots__ = ('_shape', '_rows', '__dict__')

    def __init__(self, shape):
        self._shape = shape
        self._rows = None

    def __getattr__(self, name):
        if self._shape is not None and name in self._shape.names:
            return ''
        raise AttributeError(f'nothing was assigned to {name!r} of the payload')

    def __setitem__(self, key, value):
        if isinstance(key, slice):
            self._rows = self._rows or []
            self._rows[key] = value
        else:
            setattr(self, key, value)

    def __getitem__(self, key):
        if isinstance(key, (slice, int)):
            return (self._rows or [])[key]
        return getattr(self, key)

    def __contains__(self, key):
        return key in self.__dict__

    def __len__(self):
        return len(self.__dict__) if self._rows is None else len(self._rows)

    def __iter__(self):
        return iter(self.__dict__ if self._rows is None else self._rows)

    def append(self, item):
        """Adds a row to an answer that is a list."""
        if self._rows is None:
            self._rows = []
        self._rows.append(item)

    def extend(self, items):
        """Adds rows to an answer that is a list."""
        for item in items:
            self.append(item)

    def get(self, name, default=None):
        """What was assigned to an element."""
        return self.__dict__.get(name, default)

    def update(self, *args, **kw):
        """Assigns several elements."""
        self.__dict__.update(*args, **kw)

    def set_payload_attrs(self, item):
        """Assigns all declared elements that an object has."""
        for name in self._shape.names if self._shape else ():
            if isinstance(item, dict) and name in item:
                setattr(self, name, item[name])
            elif hasattr(item, name):
                setattr(self, name, getattr(item, name))

    def to_dict(self):
        """What was assigned."""
        return dict(self.__dict__) if self._rows is None else list(self._rows)


class Response:
    """What goes out."""

    status_code = 200
    content_type = None
    content_encoding = None
    result = 'ZATO_OK'
    result_details = ''
    status_message = 'OK'

    def __init__(self, shape):
        self.payload = Payload(shape)

    @lazy
    def headers(self):
        """Headers of the answer."""
        return {}

    def __len__(self):
        payload = self.payload
        return len(payload) if hasattr(payload, '__len__') else 0

    def __bool__(self):
        return True

    def append(self, item):
        """As `payload.append`."""
        self.payload.append(item)
