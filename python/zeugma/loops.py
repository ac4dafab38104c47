"""The event loop of a worker: it runs services whose handler is a coroutine."""

import asyncio
import os
import sys
import threading
from collections import deque
from socket import MSG_DONTWAIT

from . import wire
from .errors import Cancelled
from .running import Invocation, failed, run_async

_EAGER = sys.version_info >= (3, 12)


class Loop:
    """Runs invocations of `async def handle`. If a worker has no others, the loop reads the socket itself."""

    def __init__(self, worker):
        self.worker = worker
        self.loop = worker.loop = asyncio.new_event_loop()
        self.incoming = deque()
        self.flushing = False
        self.taking = False
        self.ident = None

    def start(self):
        """Runs the loop in a thread of its own."""
        threading.Thread(target=self._run, name='loop', daemon=True).start()

    def main(self):
        """Runs the loop here and reads the socket in it."""
        self.loop.add_reader(self.worker.sock.fileno(), self._read)
        self.loop.call_soon(self._take_messages)
        self._run()

    def _run(self):
        self.ident = threading.get_ident()
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def _read(self):
        try:
            if not self.worker.reader.fill(MSG_DONTWAIT):
                os._exit(0)
        except BlockingIOError:
            return
        self._take_messages()

    def _take_messages(self):
        worker = self.worker
        next_message, plans, invoke = worker.reader.next, worker.plans, wire.INVOKE
        while True:
            message = next_message()
            if message is None:
                break
            kind, number, header, body = message
            if kind == invoke:
                header = wire.load_head(header)
                plan = plans.get(header['service'])
                if plan is None:
                    worker.take_other(number, header, body, plan)
                else:
                    self._begin(Invocation(number, header, body, plan))
            else:
                worker.take(kind, number, header, body)
        # The loop runs what was called first, so this comes after the first step of each new task.
        if not self.flushing:
            self.flushing = True
            self.loop.call_soon(self._flush)

    def _begin(self, invocation):
        if _EAGER:
            invocation.task = True
            self.worker.tasks[invocation.number] = invocation
            task = asyncio.Task(self._serve(invocation), loop=self.loop, eager_start=True)
        else:
            task = self.loop.create_task(self._serve(invocation))
            self.worker.tasks[invocation.number] = invocation
        if not invocation.done:
            invocation.task = task

    async def _serve(self, invocation):
        worker = self.worker
        try:
            invocation.runner = self
            if invocation.cancelled:
                frames = failed(invocation, Cancelled(invocation.cancelled))
            else:
                frames = await run_async(invocation, worker.awaiting)
            worker.writer.queue.extend(frames)
        finally:
            invocation.done = True
            worker.tasks.pop(invocation.number, None)
        if not self.flushing:
            self.flushing = True
            self.loop.call_soon(self._flush)
        if worker.draining:
            worker.leave_if_empty()

    def _flush(self):
        self.flushing = False
        self.worker.writer.flush()

    def write(self, frames):
        """Sends frames when the loop has gone round."""
        self.worker.writer.queue.extend(frames)
        if not self.flushing:
            self.flushing = True
            self.loop.call_soon(self._flush)

    # From other threads

    def post(self, number, header, body, plan):
        """Has the loop run an invocation."""
        invocation = Invocation(number, header, body, plan)
        self.worker.tasks[number] = invocation
        invocation.task = True
        self.incoming.append(invocation)
        if not self.taking:
            self.taking = True
            self.loop.call_soon_threadsafe(self._take)

    def _take(self):
        self.taking = False
        while self.incoming:
            self._begin(self.incoming.popleft())

    def resolve(self, future, answer):
        """Gives an answer to the coroutine that waits for it."""
        if threading.get_ident() == self.ident:
            _resolve(future, answer)
        else:
            self.loop.call_soon_threadsafe(_resolve, future, answer)

    def cancel(self, invocation):
        """Cancels the task of an invocation."""
        self.loop.call_soon_threadsafe(self._cancel, invocation)

    @staticmethod
    def _cancel(invocation):
        # A task that has not begun would end without an answer; it looks itself.
        if invocation.runner is not None and hasattr(invocation.task, 'cancel'):
            invocation.task.cancel()


def _resolve(future, answer):
    if not future.done():
        future.set_result(answer)
