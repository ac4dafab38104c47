"""The process that workers are forked from: it has imported everything and does nothing else.

Standard input is a socket to the engine, over which lines of JSON go both ways; descriptors come with them."""

import gc
import json
import os
import platform
import resource
import selectors
import signal
import socket
import sys

if __name__ == '__main__':
    # Started as a file: the folder above is where the package is, and this one must not hide modules.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: The longest line, in bytes.
LONGEST = 65536


class Zygote:
    """Forks workers, tells of their ends, and takes them along when it goes."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b''
        self.fds = []
        self.children = set()

    def run(self):
        """Obeys until the engine is gone."""
        wake_in, wake_out = socket.socketpair()
        for side in (wake_in, wake_out):
            side.setblocking(False)
        self.wakers = (wake_in, wake_out)
        signal.set_wakeup_fd(wake_out.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        selector = selectors.DefaultSelector()
        selector.register(self.sock, selectors.EVENT_READ)
        selector.register(wake_in, selectors.EVENT_READ)
        self.selector = selector
        self.say({'op': 'ready', 'pid': os.getpid(), 'python': platform.python_version(), 'protocol': 1})
        while True:
            for key, _ in selector.select():
                if key.fileobj is wake_in:
                    try:
                        signals = wake_in.recv(4096)
                    except BlockingIOError:
                        continue
                    self.reap()
                    if signal.SIGUSR1 in signals:
                        self.learn()
                elif not self.read():
                    return

    @staticmethod
    def learn():
        """A worker has coroutines: those to come are spared the import. The others stay small without it."""
        import asyncio  # noqa: F401
        gc.collect()
        gc.freeze()

    def say(self, message):
        """One line to the engine."""
        self.sock.sendall(json.dumps(message).encode() + b'\n')

    def read(self):
        """Takes what came; False if the engine is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, LONGEST, 16)
        except ConnectionResetError:
            return False
        self.fds.extend(fds)
        if not data:
            return False
        self.data += data
        *lines, self.data = self.data.split(b'\n')
        if len(self.data) > LONGEST:
            return False
        for line in lines:
            if line.strip():
                self.obey(json.loads(line))
        return True

    def obey(self, order):
        """One order of the engine."""
        if order['op'] == 'fork':
            self.fork(order)
        elif order['op'] == 'kill':
            pid = order['pid']
            if pid in self.children:
                self.kill(pid)

    @staticmethod
    def kill(pid):
        """Ends a worker that was not reaped yet, and what it started."""
        for act in (os.killpg, os.kill):
            try:
                act(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass

    def fork(self, order):
        """Makes a worker of the next two descriptors."""
        number = order.get('id')
        if len(self.fds) < 2:
            self.say({'op': 'failed', 'id': number, 'error': 'a worker needs two descriptors'})
            return
        fds, self.fds = self.fds[:2], self.fds[2:]
        try:
            pid = os.fork()
        except OSError as error:
            self.say({'op': 'failed', 'id': number, 'error': str(error)})
        else:
            if pid == 0:
                try:
                    self.become(fds, order.get('limits') or {})
                finally:
                    os._exit(70)
            try:
                os.setpgid(pid, pid)
            except OSError:
                pass
            self.children.add(pid)
            self.say({'op': 'forked', 'id': number, 'pid': pid})
        for fd in fds:
            os.close(fd)

    def become(self, fds, limits):
        """The child: a worker."""
        from zeugma import worker
        worker.ZYGOTE = None if 'asyncio' in sys.modules else os.getppid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.setpgid(0, 0)
        self.selector.close()
        for side in self.wakers:
            side.close()
        self.sock.detach()
        os.dup2(fds[1], 1)
        os.dup2(fds[1], 2)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        keep = os.dup2(fds[0], 3, inheritable=False) if fds[0] != 3 else 3
        os.set_inheritable(keep, False)
        os.closerange(4, 1024)
        memory = limits.get('memory')
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        worker.main(socket.socket(fileno=keep))

    def reap(self):
        """Tells of children that ended."""
        while self.children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.children.clear()
                return
            if pid == 0:
                return
            self.children.discard(pid)
            signalled = os.WIFSIGNALED(status)
            self.say({'op': 'exited', 'pid': pid, 'status': None if signalled else os.WEXITSTATUS(status),
                      'signal': os.WTERMSIG(status) if signalled else None})

    def end(self):
        """Takes all workers along."""
        signal.set_wakeup_fd(-1)
        for pid in self.children:
            self.kill(pid)


def main():
    """The whole life of the process."""
    import zeugma.worker  # noqa: F401  what workers need is imported before they are forked
    zeugma.worker.prepare()
    gc.collect()
    gc.freeze()
    zygote = Zygote(socket.socket(fileno=0))
    try:
        zygote.run()
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        zygote.end()


if __name__ == '__main__':
    main()
