"""The process that workers are forked from: it ends them, tells of their ends, and takes them along."""

import glob
import os
import signal
import socket
import tempfile
import venv

import kit
from kit import until


class Zygotes(kit.unittest.TestCase):

    def test_all_workers_end_with_it(self):
        zygote = kit.Zygote()
        self.addCleanup(zygote.close)
        self.assertEqual(zygote.ready['op'], 'ready')
        workers = [zygote.fork() for _ in range(3)]
        for worker in workers:
            self.addCleanup(worker.close)
        zygote.sock.shutdown(socket.SHUT_RDWR)
        zygote.process.wait(kit.PATIENCE)
        for worker in workers:
            until(lambda: worker.gone, 'the end of a worker')

    def test_it_kills_only_its_own(self):
        zygote = kit.Zygote()
        self.addCleanup(zygote.close)
        first, second = zygote.fork(), zygote.fork()
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        zygote.order({'op': 'kill', 'pid': os.getpid()})
        zygote.order({'op': 'kill', 'pid': first.pid})
        said = zygote.exit_of(first.pid)
        self.assertEqual((said['signal'], said['status']), (signal.SIGKILL, None))
        until(lambda: first.gone, 'the end of the first')
        self.assertFalse(second.gone)

    def test_a_fork_without_descriptors(self):
        zygote = kit.Zygote()
        self.addCleanup(zygote.close)
        zygote.order({'op': 'fork', 'id': 9})
        self.assertEqual(zygote.expect('failed')['id'], 9)
        worker = zygote.fork()
        self.addCleanup(worker.close)
        self.assertEqual(worker.hello['pid'], worker.pid)

    def test_a_frame_that_is_none_ends_the_worker(self):
        zygote = kit.Zygote()
        self.addCleanup(zygote.close)
        for junk in (b'\xff' * 64, kit.wire.frame(kit.wire.INVOKE, 2, b'{"service"')):
            worker = zygote.fork()
            self.addCleanup(worker.close)
            worker.load(kit.FIXTURES + '/old')
            worker.sock.sendall(junk)
            self.assertNotEqual(zygote.exit_of(worker.pid)['status'], 0)
            said = os.read(worker.out, 65536).decode()
            self.assertIn('Error', said.splitlines()[-1])

    def test_a_virtual_environment(self):
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder, symlinks=True)
            site, = glob.glob(os.path.join(folder, 'lib', 'python*', 'site-packages'))
            os.mkdir(os.path.join(folder, 'package'))
            for path, text in (('package/a.py', 'import installed_here\nclass A(Service):\n    name = installed_here.NAME\n'),
                               (os.path.join(site, 'installed_here.py'), 'NAME = "from-the-environment"\n')):
                with open(os.path.join(folder, path), 'w') as file:
                    file.write(text)
            zygote = kit.Zygote(os.path.join(folder, 'bin', 'python3'))
            self.addCleanup(zygote.close)
            worker = zygote.fork()
            self.addCleanup(worker.close)
            self.assertNotIn('error', worker.load(os.path.join(folder, 'package')))
            self.assertEqual(list(worker.declared), ['from-the-environment'])
