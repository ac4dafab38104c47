"""Every attribute that older services use: it is there, or the error says what to use instead."""

from kit import WithZygote

SOURCE = '''
import datetime
from zato.distlock import LockTimeout
from zato.server.service import Service
from zato.common import SCHEDULER, CHANNEL, DATA_FORMAT

class Metadata(Service):
    """Here."""
    name = 'metadata'
    def handle(self):
        self.response.payload = {
            'cid': self.cid, 'name': self.name, 'get_name': self.get_name(), 'impl_name': self.impl_name,
            'in_reply_to': self.in_reply_to, 'job_type': self.job_type, 'data_format': self.data_format,
            'transport': self.transport, 'environ': self.environ, 'cluster_id': self.server.cluster_id,
            'server': [self.server.name, self.server.cluster_name], 'chan': self.chan is self.channel,
            'channel': [self.channel.id, self.channel.name, self.channel.type, self.channel.is_internal],
            'security': [self.channel.security.id, self.channel.security.name, self.channel.security.type],
        }

class Requests(Service):
    name = 'requests'
    def handle(self):
        request = self.request
        self.response.payload = {
            'raw': request.raw_request.decode(), 'payload': request.payload, 'input': request.input.deepcopy(),
            'any': request.input.require_any('none', 'a'), 'params': request.channel_params,
            'http': [request.http.method, request.http.path, request.http.GET.a, request.http.params.p, request.http.user_agent],
            'form': request.http.get_form_data() == request.http.POST}

class Responses(Service):
    name = 'responses'
    def handle(self):
        response = self.response
        response.payload = 'text'
        assert (response.status_code, response.result, response.result_details) == (200, 'ZATO_OK', '')
        response.status_code = 202
        response.content_type = 'text/x'
        response.content_encoding = 'identity'
        response.headers['X-A'] = 'b'

class Times(Service):
    name = 'times'
    def handle(self):
        time = self.time
        formats = [time.now(), time.utcnow(), time.today(), time.tomorrow(), time.yesterday(), time.isonow(), time.isoutcnow(),
                   time.reformat('2026-02-21', 'YYYY-MM-DD', 'DD/MM/YYYY')]
        self.response.payload = [formats[-1], all(isinstance(one, str) for one in formats),
                                 isinstance(time.utcnow(needs_format=False), datetime.datetime)]

class Calls(Service):
    name = 'calls'
    def handle(self):
        said = [self.invoke('a', {'x': 1}, as_bunch=True).y, self.invoke('a', x=1), self.invoke_by_impl_name('a', 'text'),
                self.invoke_by_id('7'), self.invoke('a', '', 'invoke', 'dict', None, False, timeout=3, raise_timeout=True),
                self.invoke_async('b', {'x': 1}, 'invoke-async', 'dict', 15, True, None, None, {}, {}),
                self.invoke_async('b', 'later', delay=2, callback=['c', Metadata, self], cid=self.cid, environ={'k': 'v'}),
                self.invoke_async('b', callback=False)]
        self.response.payload = said

class Patterns(Service):
    name = 'patterns'
    def handle(self):
        self.response.payload = [
            self.patterns.fanout.invoke({'a': {'x': 1}, 'b': 'text', Metadata: b'1'}, 'done', on_target=['each', Metadata]),
            self.patterns.parallel.invoke({'a': ''}, 'each', cid=self.cid),
            self.patterns.invoke_retry.invoke('a', {'x': 1}, repeats=2, seconds=0)]

class Fallback(Service):
    name = 'fallback'
    def handle(self):
        again = self.patterns.invoke_retry.invoke
        found = []
        for wrong in [{}, {'callback': 'cb'}, {'callback': 'cb', 'repeats': 2},
                      {'callback': 'cb', 'repeats': 2, 'seconds': 1, 'minutes': 1},
                      {'callback': 'unknown', 'repeats': 2, 'seconds': 1}]:
            try:
                again('down', async_fallback=True, **wrong)
            except ValueError as error:
                found.append(str(error))
        found.append(again('down', 'p', async_fallback=True, callback='cb', repeats=2, minutes=1, context=[1]))
        found.append(again('a', 'p', async_fallback=True, callback='cb', repeats=2, minutes=1))
        self.response.payload = found

class Locks(Service):
    name = 'locks'
    def handle(self):
        with self.lock():
            pass
        with self.lock('mine', ttl=5, block=True) as lock:
            fence = lock.fence
        try:
            with self.lock('taken', block=False):
                pass
        except LockTimeout as error:
            self.response.payload = [fence, str(error)]

class Logs(Service):
    name = 'logs'
    def handle(self):
        self.logger.info('a')
        self.log_input('in')
        self.response.payload = 'x'
        self.log_output('out')

class Constants(Service):
    name = 'constants'
    def handle(self):
        self.response.payload = [SCHEDULER.JOB_TYPE.ONE_TIME, SCHEDULER.JOB_TYPE.INTERVAL_BASED, SCHEDULER.JOB_TYPE.CRON_STYLE,
                                 CHANNEL.INVOKE_ASYNC_CALLBACK, DATA_FORMAT.JSON]

class Connections(Service):
    name = 'connections'
    def handle(self):
        out = self.out
        for conn in [out.ftp['x'], out.ftp.get('x'), out.plain_http['x'], out.rest['x'].conn, self.rest['x'], out.vault['x'],
                     self.outgoing.vault.get('x').client]:
            assert conn is not None
        out.sql['x'].execute(1)
        self.response.payload = out.vault['x'].client.read('p')

class Use(Service):
    name = 'use'
    def handle(self):
        owner, _, name = self.request.raw_request.decode().rpartition('.')
        found = self if not owner else getattr(self, owner)
        try:
            getattr(found, name)
        except AttributeError as error:
            self.response.payload = str(error)

class Send(Service):
    name = 'send'
    def handle(self):
        self.outgoing.amqp.send('message', 'name')
'''

