"""The caches of the cluster, as services use them."""

import json
import re

from .wire import dump


def _result(header, _):
    return header.get('result')


class Cache:
    """One cache of the cluster. Values are what JSON can hold; `expiry` is in seconds, 0 means none."""

    def __init__(self, service, name='default'):
        self._service = service
        self.name = name

    @property
    def default(self):
        """The cache that is meant if nobody says which."""
        return Cache(self._service)

    @property
    def builtin(self):
        """The caches by name."""
        return self

    def __getitem__(self, name):
        return Cache(self._service, name)

    def get_cache(self, _type, name):
        """The cache of this name."""
        return Cache(self._service, name)

    def _ask(self, op, kw, body=b'', convert=_result):
        return self._service._call('cache', self.name, op, kw, body, convert)

    def get(self, key, default=None, details=False):
        """The value of a key, or the default."""
        return self._ask('get', {'key': key}, b'',
                         lambda header, body: json.loads(body) if header.get('found') else default)

    def set(self, key, value, expiry=None, details=False):
        """Keeps a value."""
        return self._ask('set', {'key': key, 'ttl': expiry or None}, dump(value))

    def delete(self, key, raise_if_missing=False):
        """Forgets a key; whether it was there."""
        def convert(header, _):
            if raise_if_missing and not header.get('result'):
                raise KeyError(key)
            return bool(header.get('result'))
        return self._ask('delete', {'keys': [key]}, b'', convert)

    def expire(self, key, expiry=None):
        """Lets a key end after so many seconds; whether it was there."""
        return self._ask('expire', {'keys': [key], 'ttl': expiry or None}, b'', lambda h, _: bool(h.get('result')))

    def keys(self):
        """All keys."""
        return self._ask('keys', {})

    def __contains__(self, key):
        return self._ask('get', {'key': key}, b'', lambda header, _: bool(header.get('found')))

    def _where(self, matches, then):
        return self._service._link.then(self.keys(), lambda keys: then([k for k in keys or () if matches(k)]))

    def _values(self, keys):
        return self._ask('values', {'keys': keys}, b'', lambda h, _: {k: json.loads(v) for k, v in h.get('result') or ()})

    def items(self):
        """All keys with their values."""
        return self._where(lambda key: True, self._values)

    def clear(self):
        """Forgets all keys."""
        return self._where(lambda key: True, self._delete_all)

    def _delete_all(self, keys):
        return self._ask('delete', {'keys': keys})

    def __getattr__(self, name):
        verb, _, how = name.partition('_')
        test = _TESTS.get(how)
        if test is None or verb not in ('get', 'set', 'delete', 'expire'):
            raise AttributeError(f'a cache has no {name!r}')

        def many(pattern, value=None, expiry=None, **_):
            """What `verb` does, for all keys that match."""
            def then(keys):
                if verb == 'get':
                    return self._values(keys)
                if verb == 'delete':
                    return self._delete_all(keys)
                if verb == 'expire':
                    ttl = value if expiry is None else expiry
                    return self._ask('expire', {'keys': keys, 'ttl': ttl or None})
                steps = [lambda key=key: self.set(key, value, expiry) for key in keys]
                return self._service._link.sequence(steps)
            return self._where(test(pattern), then)

        return many


_TESTS = {
    'by_prefix': lambda text: lambda key: key.startswith(text),
    'by_suffix': lambda text: lambda key: key.endswith(text),
    'by_regex': lambda text: re.compile(text).search,
    'contains': lambda text: lambda key: text in key,
    'not_contains': lambda text: lambda key: text not in key,
    'contains_all': lambda texts: lambda key: all(text in key for text in texts),
    'contains_any': lambda texts: lambda key: any(text in key for text in texts),
}
