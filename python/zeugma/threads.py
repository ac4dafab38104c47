"""Threads of a worker. One of them, the leader, reads the socket and runs what it reads itself, since to wake another
costs more than most services take. A leader that waits or takes long hands the lead to another thread."""

import os
import sys
import time
import traceback
from _thread import allocate_lock, get_ident, start_new_thread

from . import wire
from .errors import Cancelled
from .running import Invocation, failed, run

#: How long a service may run before another thread takes the lead, in seconds.
PATIENCE = 0.001

#: How long answers may wait for each other, in seconds.
LINGER = 0.0003

#: How many ticks without work before the monitor sleeps.
QUIET = 50


class Runner:
    """One thread. Whoever takes its baton away takes the lead from it."""

    __slots__ = ('baton', 'count', 'lock', 'ident', 'lead')

    def __init__(self):
        self.baton = []
        self.count = 0
        self.lock = allocate_lock()
        self.lock.acquire()
        self.ident = None
        self.lead = False


class Threads:
    """Runs invocations of `def handle`."""

    def __init__(self, worker, limit):
        self.worker = worker
        self.reader = worker.reader
        self.writer = worker.writer
        self.limit = limit
        self.backlog = worker.backlog
        self.running = worker.running
        self.idle = []
        self.waiting = 0
        self.waiting_lock = allocate_lock()
        self.leader = None
        self.reading = False
        self.parked = True
        self.park = allocate_lock()
        self.park.acquire()
        self.monitoring = False

    def main(self):
        """The life of the first thread."""
        runner = Runner()
        runner.ident = get_ident()
        runner.lead = True
        self.leader = runner
        self._live(runner)

    def _live(self, runner):
        while True:
            if runner.lead:
                runner.lead = False
                self._lead(runner)
            self._work(runner)
            self.idle.append(runner)
            # What came between the last look at the backlog and now has to be seen by somebody.
            if self.backlog and self._room():
                self._wake(False)
            runner.lock.acquire()

    def _born(self, runner):
        runner.ident = get_ident()
        try:
            self._live(runner)
        except BaseException:
            # Without this thread the worker might read no more; another worker is better than that.
            traceback.print_exc(file=sys.__stderr__)
            os._exit(71)

    def _wake(self, lead):
        """Has another thread work, or lead. False if the system has no thread left."""
        before = self.leader
        try:
            runner = self.idle.pop()
        except IndexError:
            runner = Runner()
            runner.lead = lead
            if lead:
                self.leader = runner
            try:
                start_new_thread(self._born, (runner,))
            except (RuntimeError, MemoryError):
                self.leader = before
                return False
            return True
        runner.lead = lead
        if lead:
            self.leader = runner
        runner.lock.release()
        return True

    def _room(self):
        return len(self.running) - len(self.backlog) - self.waiting < self.limit

    def _work(self, runner):
        """Runs what waits for a thread."""
        while self.backlog and self._room():
            try:
                invocation = self.backlog.popleft()
            except IndexError:
                return
            self._execute(invocation, runner)
            self.kick()

    def _fill(self):
        """Waits for more to read, after what is to be sent is sent."""
        self.reading = True
        if self.writer.queue:
            self.writer.flush()
        if not self.reader.fill():
            os._exit(0)
        self.reading = False

    def kick(self):
        """What is queued is sent: by the leader when it has read what there is, or, if it waits for more, here."""
        if self.reading:
            self.writer.flush()

    def _lead(self, runner):
        """Reads and runs, until another thread has the lead."""
        worker, reader, queue, baton = self.worker, self.reader, self.writer.queue, runner.baton
        plans, running, backlog, flush = worker.plans, self.running, self.backlog, self.writer.flush
        next_message, clock, invoke = reader.next, time.perf_counter, wire.INVOKE
        since = 0.0
        while True:
            if backlog and self._room():
                try:
                    invocation = backlog.popleft()
                except IndexError:
                    continue
            else:
                message = next_message()
                if message is None:
                    since = 0.0
                    self._fill()
                    continue
                kind, number, header, body = message
                if kind != invoke:
                    worker.take(kind, number, header, body)
                    continue
                header = wire.load_head(header)
                plan = plans.get(header['service'])
                if plan is None or plan.is_async:
                    worker.take_other(number, header, body, plan)
                    continue
                invocation = Invocation(number, header, body, plan)
                room = len(running) - len(backlog) - self.waiting < self.limit
                # From here on it can be cancelled.
                running[number] = invocation
                if not room:
                    backlog.append(invocation)
                    continue
            runner.count += 1
            baton.append(1)
            if self.parked:
                self._unpark()
            self._execute(invocation, runner)
            try:
                baton.pop()
            except IndexError:
                self.kick()
                return
            now = clock()
            if not since:
                since = now
            elif now - since > LINGER:
                flush()
                since = 0.0

    def _execute(self, invocation, runner):
        """Runs one invocation and queues its answer. A cancellation may strike at any point before `done`, but once."""
        number = invocation.number
        frames = None
        while True:
            try:
                invocation.runner = runner
                if invocation.cancelled:
                    raise Cancelled(invocation.cancelled)
                if frames is None:
                    frames = run(invocation, self.worker.blocking)
                invocation.done = True
                break
            except Cancelled as error:
                if frames is None:
                    frames = failed(invocation, error)
                invocation.done = True
                break
        if invocation.cancelled:
            self.worker.settle(invocation)
        self.writer.queue.extend(frames)
        self.running.pop(number, None)
        if self.worker.draining:
            self.worker.leave_if_empty()

    def wait(self, frames, waiter):
        """Sends a call and waits for its answer; the leader goes on reading meanwhile."""
        runner = waiter.invocation.runner
        leading = False
        if runner is not None and runner.ident == get_ident():
            try:
                runner.baton.pop()
                leading = True
            except IndexError:
                pass
        self.writer.queue.extend(frames)
        if not leading:
            self.kick()
        if leading and self._read_until(waiter, runner):
            return
        with self.waiting_lock:
            self.waiting += 1
        try:
            if self.backlog and self._room():
                self._wake(False)
            waiter.lock.acquire()
        finally:
            with self.waiting_lock:
                self.waiting -= 1

    def _read_until(self, waiter, runner):
        """Reads until the answer is here. False if another thread had to take the lead, to run what came."""
        worker, reader = self.worker, self.reader
        while waiter.answer is None:
            message = reader.next()
            if message is None:
                self._fill()
                continue
            kind, number, header, body = message
            if kind != wire.INVOKE:
                worker.take(kind, number, header, body)
                continue
            header = wire.load_head(header)
            plan = worker.plans.get(header['service'])
            if plan is None or plan.is_async:
                worker.take_other(number, header, body, plan)
                continue
            invocation = self.running[number] = Invocation(number, header, body, plan)
            self.backlog.append(invocation)
            if self._wake(True):
                return False
        runner.count += 1
        runner.baton.append(1)
        return True

    def _unpark(self):
        self.parked = False
        if not self.monitoring:
            try:
                start_new_thread(self._monitor, ())
                self.monitoring = True
            except (RuntimeError, MemoryError):
                self.parked = True
            return
        try:
            self.park.release()
        except RuntimeError:
            pass

    def _monitor(self):
        """Takes the lead from a thread that runs one service for longer than PATIENCE."""
        last, quiet = None, 0
        while True:
            time.sleep(PATIENCE)
            leader = self.leader
            now = (leader, leader.count)
            busy = bool(leader.baton)
            if busy and now == last:
                try:
                    leader.baton.pop()
                except IndexError:
                    pass
                else:
                    if not self._wake(True):
                        leader.baton.append(1)
                    now = None
            if self.writer.queue:
                self.writer.flush()
            quiet = 0 if busy or now != last else quiet + 1
            last = now
            if quiet > QUIET:
                self.parked = True
                if leader is not self.leader or leader.baton:
                    self.parked = False
                    continue
                self.park.acquire()
                quiet = 0