HTTP = {'method': 'GET', 'path': '/c/5', 'query': {'a': ['1']}, 'params': {'p': '5'}, 'headers': {'user-agent': 'tests'}}


class Attributes(WithZygote):

    def setUp(self):
        self.w = self.worker({'s.py': SOURCE})
        self.w.on_call = self.answer

    @staticmethod
    def answer(header, body):
        op, name, kw = header['op'], header['name'], header['kw']
        if header['kind'] == 'lock':
            return {'result': None if name == 'taken' else 7 if op == 'take' else kw['fence'] == 7}, b''
        if op == 'invoke':
            if name == 'down':
                return {'kind': 'upstream', 'status': 502, 'message': 'down'}, b''
            return {'payload': 'json'}, b'{"y": 2}'
        if op == 'unknown':
            return {'result': [name for name in kw['names'] if name == 'unknown']}, b''
        if op == 'read':
            return {'kind': 'not-found', 'status': 404, 'message': 'none'}, b''
        return {'result': 'c' * 24}, b''

    def asked(self, op):
        """What was asked in this way: (name, what was said, the body)."""
        return [(h['name'], h['kw'], body) for h, body in self.w.calls if h['op'] == op]

    def test_what_is_known(self):
        found = self.w.result('metadata', job={'name': 'j', 'job_type': 'one_time'}, in_reply_to='d' * 24, environ={'k': 1})
        self.assertEqual(len(found.pop('cid')), 24)
        self.assertEqual(found, {
            'name': 'metadata', 'get_name': 'metadata', 'impl_name': 's.Metadata', 'in_reply_to': 'd' * 24, 'job_type': 'one_time',
            'data_format': 'json', 'transport': 'rest', 'environ': {'k': 1}, 'cluster_id': 7, 'server': ['n1', 'c'], 'chan': True,
            'channel': [None, 'ch', 'rest', False], 'security': [None, None, None]})
        self.assertIsNone(self.w.result('metadata')['in_reply_to'])

    def test_request_and_response(self):
        found = self.w.result('requests', {'b': 1}, http=HTTP)
        self.assertEqual(found, {
            'raw': '{"b": 1}', 'payload': {'b': 1}, 'input': {'a': '1', 'p': '5'}, 'any': '1', 'params': {'a': '1', 'p': '5'},
            'http': ['GET', '/c/5', '1', '5', 'tests'], 'form': True})
        self.assertEqual(self.w.invoke('responses')[1:], (
            {'payload': 'text', 'status': 202, 'content_type': 'text/x',
             'headers': {'X-A': 'b', 'Content-Encoding': 'identity'}}, b'text'))

    def test_time_logs_and_constants(self):
        self.assertEqual(self.w.result('times'), ['21/02/2026', True, True])
        self.assertEqual(self.w.result('logs'), 'x')
        self.assertEqual(self.w.result('constants'),
                         ['one_time', 'interval_based', 'cron_style', 'invoke-async-callback', 'json'])

    def test_calls(self):
        found = self.w.result('calls')
        self.assertEqual(found, [2] + [{'y': 2}] * 4 + ['c' * 24] * 3)
        first, second, third = self.asked('invoke_async')
        self.assertEqual((first[0], first[1]['callback'], first[2]), ('b', None, b'{"x":1}'))
        kw = second[1]
        self.assertEqual((kw['callback'], kw['delay'], kw['environ'], len(kw['cid']), kw['payload']),
                         (['c', 'metadata', 'calls'], 2, {'k': 'v'}, 24, 'text'))
        self.assertEqual(third[1]['callback'], [])

    def test_patterns(self):
        self.assertEqual(self.w.result('patterns'), ['c' * 24, 'c' * 24, {'y': 2}])
        fanout, parallel = self.asked('fanout')
        self.assertEqual(fanout[1], {'targets': [['a', 'json', 7], ['b', 'text', 4], ['metadata', 'bytes', 1]],
                                     'on_target': ['each', 'metadata'], 'on_final': ['done'], 'cid': None})
        self.assertEqual(fanout[2], b'{"x":1}text1')
        self.assertEqual((parallel[1]['on_target'], parallel[1]['on_final'], len(parallel[1]['cid'])), (['each'], [], 24))
        declared = self.w.declared['patterns']
        self.assertEqual(declared['invokes'], ['a', 'b', 'done', 'each', 'metadata'])
        self.assertIs(declared['dynamic_invokes'], False)
        self.assertEqual(self.w.declared['calls']['invokes'], ['a', 'b', 'c', 'metadata'])

    def test_retries_in_the_background(self):
        *wrong, cid, answer = self.w.result('fallback')
        self.assertEqual(len(wrong), 5)
        self.assertEqual(wrong[3:], ['either seconds or minutes', "the callback 'unknown' is no service"])
        self.assertEqual((cid, answer), ('c' * 24, {'y': 2}))
        (name, kw, body), = self.asked('retry')
        self.assertEqual((name, kw, body), ('down', {'repeats': 2, 'pause': 60, 'callback': ['cb'], 'context': [1],
                                                     'payload': 'text'}, b'p'))

    def test_locks(self):
        self.assertEqual(self.w.result('locks'), [7, 'somebody else has the lock taken'])
        self.assertEqual([(name, kw) for name, kw, _ in self.asked('take')], [
            ('locks', {'ttl': 20, 'block': 10}), ('mine', {'ttl': 5, 'block': 5}), ('taken', {'ttl': 20, 'block': 0})])
        self.assertEqual([kw['fence'] for _, kw, _ in self.asked('give')], [7, 7])

    def test_connections(self):
        self.assertEqual(self.w.invoke('connections')[1], {'payload': 'none'})
        self.assertEqual(self.asked('execute')[0][0], 'x')
        self.assertIn("amqp has no 'send'", self.w.error('send')['message'])

    def test_what_is_not_there_says_so(self):
        for name in ('kvdb', 'odb', 'pubsub', 'cloud', 'definition', 'im', 'email', 'search', 'cassandra_conn', 'cassandra_query',
                     'msg', 'crypto', 'user_config', 'static_config', 'wsgi_environ', 'wsx', 'servers', 'sso', 'audit_pii',
                     'schema', 'usage', 'processing_time'):
            with self.subTest(name=name):
                self.assertIn('use ', self.w.result('use', name.encode()))
        for name in ('request.amqp', 'request.ibm_mq', 'request.wmq', 'patterns.other'):
            with self.subTest(name=name):
                self.assertIn(name.rpartition('.')[2], self.w.result('use', name.encode()))
