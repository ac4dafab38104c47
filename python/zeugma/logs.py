"""Logs of services and what they print: sent to the engine with the cid of the invocation."""

import io
import logging
import sys
import threading

from . import wire
from .service import current

#: The most lines that wait for the engine; more are counted and dropped.
MOST = 2000

#: The longest text of one line, in characters.
LONGEST = 16384


class Logs:
    """Where the lines of one worker go."""

    def __init__(self, worker):
        self.worker = worker
        self.dropped = 0

    def install(self, level):
        """Takes the place of the root handler, of stdout and of stderr."""
        root = logging.getLogger()
        for handler in list(root.handlers):
            root.removeHandler(handler)
        root.addHandler(Handler(self))
        levels = {'trace': logging.DEBUG, 'warn': logging.WARNING}
        root.setLevel(levels.get(level.lower(), getattr(logging, level.upper(), logging.INFO)))
        logging.raiseExceptions = False
        logging.captureWarnings(True)
        sys.stdout = Printed(self, 'stdout', 1)
        sys.stderr = Printed(self, 'stderr', 2)

    def send(self, level, logger, text):
        """One line."""
        writer = self.worker.writer
        if len(writer.queue) > MOST:
            self.dropped += 1
            return
        invocation = current.get()
        header = {'level': level, 'logger': logger, 'text': text[:LONGEST]}
        if invocation is not None:
            header['cid'] = invocation.cid
            header['invoke'] = invocation.number
        if self.dropped:
            header['dropped'], self.dropped = self.dropped, 0
        frame = wire.frame(wire.LOG, 0, wire.dump_text(header).encode('utf-8', 'replace'))
        if invocation is None or invocation.task is not None:
            writer.send(frame)
            return
        self.worker.enter(invocation)
        try:
            writer.queue.append(frame)
            self.worker.threads.kick()
        finally:
            self.worker.leave(invocation)


class Handler(logging.Handler):
    """Hands records of the standard library's logging over."""

    def __init__(self, logs):
        super().__init__()
        self.logs = logs

    def handle(self, record):
        """No lock is needed: a line is one frame."""
        if self.filter(record):
            self.emit(record)

    def emit(self, record):
        try:
            text = self.format(record)
        except Exception as error:
            text = f'{record.msg!r} cannot be formatted: {error}'
        level = ('error' if record.levelno >= 40 else 'warning' if record.levelno >= 30
                 else 'info' if record.levelno >= 20 else 'debug')
        self.logs.send(level, record.name, text)


class Printed(io.TextIOBase):
    """Takes what services print, line by line."""

    encoding = 'utf-8'
    errors = 'replace'

    def __init__(self, logs, name, number):
        super().__init__()
        self.logs = logs
        self.logger = name
        self.number = number
        self.local = threading.local()

    def writable(self):
        return True

    def fileno(self):
        return self.number

    def write(self, text):
        kept = getattr(self.local, 'text', '') + str(text)
        if '\n' in kept or len(kept) > LONGEST:
            lines = kept.split('\n')
            kept = lines.pop()
            if len(kept) > LONGEST:
                lines.append(kept)
                kept = ''
            for line in lines:
                if line:
                    self.logs.send('info', self.logger, line)
        self.local.text = kept
        return len(text)

    def flush(self):
        kept = getattr(self.local, 'text', '')
        if kept:
            self.local.text = ''
            self.logs.send('info', self.logger, kept)
