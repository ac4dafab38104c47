"""How a service's calls reach the engine: by waiting in its thread, or by `await`."""

from threading import Lock, get_ident

from . import wire
from .errors import InternalServerError, of_reply


def call_frames(number, invocation, kind, name, op, args, kw, body):
    """The frames of one call."""
    header = {'parent': invocation.number, 'kind': kind, 'name': name, 'op': op, 'args': args, 'kw': kw}
    try:
        data = wire.dump(header)
    except (TypeError, ValueError) as error:
        raise TypeError(f'{kind} {name!r}: {op}: what is passed has no form in JSON: {error}') from None
    if len(data) > wire.LONGEST - wire.PIECE - 64:
        raise ValueError(f'{kind} {name!r}: {op}: the arguments are too long; pass data as the body')
    return wire.frames(wire.CALL, number, data, body)


def opened(kind, header, body, convert):
    """What the caller gets for a REPLY or an ERROR."""
    head = wire.load(header) if header else {}
    if kind == wire.ERROR:
        raise of_reply(head)
    if convert is not None:
        return convert(head, body)
    return head['result'] if 'result' in head else body or None


class Waiter:
    """One thread that waits for one answer."""

    __slots__ = ('invocation', 'answer', 'lock')

    def __init__(self, invocation):
        self.invocation = invocation
        self.answer = None
        self.lock = Lock()
        self.lock.acquire()

    def wake(self, answer):
        """Hands the answer over: (type, header, body)."""
        if self.answer is None:
            self.answer = answer
            self.lock.release()


class BlockingLink:
    """For `def handle`."""

    def __init__(self, worker):
        self.worker = worker

    def call(self, invocation, kind, name, op, args, kw, body, convert):
        """Asks the engine and waits for the answer."""
        worker = self.worker
        if invocation.done:
            raise InternalServerError(invocation.cid, 'the invocation is over; its connections cannot be used any more')
        number = worker.next_number()
        frames = call_frames(number, invocation, kind, name, op, args, kw, body)
        waiter = Waiter(invocation)
        own = invocation.runner.ident == get_ident()
        if own:
            worker.enter(invocation)
        try:
            worker.waiters[number] = waiter
            worker.wait(frames, waiter)
        finally:
            worker.waiters.pop(number, None)
            if own:
                worker.leave(invocation)
        return opened(*waiter.answer, convert)

    @staticmethod
    def then(value, act):
        """What comes after a call."""
        return act(value)

    @staticmethod
    def sequence(steps):
        """One call after another; the result of the last."""
        found = None
        for step in steps:
            found = step()
        return found

    @staticmethod
    def recover(call, error, instead):
        """A call, or what is instead if it fails so."""
        try:
            return call()
        except error:
            return instead()


class AwaitingLink:
    """For `async def handle`: each call is to be awaited."""

    def __init__(self, worker):
        self.worker = worker

    async def call(self, invocation, kind, name, op, args, kw, body, convert):
        """Asks the engine; the answer is awaited."""
        worker = self.worker
        number = worker.next_number()
        frames = call_frames(number, invocation, kind, name, op, args, kw, body)
        future = worker.loop.create_future()
        worker.waiters[number] = future
        try:
            worker.write_later(frames)
            found = await future
        finally:
            worker.waiters.pop(number, None)
        return opened(*found, convert)

    @staticmethod
    async def then(value, act):
        """What comes after a call."""
        return await act(await value)

    @staticmethod
    async def sequence(steps):
        """One call after another; the result of the last."""
        found = None
        for step in steps:
            found = step()
            if hasattr(found, '__await__'):
                found = await found
        return found

    @staticmethod
    async def recover(call, error, instead):
        """A call, or what is instead if it fails so."""
        try:
            return await call()
        except error:
            return instead()

