"""The worker process: invocations at once, calls, cancellation, faults, drain."""

import os
import random
import socket
import time

from kit import WithZygote, until, wire

SOURCE = '''
import asyncio, os, sys, threading, time
from zeugma import Service, Forbidden

class Echo(Service):
    name = 'echo'
    def handle(self):
        self.response.payload = self.request.raw_request

class AsyncEcho(Service):
    name = 'async-echo'
    async def handle(self):
        await asyncio.sleep(0)
        self.response.payload = self.request.raw_request

class Sleep(Service):
    name = 'sleep'
    def handle(self):
        time.sleep(float(self.request.raw_request))

class AsyncSleep(Service):
    name = 'async-sleep'
    async def handle(self):
        await asyncio.sleep(float(self.request.raw_request))

class Meet(Service):
    name = 'meet'
    barrier = threading.Barrier(20)
    def handle(self):
        self.barrier.wait(15)

class AsyncMeet(Service):
    name = 'async-meet'
    there = []
    async def handle(self):
        self.there.append(self.cid)
        while len(self.there) < 20:
            await asyncio.sleep(0.001)

class Ask(Service):
    name = 'ask'
    def handle(self):
        self.response.payload = [self.invoke('other', {'n': n}) for n in range(3)]

class AsyncAsk(Service):
    name = 'async-ask'
    async def handle(self):
        self.response.payload = await asyncio.gather(*[self.invoke('other', {'n': n}) for n in range(3)])

class Spin(Service):
    name = 'spin'
    def handle(self):
        while True:
            pass

class Stubborn(Service):
    name = 'stubborn'
    def handle(self):
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                pass

class Exit(Service):
    name = 'exit'
    def handle(self):
        os._exit(3)

class Quit(Service):
    name = 'quit'
    def handle(self):
        sys.exit(4)

class Hungry(Service):
    name = 'hungry'
    def handle(self):
        self.kept = [bytearray(1024 * 1024) for _ in range(4096)]

class Threads(Service):
    name = 'threads'
    def handle(self):
        done = threading.Event()
        threads = [threading.Thread(target=done.wait, daemon=True) for _ in range(1000)]
        for thread in threads:
            thread.start()
        done.set()
        for thread in threads:
            thread.join()
        self.response.payload = {'count': len(threads)}

class Deep(Service):
    name = 'deep'
    def handle(self):
        def down():
            return down()
        down()

class Print(Service):
    name = 'print'
    def handle(self):
        print('one', 'line')
        print('another', file=sys.stderr)
        sys.stdout.write('half')
        sys.stdout.flush()
        self.logger.warning('careful %s', 1)
        self.info('as well')
        os.write(1, b'native\\n')
        self.response.payload = 'done'

class Cycle(Service):
    name = 'cycle'
    def handle(self):
        found = {}
        found['self'] = found
        self.response.payload = found

class Starve(Service):
    name = 'starve'
    def handle(self):
        import resource
        with open('/proc/self/statm') as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + 1536 * 1024, -1))  # less than any stack
        time.sleep(0.3)
        if self.request.raw_request:
            self.invoke('other')

class OwnThread(Service):
    name = 'own-thread'
    def handle(self):
        found = []
        threads = [threading.Thread(target=lambda n=n: found.append(self.invoke('other', {'n': n}))) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.response.payload = sorted(each['n'] for each in found)

class Refuse(Service):
    name = 'refuse'
    def handle(self):
        raise Forbidden(self.cid, 'not you')

class Fail(Service):
    name = 'fail'
    def handle(self):
        return 1 / 0
'''


