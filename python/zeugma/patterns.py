"""Calls that are more than one call: to a service until it answers."""

import time

from .errors import ClientError


class Patterns:
    """`self.patterns`."""

    def __init__(self, service):
        self.invoke_retry = InvokeRetry(service)

    def __getattr__(self, name):
        raise AttributeError(f'there is no pattern {name!r}; start each call with self.invoke_async')


class InvokeRetry:
    """Calls a service until it answers."""

    def __init__(self, service):
        self._service = service

    def invoke(self, target, *args, repeats=5, seconds=None, minutes=None, async_fallback=False, **kw):
        """The answer of the first call that did not fail; `repeats` more are made, `seconds` or `minutes` apart.
        What the caller did wrong (400 to 499) is not tried again."""
        if async_fallback:
            raise ValueError('async_fallback is not there; make a job of the scheduler for what is to be tried later')
        if seconds and minutes:
            raise ValueError('either seconds or minutes')
        pause = minutes * 60 if minutes else seconds or 0
        if self._service._plan is not None and self._service._plan.is_async:
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
