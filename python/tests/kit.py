"""The engine's side for tests: starts the real zygote and talks to real workers over their sockets."""

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from zeugma import wire  # noqa: E402

#: How long anything may take before a test gives up, in seconds.
PATIENCE = 20

FIXTURES = os.path.join(ROOT, 'tests', 'fixtures')


def until(check, what='the state'):
    """Waits until a check is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f'{what} did not come about')


class Zygote:
    """A zygote process and the lines it says."""

    def __init__(self, python=sys.executable):
        ours, theirs = socket.socketpair()
        self.sock = ours
        path = os.path.join(ROOT, 'zeugma', 'zygote.py')
        self.process = subprocess.Popen([python, '-s', '-u', path], stdin=theirs)
        theirs.close()
        self.lines = ours.makefile('r')
        self.sock.settimeout(PATIENCE)
        self.number = 0
        self.exits = {}
        self.ready = self.line()

    def line(self):
        return json.loads(self.lines.readline())

    def order(self, message, fds=()):
        data = json.dumps(message).encode() + b'\n'
        if fds:
            socket.send_fds(self.sock, [data], list(fds))
        else:
            self.sock.sendall(data)

    def expect(self, op):
        """The next line of this kind; ends of workers are kept."""
        while True:
            said = self.line()
            if said['op'] == 'exited':
                self.exits[said['pid']] = said
            if said['op'] == op:
                return said

    def exit_of(self, pid):
        while pid not in self.exits:
            self.expect('exited')
        return self.exits[pid]

    def fork(self, memory=None, **welcome):
        ours, theirs = socket.socketpair()
        out_read, out_write = os.pipe()
        self.number += 1
        self.order({'op': 'fork', 'id': self.number, 'limits': {'memory': memory}}, (theirs.fileno(), out_write))
        theirs.close()
        os.close(out_write)
        said = self.expect('forked')
        return Worker(self, said['pid'], ours, out_read, welcome)

    def close(self):
        self.sock.close()
        self.lines.close()
        self.process.wait(PATIENCE)


class Worker:
    """One worker, as the engine sees it."""

    def __init__(self, zygote, pid, sock, out, welcome):
        self.zygote, self.pid, self.sock, self.out = zygote, pid, sock, out
        self.reader, self.writer = wire.Reader(sock), wire.Writer(sock)
        self.answers = {}
        self.arrived = threading.Condition()
        self.logs = []
        self.calls = []
        self.others = queue.Queue()
        self.on_call = lambda header, body: ({'result': None}, b'')
        self.number = 0
        self.gone = False
        threading.Thread(target=self._read, daemon=True).start()
        self.hello = self.other(wire.HELLO)
        self.send(wire.WELCOME, 0, dict({'worker': 1, 'node': 'n1', 'cluster': 'c', 'cluster_id': 7, 'log_level': 'info',
                                         'threads': 32}, **welcome))

    def _read(self):
        try:
            while True:
                message = self.reader.next()
                if message is None:
                    if not self.reader.fill():
                        break
                    continue
                self._take(*message)
        except OSError:
            pass
        with self.arrived:
            self.gone = True
            self.arrived.notify_all()

    def _take(self, kind, number, header, body):
        header = json.loads(header or b'{}')
        if kind == wire.CALL:
            self.calls.append((header, body))
            threading.Thread(target=self._reply, args=(number, header, body), daemon=True).start()
        elif kind == wire.LOG:
            self.logs.append(header)
        elif kind in (wire.RESULT, wire.ERROR):
            with self.arrived:
                self.answers[number] = (kind, header, body)
                self.arrived.notify_all()
        else:
            self.others.put((kind, number, header, body))

    def _reply(self, number, header, body):
        found = self.on_call(header, body)
        if found is None:
            return
        said, data = found
        if isinstance(said, dict) and 'kind' in said:
            self.send(wire.ERROR, number, said)
        else:
            self.send(wire.REPLY, number, said, data)

    def other(self, kind):
        found = self.others.get(timeout=PATIENCE)
        assert found[0] == kind, found
        return found[2]

    def send(self, kind, number, header, body=b''):
        self.writer.send_all(wire.frames(kind, number, json.dumps(header).encode(), body))

    def load(self, folder, files=None, **header):
        if files is None:
            files = [os.path.relpath(os.path.join(at, name), folder)
                     for at, _, names in os.walk(folder) for name in names if name.endswith('.py')]
        self.send(wire.LOAD, 2, dict({'package': 'test', 'version': '1', 'dir': folder, 'files': files}, **header))
        kind, _, said, body = self.others.get(timeout=PATIENCE)
        assert kind == wire.LOADED, kind
        said = json.loads(body) if said.get('in_body') else said
        self.declared = {service['name']: service for service in said.get('services', ())}
        return said

    def begin(self, service, body=b'', **header):
        """Sends an INVOKE and returns its id."""
        self.number += 2
        number = self.number
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            header.setdefault('payload', 'json')
        said = {'service': service, 'cid': 'c' * 22 + '%02d' % (number % 100), 'payload': 'raw', 'deadline_ms': 10000,
                'channel': {'name': 'ch', 'type': 'rest', 'security': None, 'data_format': 'json'}}
        said.update(header)
        rest = {name: said.pop(name) for name in ('channel', 'http', 'job', 'environ', 'in_reply_to') if name in said}
        # The engine may say all in one object, or that last which few services look at.
        text = json.dumps(said) + '\n' + json.dumps(rest) if number % 4 else json.dumps(dict(said, **rest))
        self.writer.send_all(wire.frames(wire.INVOKE, number, text.encode(), body))
        return number

    def end(self, number):
        """The answer to an INVOKE: (type, header, body)."""
        with self.arrived:
            if not self.arrived.wait_for(lambda: number in self.answers or self.gone, PATIENCE):
                raise AssertionError('no answer')
            if number not in self.answers:
                raise ConnectionError('the worker is gone')
            return self.answers.pop(number)

    def invoke(self, service, body=b'', **header):
        return self.end(self.begin(service, body, **header))

    def result(self, service, body=b'', **header):
        """The data of a RESULT."""
        kind, head, data = self.invoke(service, body, **header)
        assert kind == wire.RESULT, head
        how = head.get('payload')
        return json.loads(data) if how == 'json' else data.decode() if how == 'text' else data

    def error(self, service, body=b'', **header):
        """The header of an ERROR."""
        kind, head, data = self.invoke(service, body, **header)
        assert kind == wire.ERROR, (head, data)
        return head

    def close(self):
        if not self.gone:
            self.sock.shutdown(socket.SHUT_RDWR)
        until(lambda: self.gone, 'the end of the connection')
        self.sock.close()
        os.close(self.out)
        try:
            self.zygote.exit_of(self.pid)
        except (OSError, ValueError):
            pass  # the zygote was taken away by the test


class WithZygote(unittest.TestCase):
    """Tests that start workers."""

    @classmethod
    def setUpClass(cls):
        cls.zygote = Zygote()
        cls.addClassCleanup(cls.zygote.close)

    def worker(self, files=None, folder=None, loaded=True, types_by_name=None, **fork):
        """A worker that has loaded these files (name: text), or those of a folder."""
        if files is not None:
            folder = tempfile.mkdtemp(prefix='zeugma-test-')
            self.addCleanup(shutil.rmtree, folder)
            for name, text in files.items():
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, 'w') as file:
                    file.write(text)
        worker = self.zygote.fork(**fork)
        self.addCleanup(worker.close)
        said = worker.load(folder, None if files is None else list(files), types_by_name=types_by_name)
        if loaded:
            self.assertNotIn('error', said, said.get('error', {}).get('traceback'))
        else:
            worker.fault = said['error']
        return worker
