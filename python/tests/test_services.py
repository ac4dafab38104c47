"""What services see and say: request, response, channel, hooks, verbs, connections, caches."""

import json

from kit import WithZygote, until

SOURCE = '''
import datetime
from zeugma import Service, BadRequest, HTTPException, NotFound, TooManyRequests, Unauthorized, Int
from zeugma import ServiceUnavailable

class Look(Service):
    name = 'look'
    def handle(self):
        http, chan = self.request.http, self.channel
        self.response.payload = {
            'payload': self.request.payload if not isinstance(self.request.payload, bytes) else 'bytes',
            'input': self.request.input, 'method': http.method, 'path': http.path, 'GET': http.GET, 'params': http.params,
            'agent': http.user_agent, 'header': http.headers['X-One'], 'channel_params': self.request.channel_params,
            'chan': [chan.name, chan.type, chan.data_format], 'same': self.chan is self.channel,
            'security': [chan.security.name, chan.security.type, chan.security.username, chan.security.has('admin'),
                         chan.security.has('other'), bool(chan.security)],
            'cluster_id': self.server.cluster_id, 'cid': self.cid, 'environ': self.environ}

class Form(Service):
    name = 'form'
    def handle(self):
        self.response.payload = self.request.http.POST

class Say(Service):
    name = 'say'
    def handle(self):
        what = self.request.raw_request.decode()
        payload = {'text': 'x', 'bytes': b'\\xff', 'none': None, 'empty': '', 'list': [1], 'number': 5, 'false': False,
                   'time': {'t': datetime.date(2026, 1, 2)}, 'nan': float('nan'), 'object': object(),
                   'surrogate': '\\ud800', 'set': {1}}
        if what == 'free':
            self.response.payload.a = 1
            self.response.payload['b'] = 2
        elif what == 'rows':
            self.response.payload.append({'a': 1})
            self.response.payload.append({'a': 2})
        elif what == 'no rows':
            self.response.payload[:] = []
        else:
            self.response.payload = payload[what]

class Dress(Service):
    name = 'dress'
    def handle(self):
        self.response.status_code = 201
        self.response.headers['Location'] = '/x'
        self.response.headers['X-Many'] = ['a', 'b']
        self.response.content_type = 'text/csv'
        self.response.payload = 'a,b'

class Verbs(Service):
    name = 'verbs'
    def handle(self):
        self.response.payload = 'handle'
    def handle_GET(self):
        self.response.payload = 'GET'
    def handle_POST(self):
        self.response.payload = 'POST'

class OnlyVerbs(Service):
    name = 'only-verbs'
    def handle_GET(self):
        self.response.payload = 'GET'

class Hooks(Service):
    name = 'hooks'
    def accept(self):
        self.seen = ['accept']
        return self.request.raw_request != b'refuse'
    def note(name):
        def hook(self):
            self.seen.append(name)
            if self.request.raw_request.decode() == name:
                raise BadRequest(self.cid, name + ' failed')
        return hook
    before_handle, after_handle, finalize_handle = note('before_handle'), note('after_handle'), note('finalize_handle')
    validate_input, validate_output = note('validate_input'), note('validate_output')
    before_job, after_job = note('before_job'), note('after_job')
    before_one_time_job, after_one_time_job = note('before_one_time_job'), note('after_one_time_job')
    before_cron_style_job = note('before_cron_style_job')
    def handle(self):
        self.seen.append('handle')
        self.response.payload = self.seen

class AsyncHooks(Service):
    name = 'async-hooks'
    async def accept(self):
        return self.request.raw_request != b'refuse'
    async def before_handle(self):
        self.seen = ['before']
    def validate_input(self):
        self.seen.append('validate')
    async def handle(self):
        self.response.payload = self.seen

class Raise(Service):
    name = 'raise'
    def handle(self):
        what = self.request.raw_request.decode()
        raise {'bad': BadRequest(self.cid, 'too bad'), 'bare': NotFound(), 'text': NotFound('only text'),
               'cid': NotFound(self.cid), 'teapot': HTTPException(self.cid, 'short and stout', 418),
               'busy': TooManyRequests(self.cid, 'slow', retry_after=7), 'down': ServiceUnavailable(self.cid, 'down'),
               'who': Unauthorized(self.cid, 'who', 'Basic realm="x"'), 'odd': HTTPException(self.cid, 'odd', 503)}[what]

class Init(Service):
    name = 'init'
    kept = []
    def __init__(self):
        super().__init__()
        self.own = 1
    def handle(self):
        self.kept.append(self.own)
        self.response.payload = self.kept

class NoHandle(Service):
    name = 'no-handle'

class Missing(Service):
    name = 'missing'
    def handle(self):
        getattr(self, self.request.raw_request.decode())

class Ftp(Service):
    name = 'ftp'
    def handle(self):
        ftp = self.outgoing.ftp.get('F')
        assert self.out.ftp['F'].name == ftp.name
        ftp.setcontents('/a', 'text')
        ftp.append('/a', b'more')
        self.response.payload = [
            ftp.listdir('/d'), ftp.listdir('/d', wildcard='*.txt', full=True), ftp.listdir('/d', dirs_only=True),
            ftp.exists('/d/a.txt'), ftp.exists('/d/zzz'), ftp.isfile('/d/a.txt'), ftp.isdir('/d/a.txt'), ftp.isdir('/d/sub'),
            ftp.exists('/'), ftp.getsize('/d/a.txt'), ftp.getcontents('/d/a.txt', 'r'), ftp.exists('/gone/x')]
        ftp.makedir('/x/y', recursive=True)
        ftp.rename('/a', '/b')
        ftp.removedir('/x')

class AsyncFtp(Service):
    name = 'async-ftp'
    async def handle(self):
        ftp = self.outgoing.ftp['F']
        await ftp.makedir('/x/y', recursive=True)
        self.response.payload = [await ftp.exists('/d/a.txt'), await ftp.exists('/gone/x'), await self.cache.items()]

class Http(Service):
    name = 'http'
    def handle(self):
        erp = self.outgoing.plain_http['ERP']
        found = erp.conn.post(self.cid, {'a': 1}, params={'p': '1'}, headers={'X-A': 'b'})
        again = self.out.rest.get('ERP').conn.put(self.cid, 'text')
        for method in ('get', 'delete', 'patch', 'options', 'head'):
            getattr(erp, method)(self.cid)
        erp.get(self.cid, {'q': 1})
        self.response.payload = [found.status_code, found.ok, found.data.x, found.text, found.headers['content-type'],
                                 found.headers['Content-Type'], again.status_code]

class Other(Service):
    name = 'other-kind'
    def handle(self):
        self.response.payload = self.outgoing.sql['DB'].execute('select', 1, size=2)

class Caching(Service):
    name = 'caching'
    def handle(self):
        cache = self.cache.default
        cache.set('a.1', {'x': 1}, expiry=5)
        found = [cache.get('a.1'), cache.get('no'), cache.get('no', 3), cache.keys(), cache.get_by_prefix('a.'),
                 cache.delete('a.1'), cache.delete_by_regex('^b'), cache.expire('a.1', 9), 'a.1' in cache]
        self.cache['mine'].set('k', 'v')
        self.response.payload = found

class Later(Service):
    name = 'later'
    def handle(self):
        self.response.payload = self.invoke_async('target', {'a': 1}, callback=self)

class Wrong(Service):
    name = 'wrong-output'
    output = 'a', Int('n')
    def handle(self):
        self.response.payload.a = 'x'
        self.response.payload.n = 'five'
'''

