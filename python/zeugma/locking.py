"""Locks of the cluster: what only one service may do at a time, on whichever node it runs."""

from .errors import ServiceUnavailable


class LockTimeout(ServiceUnavailable):
    """503: somebody else has had the lock for as long as was to be waited."""

    default = 'Somebody else has the lock'


class Lock:
    """One lock: `with self.lock('bills'): ...`, or `async with` in coroutines.

    `ttl` is how long it is held at most, in seconds; `block` how long to wait for it, False for not at all. It ends with the
    invocation at the latest."""

    def __init__(self, service, name, ttl, block):
        self._service = service
        self.name = name
        self.ttl = ttl
        self.block = ttl if block is True else block or 0
        #: Which holding of the lock this is: a number that only grows. None while it is not held.
        self.fence = None

    @property
    def acquired(self):
        """Whether it is held, as far as is known here."""
        return self.fence is not None

    def acquire(self):
        """Takes the lock; whether that was possible."""
        def convert(header, _):
            self.fence = header.get('result')
            return self.fence is not None
        return self._service._call('lock', self.name, 'take', {'ttl': self.ttl, 'block': self.block}, b'', convert)

    def release(self):
        """Gives it back; whether it was still held, or had ended before."""
        def convert(header, _):
            if not header.get('result'):
                self._service.logger.warning('lock %s had ended before it was given back: its ttl is %s s', self.name, self.ttl)
            return bool(header.get('result'))
        fence, self.fence = self.fence, None
        return self._service._call('lock', self.name, 'give', {'fence': fence or 0}, b'', convert)

    def _missed(self):
        return LockTimeout(self._service.cid, f'somebody else has the lock {self.name}')

    def __enter__(self):
        plan = self._service._plan
        if plan is not None and plan.is_async:
            raise TypeError('a coroutine takes a lock with `async with`')
        if not self.acquire():
            raise self._missed()
        return self

    def __exit__(self, *_):
        if self.acquired:
            self.release()

    async def __aenter__(self):
        if not await self.acquire():
            raise self._missed()
        return self

    async def __aexit__(self, *_):
        if self.acquired:
            await self.release()
