"""The process that runs services: it talks to the engine over one socket and ends when that closes."""

import ctypes
import gc
import itertools
import os
import platform
import signal
import sys
import threading
from collections import deque

from . import VERSION, wire
from .errors import Cancelled
from .links import AwaitingLink, BlockingLink
from .loading import load
from .logs import Logs
from .service import Server
from .threads import Threads


#: The process this one was forked from, if it is to be told that workers need asyncio.
ZYGOTE = None


class Worker:
    """One worker: what all its threads share."""

    def __init__(self, sock):
        self.sock = sock
        self.reader = wire.Reader(sock)
        self.writer = wire.Writer(sock)
        self.plans = {}
        self.running = {}
        self.tasks = {}
        self.backlog = deque()
        self.waiters = {}
        self.numbers = itertools.count(1, 2)
        self.next_number = self.numbers.__next__
        self.blocking = BlockingLink(self)
        self.awaiting = AwaitingLink(self)
        self.loop = None
        self.loops = None
        self.threads = None
        self.draining = False
        self.inference = None
        self.cancel_lock = threading.Lock()
        self.logs = Logs(self)

    def run(self):
        """Says hello, loads what the engine sends, then serves."""
        hello = {'protocol': wire.PROTOCOL, 'pid': os.getpid(), 'python': platform.python_version(),
                 'runtime': 'zeugma ' + VERSION}
        self.writer.send(wire.frame(wire.HELLO, 0, wire.dump(hello)))
        welcome = self._first(wire.WELCOME)[0]
        Server.name = welcome.get('node') or ''
        Server.cluster = Server.cluster_name = welcome.get('cluster') or ''
        Server.cluster_id = welcome.get('cluster_id', 1)
        self.logs.install(welcome.get('log_level') or 'info')
        header, number = self._first(wire.LOAD)
        answer, self.plans = load(header)
        self.writer.send_all(loaded(number, answer))
        gc.collect()
        gc.freeze()
        kinds = {plan.is_async for plan in self.plans.values()}
        self.threads = Threads(self, int(welcome.get('threads') or 32))
        if True in kinds:
            # Imported here, since workers without coroutines are a quarter smaller without it.
            if ZYGOTE == os.getppid():
                os.kill(ZYGOTE, signal.SIGUSR1)
            from .loops import Loop
            self.loops = Loop(self)
            if False not in kinds:
                self.loops.main()
                return
            self.loops.start()
        self.threads.main()

    def _first(self, wanted):
        """Waits for one message; answers pings meanwhile."""
        while True:
            message = self.reader.next()
            if message is None:
                if not self.reader.fill():
                    os._exit(0)
                continue
            kind, number, header, body = message
            if kind == wanted:
                return wire.load(header or b'{}'), number
            self.take(kind, number, header, body)

    def wait(self, frames, waiter):
        """Sends a call and waits for its answer, in the thread of the service."""
        self.threads.wait(frames, waiter)

    def take(self, kind, number, header, body):
        """Any message but INVOKE."""
        if kind in (wire.REPLY, wire.ERROR):
            waiter = self.waiters.pop(number, None)
            if waiter is None:
                return
            if hasattr(waiter, 'wake'):
                waiter.wake((kind, header, body))
            else:
                self.loops.resolve(waiter, (kind, header, body))
        elif kind == wire.PING:
            self.writer.send(wire.frame(wire.PONG, number, header))
        elif kind == wire.CANCEL:
            self.cancel(wire.load(header), number)
        elif kind == wire.DRAIN:
            self.draining = True
            self.leave_if_empty()
        elif kind == wire.LOAD:
            fault = {'error': {'file': None, 'line': None, 'message': 'this worker is loaded already', 'traceback': ''}}
            self.writer.send_all(loaded(number, fault))

    def take_other(self, number, header, body, plan):
        """An INVOKE that no thread runs: of a coroutine, or of an unknown service."""
        if plan is not None:
            self.loops.post(number, header, body, plan)
            return
        error = {'kind': 'not-found', 'status': 404, 'message': f"no service {header.get('service')!r} is loaded here"}
        self.writer.send(wire.frame(wire.ERROR, number, wire.dump(error)))

    # Cancellation

    def cancel(self, header, number):
        """Ends one invocation, if it can be ended."""
        number = header.get('id', number)
        reason = header.get('reason') or 'cancelled'
        invocation = self.running.get(number) or self.tasks.get(number)
        if invocation is None:
            return
        invocation.cancelled = reason
        if invocation.task is not None:
            self.loops.cancel(invocation)
            return
        runner = invocation.runner
        with self.cancel_lock:
            if not invocation.done and not invocation.shield and not invocation.struck and runner is not None:
                invocation.struck = True
                strike(runner.ident, Cancelled)
        for waiter in list(self.waiters.values()):
            if getattr(waiter, 'invocation', None) is invocation:
                waiter.wake((wire.ERROR, wire.dump({'kind': 'timeout', 'message': reason}), b''))

    def settle(self, invocation):
        """After this, no cancellation of the invocation strikes any more."""
        with self.cancel_lock:
            if invocation.struck:
                strike(invocation.runner.ident, None)

    def enter(self, invocation):
        """From here to `leave`, a cancellation waits: what is shared must not be left half done."""
        invocation.shield += 1
        if invocation.cancelled and not invocation.done:
            self._give_up(invocation)

    def leave(self, invocation):
        """The end of what `enter` began."""
        invocation.shield -= 1
        if invocation.cancelled and not invocation.done and not invocation.shield:
            invocation.shield += 1
            self._give_up(invocation)

    def _give_up(self, invocation):
        if invocation.struck:
            self.settle(invocation)
        invocation.shield -= 1
        raise Cancelled(invocation.cancelled)

    def leave_if_empty(self):
        """Ends the process when it is to be drained and nothing is left to do."""
        if self.running or self.tasks:
            return
        self.writer.queue.append(wire.frame(wire.BYE, 0, b'{}'))
        with self.writer.lock:
            rest = b''.join(self.writer.queue)
            self.writer.queue.clear()
            self.sock.sendall(rest)
        os._exit(0)

    def write_later(self, frames):
        """Sends frames from the loop, with those of its neighbours."""
        self.loops.write(frames)


def loaded(number, answer):
    """LOADED; what is declared may be too long for a header, so it goes into the body as well as it fits."""
    data = wire.dump(answer)
    if len(data) <= wire.PIECE:
        return [wire.frame(wire.LOADED, number, data)]
    return wire.frames(wire.LOADED, number, b'{"in_body":true}', data)


def prepare():
    """What all workers share is done before they are forked."""
    from . import aliases
    aliases.install()
    # Enough for the deepest recursion in C that the interpreter allows. 3.13 allows more than others.
    threading.stack_size((8 if sys.version_info >= (3, 13) else 2) * 1024 * 1024)
    try:
        # One arena for malloc: each reserves 64 MiB of address space, which counts against a worker's limit.
        ctypes.CDLL(None).mallopt(-8, 1)
    except (OSError, AttributeError):
        pass


def strike(ident, error):
    """Raises an exception in another thread, or takes one back that was not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(error) if error else None)


def main(sock):
    """The whole life of a worker process."""
    try:
        Worker(sock).run()
    except (BrokenPipeError, ConnectionResetError):
        pass
    except BaseException:
        import traceback
        sys.__stderr__.write(traceback.format_exc())
        sys.__stderr__.flush()
        os._exit(1)
    os._exit(0)
