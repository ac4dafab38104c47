"""Measures the invoke path of one worker: requests over its socket, 32 in flight, no engine.

    python3 python/bench/invoke.py [--seconds 3] [--in-flight 32]

It says requests per second, and the CPU time of the worker per request, which is what counts on a busy machine."""

import argparse
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'tests'))

import kit  # noqa: E402
from zeugma import wire  # noqa: E402

SOURCE = '''
from zeugma import Service

class GetCustomer(Service):
    name = 'get-customer'

    class SimpleIO:
        input_required = ('cust_id',)
        output_required = ('name', 'is_active', 'region')

    KIND handle(self):
        self.response.payload.name = 'Customer %s' % self.request.input.cust_id
        self.response.payload.is_active = True
        self.response.payload.region = 'EMEA'


class Calls(Service):
    name = 'calls'

    class SimpleIO:
        input_required = ('cust_id',)
        output_required = ('name',)

    KIND handle(self):
        found = AWAIT self.invoke('crm', {'id': self.request.input.cust_id})
        self.response.payload.name = found['name']
'''

REPLY = b'{"payload":"json"}', b'{"name":"x"}'


def cpu(pid):
    """CPU time of a process in seconds."""
    with open(f'/proc/{pid}/stat') as file:
        fields = file.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure(worker, service, seconds, in_flight):
    """Runs one service as fast as it goes."""
    header = json.dumps({
        'service': service, 'cid': 'a' * 24, 'deadline_ms': 30000, 'payload': 'json',
        'input': {'cust_id': 1}}).encode() + b'\n' + json.dumps({
        'channel': {'name': 'get-customer', 'type': 'rest', 'security': None, 'data_format': 'json'},
        'http': {'method': 'GET', 'path': '/customer/1', 'query': {}, 'params': {'cust_id': '1'},
                 'headers': {'accept': '*/*', 'host': 'localhost:11223', 'user-agent': 'load'}, 'peer': '127.0.0.1'}}).encode()
    sock, reader = worker.sock, worker.reader
    number, done = worker.number + 2, 0
    sock.sendall(b''.join(wire.frame(wire.INVOKE, number + 2 * n, header, b'') for n in range(in_flight)))
    number += 2 * in_flight
    used, begin = cpu(worker.pid), time.perf_counter()
    end, latest, open_ = begin + seconds, begin, in_flight
    while open_:
        out = []
        while True:
            message = reader.next()
            if message is None:
                break
            kind = message[0]
            if kind == wire.CALL:
                out.append(wire.frame(wire.REPLY, message[1], *REPLY))
                continue
            assert kind == wire.RESULT, message
            done += 1
            if latest < end:
                out.append(wire.frame(wire.INVOKE, number, header, b''))
                number += 2
            else:
                open_ -= 1
        if out:
            sock.sendall(b''.join(out))
        elif open_:
            reader.fill()
        latest = time.perf_counter()
    took = latest - begin
    worker.number = number
    return done / took, (cpu(worker.pid) - used) / done * 1e6


def main():
    """All variants, one line each."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--seconds', type=float, default=3)
    parser.add_argument('--in-flight', type=int, default=32)
    options = parser.parse_args()
    zygote = kit.Zygote()
    kit.Worker._read = lambda self: None
    kit.Worker.other = lambda self, kind: None
    for kind, wait, label in (('def', '', 'def handle'), ('async def', 'await', 'async def handle')):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, 'bench.py'), 'w') as file:
                file.write(SOURCE.replace('KIND', kind).replace('AWAIT', wait))
            for in_flight in {1, options.in_flight}:
                worker = zygote.fork()
                worker.send(wire.LOAD, 2, {'package': 'b', 'version': '1', 'dir': folder, 'files': ['bench.py']})
                while worker.reader.parts is not None:
                    message = worker.reader.next()
                    if message is None:
                        worker.reader.fill()
                    elif message[0] == wire.LOADED:
                        break
                for service in ('get-customer', 'calls'):
                    rate, each = measure(worker, service, options.seconds, in_flight)
                    print(f'{label:18} {service:13} {in_flight:3} in flight: {rate:8.0f}/s, '
                          f'{each:5.1f} us of CPU each: {1e6 / each:6.0f}/s per core', flush=True)
                with open(f'/proc/{worker.pid}/smaps_rollup') as file:
                    sizes = dict(line.split(':') for line in file.read().splitlines()[1:])
                print(f'{"":18} Rss {sizes["Rss"].strip()}, Pss {sizes["Pss"].strip()}')
                worker.sock.close()
    zygote.close()


if __name__ == '__main__':
    main()