class Workers(WithZygote):

    def start(self, source=SOURCE, **fork):
        return self.worker({'services.py': source}, **fork)

    def test_it_says_who_it_is(self):
        w = self.start()
        self.assertEqual(w.hello['protocol'], 1)
        self.assertEqual(w.hello['pid'], w.pid)
        self.assertTrue(w.hello['runtime'].startswith('zeugma '))
        w.send(wire.PING, 40, {'n': 1})
        self.assertEqual(w.other(wire.PONG), {'n': 1})

    def test_an_unknown_service(self):
        error = self.start().error('nobody')
        self.assertEqual((error['kind'], error['status']), ('not-found', 404))

    def test_many_at_once(self):
        w = self.start()
        for name in ('meet', 'async-meet'):
            # None of them ends before all of them are there.
            numbers = [w.begin(name) for _ in range(20)]
            for number in numbers:
                self.assertEqual(w.end(number)[0], wire.RESULT)

    def test_what_is_beyond_the_threads_waits(self):
        w = self.start(threads=2)
        numbers = [w.begin('sleep', b'0.05') for _ in range(9)]
        for number in numbers:
            self.assertEqual(w.end(number)[0], wire.RESULT)

    def test_a_thread_that_waits_for_a_call_gives_way(self):
        w = self.start(threads=1)
        deep = []

        def answer(header, body):
            # The callee runs in the same worker, as the engine may decide.
            deep.append(header)
            w.result('echo', b'x')
            return {'payload': 'json'}, b'{"ok": true}'

        w.on_call = answer
        numbers = [w.begin('ask') for _ in range(4)]
        for number in numbers:
            self.assertEqual(w.end(number)[0], wire.RESULT)
        self.assertEqual(len(deep), 12)

    def test_calls_from_both_worlds(self):
        w = self.start()
        w.on_call = lambda header, body: ({'payload': 'json'}, body)
        for name in ('ask', 'async-ask'):
            numbers = [w.begin(name) for _ in range(50)]
            for number in numbers:
                kind, _, body = w.end(number)
                self.assertEqual((kind, body), (wire.RESULT, b'[{"n":0},{"n":1},{"n":2}]'))

    def test_only_coroutines(self):
        w = self.start('''
from zeugma import Service
class Ask(Service):
    name = 'ask'
    async def handle(self):
        print('asking')
        self.response.payload = await self.invoke('other', {'n': 1})
''')
        w.on_call = lambda header, body: ({'payload': 'json'}, body)
        for number in [w.begin('ask') for _ in range(100)]:
            self.assertEqual(w.end(number)[2], b'{"n":1}')
        self.assertEqual(until(lambda: len(w.logs) == 100 and w.logs, 'all lines')[0]['text'], 'asking')

    def test_a_large_body_both_ways(self):
        w = self.start()
        body = os.urandom(1024 * 1024) * 16
        for name in ('echo', 'async-echo'):
            kind, header, data = w.invoke(name, body)
            self.assertEqual((kind, header['payload']), (wire.RESULT, 'bytes'))
            self.assertTrue(data == body)

    def test_an_endless_loop_is_ended_and_hurts_nobody(self):
        w = self.start()
        number = w.begin('spin')
        self.assertEqual(w.invoke('echo', b'x')[2], b'x')
        w.send(wire.CANCEL, number, {'id': number, 'reason': 'deadline'})
        kind, header, _ = w.end(number)
        self.assertEqual((kind, header['kind'], header['status']), (wire.ERROR, 'timeout', 504))
        self.assertEqual(w.invoke('echo', b'y')[2], b'y')

    def test_a_cancelled_call(self):
        w = self.start()
        w.on_call = lambda header, body: None
        for name in ('ask', 'async-ask', 'async-sleep'):
            number = w.begin(name, b'60')
            before = len(w.calls)
            if name != 'async-sleep':
                until(lambda: len(w.calls) > 0 and w.calls[-1][0]['parent'] == number, 'the call')
            w.send(wire.CANCEL, number, {'id': number, 'reason': 'client gone'})
            kind, header, _ = w.end(number)
            self.assertEqual((kind, header['kind']), (wire.ERROR, 'cancelled'), (name, before))

    def test_no_except_clause_keeps_a_cancelled_one_alive(self):
        w = self.start()
        number = w.begin('stubborn')
        w.send(wire.CANCEL, number, {'id': number, 'reason': 'deadline'})
        self.assertEqual(w.end(number)[1]['kind'], 'timeout')

    def test_cancellations_strike_nobody_else(self):
        w = self.start()
        for _ in range(100):
            number = w.begin('sleep', b'0.002')
            others = [w.begin('echo', b'x') for _ in range(5)]
            w.send(wire.CANCEL, number, {'id': number, 'reason': 'deadline'})
            for other in others:
                self.assertEqual(w.end(other)[2], b'x')
            self.assertIn(w.end(number)[0], (wire.RESULT, wire.ERROR))

    def test_what_waits_for_a_thread_can_be_cancelled(self):
        w = self.start(threads=1)
        first = w.begin('sleep', b'0.3')
        second = w.begin('sleep', b'60')
        w.send(wire.CANCEL, second, {'id': second, 'reason': 'deadline'})
        self.assertEqual(w.end(first)[0], wire.RESULT)
        self.assertEqual(w.end(second)[1]['kind'], 'timeout')

    def test_a_mix_of_everything_is_answered(self):
        names = ['echo'] * 8 + ['sleep'] * 3 + ['ask'] * 4 + ['async-ask'] * 2 + ['async-echo', 'spin', 'print', 'async-sleep']
        for threads in (1, 4):
            w = self.start(threads=threads)
            w.on_call = lambda header, body: (time.sleep(len(body) % 3 * 0.001), ({'payload': 'json'}, body))[1]
            chosen = random.Random(threads)
            for _ in range(4):
                numbers = []
                for name in chosen.choices(names, k=60):
                    numbers.append((name, w.begin(name, b'%f' % (chosen.random() * 0.005))))
                for name, number in numbers:
                    if name == 'spin' or chosen.random() < 0.1:
                        w.send(wire.CANCEL, number, {'id': number, 'reason': 'deadline'})
                for name, number in numbers:
                    kind, header, _ = w.end(number)
                    self.assertIn(header.get('kind'), (None, 'timeout'), name)

    def test_exits(self):
        w = self.start()
        self.assertEqual(w.error('quit')['message'], 'SystemExit: 4')
        number = w.begin('exit')
        with self.assertRaises(ConnectionError):
            w.end(number)
        self.assertEqual(self.zygote.exit_of(w.pid)['status'], 3)

    def test_too_much_memory(self):
        w = self.start(memory=600 * 1024 * 1024)
        error = w.error('hungry')
        self.assertEqual((error['kind'], error['message']), ('internal', 'MemoryError: '))
        self.assertEqual(w.invoke('echo', b'x')[2], b'x')

    def test_a_thousand_threads(self):
        w = self.start()
        self.assertEqual(w.result('threads'), {'count': 1000})

    def test_no_thread_is_left(self):
        for body in (b'', b'call'):
            w = self.start()
            w.on_call = lambda header, body: (time.sleep(0.1), ({'payload': 'none'}, b''))[1]
            numbers = [w.begin('starve', body)] + [w.begin('echo', b'x') for _ in range(20)]
            for number in numbers:
                kind, header, _ = w.end(number)
                self.assertTrue(kind == wire.RESULT or 'MemoryError' in header['message'], header)

    def test_threads_of_a_service_call_as_well(self):
        w = self.start()
        w.on_call = lambda header, body: ({'payload': 'json'}, body)
        for number in [w.begin('own-thread') for _ in range(5)]:
            self.assertEqual(w.end(number)[2], b'[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]')

    def test_endless_recursion(self):
        w = self.start()
        self.assertIn('RecursionError', w.error('deep')['message'])
        self.assertIn('RecursionError', w.error('cycle')['message'])

    def test_print_and_log(self):
        w = self.start()
        self.assertEqual(w.invoke('print')[2], b'done')
        until(lambda: len(w.logs) >= 5, 'five lines')
        found = [(line['logger'], line['level'], line['text']) for line in w.logs]
        self.assertEqual(found, [('stdout', 'info', 'one line'), ('stderr', 'info', 'another'), ('stdout', 'info', 'half'),
                                 ('print', 'warning', 'careful 1'), ('print', 'info', 'as well')])
        self.assertEqual({line['cid'] for line in w.logs}, {'c' * 22 + '02'})
        self.assertEqual({line['invoke'] for line in w.logs}, {2})
        self.assertEqual(os.read(w.out, 100), b'native\n')

    def test_errors(self):
        w = self.start()
        error = w.error('refuse')
        self.assertEqual((error['kind'], error['status'], error['message']), ('forbidden', 403, 'not you'))
        self.assertNotIn('traceback', error)
        error = w.error('fail')
        self.assertEqual((error['kind'], error['status']), ('internal', 500))
        self.assertEqual(error['message'], 'ZeroDivisionError: division by zero')
        self.assertRegex(error['traceback'], r'^Traceback .*\n  File ".*/services\.py", line \d+, in handle\n')

    def test_drain(self):
        w = self.start()
        number = w.begin('sleep', b'0.2')
        w.send(wire.PING, 0, {})
        w.other(wire.PONG)
        w.send(wire.DRAIN, 0, {})
        self.assertEqual(w.end(number)[0], wire.RESULT)
        w.other(wire.BYE)
        self.assertEqual(self.zygote.exit_of(w.pid)['status'], 0)

    def test_it_ends_with_its_socket(self):
        w = self.start()
        w.begin('spin')
        w.begin('sleep', b'60')
        w.result('echo', b'x')
        w.sock.shutdown(socket.SHUT_RDWR)
        self.assertEqual(self.zygote.exit_of(w.pid)['status'], 0)
