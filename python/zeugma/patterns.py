"""Calls that are more than one call: to several services, and to one until it answers."""

import time

from .errors import ClientError
from .outgoing import encode


def name_of(service):
    """The name of a service, from that or from its class."""
    name = service if isinstance(service, str) else getattr(service, 'name', None)
    if not name or not isinstance(name, str):
        raise ValueError(f'{service!r} is no service')
    return name


def names_of(services):
    """The names of services: of one, or of a list of them."""
    if not services:
        return []
    return [name_of(one) for one in (services if isinstance(services, (list, tuple, set)) else [services])]


class Patterns:
    """`self.patterns`."""

    def __init__(self, service):
        self.fanout = Fanout(service)
        self.parallel = Parallel(service)
        self.invoke_retry = InvokeRetry(service)

    def __getattr__(self, name):
        raise AttributeError(f'there is no pattern {name!r}; there are fanout, parallel and invoke_retry')


class Parallel:
    """Calls several services at once, in the background."""

    def __init__(self, service):
        self._service = service

    def invoke(self, targets, on_target=None, cid=None):
        """Calls each of `targets`, a dict of payloads by service, and has the services in `on_target` called with the
        outcome of each: cid, ok, response, exception, source, target, req_ts_utc, resp_ts_utc. Returns the cid at once."""
        return self._begin(targets, on_target, None, cid)

    def _begin(self, targets, on_target, on_final, cid):
        said, bodies = [], []
        for service, payload in targets.items():
            how, body = encode(payload)
            said.append([name_of(service), how, len(body)])
            bodies.append(body)
        kw = {'targets': said, 'on_target': names_of(on_target), 'on_final': names_of(on_final), 'cid': cid}
        return self._service._call('service', '', 'fanout', kw, b''.join(bodies), lambda header, _: header.get('result'))


class Fanout(Parallel):
    """As Parallel, and tells of all outcomes together in the end."""

    def invoke(self, targets, on_final, on_target=None, cid=None):
        """As `parallel.invoke`; the services in `on_final` are called once all have ended, with `data`: the outcomes by
        service."""
        return self._begin(targets, on_target, on_final, cid)


class InvokeRetry:
    """Calls a service until it answers."""

    def __init__(self, service):
        self._service = service

    def invoke(self, target, *args, repeats=None, seconds=None, minutes=None, async_fallback=False, callback=None,
               context=None, **kw):
        """The answer of the first call that did not fail; `repeats` more are made (5), `seconds` or `minutes` apart. What
        the caller did wrong (400 to 499) is not tried again.

        With `async_fallback` one call is made; if it fails, the others are made in the background and the cid of these is
        returned. `callback` is then called with their outcome, as in `parallel.invoke`, and with the `context`."""
        if seconds and minutes:
            raise ValueError('either seconds or minutes')
        pause = minutes * 60 if minutes else seconds or 0
        plan = self._service._plan
        if async_fallback:
            if not (callback and repeats and pause):
                raise ValueError('async_fallback needs a callback, repeats, and either seconds or minutes')
            said = {'repeats': repeats, 'pause': pause, 'callback': names_of(callback), 'context': context}
            run = self._handed_over_later if plan is not None and plan.is_async else self._handed_over
            return run(target, args, said, kw)
        repeats = 5 if repeats is None else repeats
        if plan is not None and plan.is_async:
            return self._later(target, args, repeats, pause, kw)
        for left in range(repeats, -1, -1):
            try:
                return self._service.invoke(target, *args, **kw)
            except ClientError:
                raise
            except Exception:
                if not left:
                    raise
                time.sleep(pause)

    async def _later(self, target, args, repeats, pause, kw):
        import asyncio
        for left in range(repeats, -1, -1):
            try:
                return await self._service.invoke(target, *args, **kw)
            except ClientError:
                raise
            except Exception:
                if not left:
                    raise
                await asyncio.sleep(pause)

    def _unknown(self, said):
        def convert(header, _):
            for name in header.get('result') or ():
                raise ValueError(f'the callback {name!r} is no service')
        return self._service._call('service', '', 'unknown', {'names': said['callback']}, b'', convert)

    def _hand_over(self, target, args, said, kw):
        payload = args[0] if args else kw.get('payload', '')
        how, body = encode(payload)
        return self._service._call('service', name_of(target), 'retry', dict(said, payload=how), body,
                                   lambda header, _: header.get('result'))

    def _handed_over(self, target, args, said, kw):
        self._unknown(said)
        try:
            return self._service.invoke(target, *args, **kw)
        except ClientError:
            raise
        except Exception:
            return self._hand_over(target, args, said, kw)

    async def _handed_over_later(self, target, args, said, kw):
        await self._unknown(said)
        try:
            return await self._service.invoke(target, *args, **kw)
        except ClientError:
            raise
        except Exception:
            return await self._hand_over(target, args, said, kw)