HTTP = {'method': 'GET', 'path': '/c/5', 'query': {'q': ['1'], 'm': ['1', '2'], 'id': ['query']}, 'params': {'id': 'path'},
        'headers': {'x-one': 'uno', 'User-Agent': 'tests'}, 'peer': '127.0.0.1'}


class Services(WithZygote):

    def setUp(self):
        self.w = self.worker({'s.py': SOURCE})

    def test_what_came_in(self):
        found = self.w.result('look', {'a': [1]}, http=HTTP, environ={'e': 1}, channel={
            'name': 'ch', 'type': 'rest', 'data_format': 'json',
            'security': {'name': 'clerk', 'type': 'basic', 'username': 'joe', 'roles': ['admin']}})
        cid = found.pop('cid')
        self.assertEqual(len(cid), 24)
        self.assertEqual(found, {
            'payload': {'a': [1]}, 'input': {'q': '1', 'm': ['1', '2'], 'id': 'path'}, 'method': 'GET', 'path': '/c/5',
            'GET': {'q': '1', 'm': ['1', '2'], 'id': 'query'}, 'params': {'id': 'path'}, 'agent': 'tests', 'header': 'uno',
            'channel_params': {'q': '1', 'm': ['1', '2'], 'id': 'path'}, 'chan': ['ch', 'rest', 'json'], 'same': True,
            'security': ['clerk', 'basic', 'joe', True, False, True], 'cluster_id': 7, 'environ': {'e': 1}})
        self.assertEqual(self.w.error('look', b'{"a"', payload='json', http=HTTP)['kind'], 'invalid')
        self.assertEqual(self.w.result('form', b'a=1&b=2&b=3&c='), {'a': '1', 'b': ['2', '3'], 'c': ''})

    def test_what_goes_out(self):
        for what, how, body in [('text', 'text', b'x'), ('bytes', 'bytes', b'\xff'), ('none', 'none', b''),
                                ('empty', 'none', b''), ('list', 'json', b'[1]'), ('number', 'json', b'5'),
                                ('false', 'json', b'false'), ('time', 'json', b'{"t":"2026-01-02"}'),
                                ('free', 'json', b'{"a":1,"b":2}'), ('rows', 'json', b'[{"a":1},{"a":2}]'),
                                ('no rows', 'json', b'[]'), ('set', 'json', b'[1]')]:
            with self.subTest(what=what):
                kind, header, data = self.w.invoke('say', what.encode())
                self.assertEqual((header, data), ({'payload': how}, body))
        for what in ('nan', 'object', 'surrogate'):
            self.assertEqual(self.w.error('say', what.encode())['kind'], 'internal')
        self.assertEqual(self.w.invoke('dress')[1:], (
            {'payload': 'text', 'status': 201, 'content_type': 'text/csv',
             'headers': {'Location': '/x', 'X-Many': ['a', 'b']}}, b'a,b'))

    def test_wrong_output(self):
        error = self.w.error('wrong-output')
        self.assertEqual((error['kind'], error['status']), ('internal', 500))
        self.assertEqual(error['details'], [{'at': '/n', 'message': "is to be an integer, not 'five'"}])
        self.assertIn("/n: is to be an integer, not 'five'", error['message'])

    def test_verbs(self):
        for verb, body in [('GET', b'GET'), ('POST', b'POST'), ('HEAD', b'GET')]:
            self.assertEqual(self.w.invoke('verbs', http=dict(HTTP, method=verb))[2], body)
        self.assertEqual(self.w.invoke('verbs')[2], b'handle')
        error = self.w.error('only-verbs', http=dict(HTTP, method='DELETE'))
        self.assertEqual((error['status'], error['headers']), (405, {'Allow': 'GET'}))

    def test_hooks(self):
        every = ['accept', 'before_handle', 'validate_input', 'handle', 'validate_output', 'after_handle', 'finalize_handle']
        self.assertEqual(self.w.result('hooks'), every)
        job = ['accept', 'before_job', 'before_one_time_job', 'before_handle', 'validate_input', 'handle', 'validate_output',
               'after_handle', 'after_job', 'after_one_time_job', 'finalize_handle']
        self.assertEqual(self.w.result('hooks', job={'job_type': 'one_time'}), job)
        self.assertEqual(self.w.result('hooks', b'before_handle'), every)
        until(lambda: any('before_handle of hooks failed' in line['text'] for line in self.w.logs), 'the log of a hook')
        self.assertEqual(self.w.error('hooks', b'validate_input')['message'], 'validate_input failed')
        self.assertEqual(self.w.error('hooks', b'validate_output')['message'], 'validate_output failed')
        self.assertEqual(self.w.error('hooks', b'refuse')['status'], 400)
        self.assertEqual(self.w.result('async-hooks'), ['before', 'validate'])
        self.assertEqual(self.w.error('async-hooks', b'refuse')['status'], 400)

    def test_exceptions(self):
        for what, expected in [
                ('bad', ('invalid', 400, 'too bad')), ('bare', ('not-found', 404, 'Not found')),
                ('text', ('not-found', 404, 'only text')), ('cid', ('not-found', 404, 'Not found')),
                ('teapot', ('invalid', 418, 'short and stout')), ('busy', ('too-many', 429, 'slow')),
                ('down', ('unavailable', 503, 'down')), ('odd', ('unavailable', 503, 'odd')),
                ('who', ('unauthenticated', 401, 'who'))]:
            with self.subTest(what=what):
                error = self.w.error('raise', what.encode())
                self.assertEqual((error['kind'], error['status'], error['message']), expected)
        self.assertEqual(self.w.error('raise', b'busy')['retry_after'], 7)
        self.assertEqual(self.w.error('raise', b'who')['headers'], {'WWW-Authenticate': 'Basic realm="x"'})

    def test_one_object_per_request(self):
        self.w.result('init')
        self.assertEqual(self.w.result('init'), [1, 1])
        self.assertIn('no method handle', self.w.error('no-handle')['message'])
        self.assertIn("no 'kvdb'; use self.cache instead", self.w.error('missing', b'kvdb')['message'])

    def files(self, header, body):
        path = header['kw'].get('path')
        if header['kind'] == 'cache':
            return {'result': []}, b''
        if header['op'] == 'list':
            if path == '/gone':
                return {'kind': 'not-found', 'message': 'gone'}, b''
            return {'result': [{'name': 'a.txt', 'is_dir': False, 'size': 4, 'modified': None},
                               {'name': 'sub', 'is_dir': True, 'size': 0, 'modified': None}]}, b''
        if header['op'] == 'make_dir' and path == '/x':
            return {'kind': 'upstream', 'message': 'it is there'}, b''
        return ({'result': 4}, b'') if header['op'] == 'size' else ({}, b'text') if header['op'] == 'get' else ({}, b'')

    def test_ftp(self):
        self.w.on_call = self.files
        self.assertEqual(self.w.result('ftp'), [['a.txt', 'sub'], ['/d/a.txt'], ['sub'], True, False, True, False, True, True,
                                                4, 'text', False])
        said = [(h['op'], h['kw'], body) for h, body in self.w.calls if h['op'] not in ('list', 'get', 'size')]
        self.assertEqual(said, [
            ('put', {'path': '/a', 'append': False}, b'text'), ('put', {'path': '/a', 'append': True}, b'more'),
            ('make_dir', {'path': '/x'}, b''), ('make_dir', {'path': '/x/y'}, b''),
            ('rename', {'from': '/a', 'to': '/b'}, b''), ('remove_dir', {'path': '/x'}, b'')])
        self.assertEqual(self.w.result('async-ftp'), [True, False, {}])

    def test_http(self):
        self.w.on_call = lambda header, body: ({'status': 200, 'headers': {'content-type': 'application/json'}}, b'{"x": 1}')
        self.assertEqual(self.w.result('http'), [200, True, 1, '{"x": 1}', 'application/json', 'application/json', 200])
        first, body = self.w.calls[0]
        self.assertEqual(first['kw'], {'method': 'POST', 'payload': 'json', 'params': {'p': '1'}, 'headers': {'X-A': 'b'},
                                       'path': None, 'timeout': None})
        self.assertEqual((first['kind'], body), ('http', b'{"a":1}'))
        self.assertEqual([h['kw']['method'] for h, _ in self.w.calls],
                         ['POST', 'PUT', 'GET', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'GET'])
        self.assertEqual(self.w.calls[-1][0]['kw']['params'], {'q': 1})

    def test_connections_of_other_kinds(self):
        self.w.on_call = lambda header, body: ({'result': [header['kind'], header['op'], header['args'], header['kw']]}, b'')
        self.assertEqual(self.w.result('other-kind'), ['sql', 'execute', ['select', 1], {'size': 2}])

    def test_caches(self):
        held = {'b.1': b'7'}

        def answer(header, body):
            kw, op = header['kw'], header['op']
            if op == 'get':
                return {'found': kw['key'] in held}, held.get(kw['key'], b'')
            if op == 'set':
                held[kw['key']] = body
                return {}, b''
            if op == 'keys':
                return {'result': sorted(held)}, b''
            if op == 'values':
                return {'result': [[key, held[key].decode()] for key in kw['keys']]}, b''
            keys = [key for key in kw['keys'] if key in held]
            for key in keys if op == 'delete' else ():
                del held[key]
            return {'result': len(keys)}, b''

        self.w.on_call = answer
        self.assertEqual(self.w.result('caching'), [{'x': 1}, None, 3, ['a.1', 'b.1'], {'a.1': {'x': 1}}, True, 1, False, False])
        self.assertEqual(self.w.calls[0][0]['kw'], {'key': 'a.1', 'ttl': 5})
        self.assertEqual(self.w.calls[-1][0]['name'], 'mine')

    def test_later(self):
        self.w.on_call = lambda header, body: ({'result': 'd' * 24}, b'')
        self.assertEqual(self.w.invoke('later')[2], b'd' * 24)
        header, body = self.w.calls[0]
        self.assertEqual((header['name'], header['op'], json.loads(body)), ('target', 'invoke_async', {'a': 1}))
        self.assertEqual((header['kw']['callback'], header['kw']['expiration']), (['later'], 15))
