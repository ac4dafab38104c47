"""zeugma.testing: services run without an engine."""

import sys
import unittest

import kit
import zeugma as z
from zeugma import testing

sys.path.insert(0, kit.FIXTURES)


def old(name):
    """A service of the older system, loaded as a package is."""
    from zeugma.loading import load_package
    from zeugma import aliases
    aliases.install()
    files = ['ftp_handler.py', 'billing_handler.py', 'job_manager.py', 'my_api/customer.py']
    before = list(sys.meta_path), set(sys.modules)
    try:
        return load_package(kit.FIXTURES + '/old', files)[1][name].cls
    finally:
        sys.meta_path[:] = before[0]
        for module in set(sys.modules) - before[1]:
            if not module.startswith(('zato', 'zeugma')):
                del sys.modules[module]


class Testing(unittest.TestCase):

    def test_files(self):
        engine = testing.Engine(now='2026-02-21T10:00:00.5')
        engine.run(old('ftp-handler'), b'raw \x00')
        self.assertEqual(engine.ftp['my.ftp'].files, {'/home/api/request.2026-02-21T10_00_00_500000': b'raw \x00'})

    def test_files_and_http(self):
        engine = testing.Engine()
        engine.ftp['Billings'].files['/bills/2026.xml'] = b'<bill/>'
        engine.http['ERP'] = lambda call: (202, {'accepted': call.body.decode()})
        engine.run(old('billing-handler'))
        self.assertEqual([call.body for call in engine.calls_of('http', 'ERP')], [b'<bill/>'])
        self.assertEqual(engine.ftp['Billings'].files, {})
        with self.assertRaises(z.NotFound):
            engine.run(old('billing-handler'))

    def test_services(self):
        engine = testing.Engine(now='2026-02-21T10:00:00')
        engine.services['zato.scheduler.job.create'] = lambda payload: {'id': 1, 'at': payload['start_date']}
        answer = engine.run(old('job-manager'))
        self.assertEqual((answer.status, answer.data), (200, {'id': 1, 'at': '2026-02-21T10:00:00'}))
        self.assertEqual(engine.calls_of('service')[0].data['name'], 'My Sample')
        engine.services['zato.scheduler.job.create'] = z.Conflict(None, 'it is there')
        with self.assertRaises(z.Conflict):
            engine.run(old('job-manager'))

    def test_input_is_checked(self):
        engine = testing.Engine()
        engine.http['CRM'] = {'name': 'Jane', 'active': True}
        customer = old('get-customer')
        self.assertEqual(engine.run(customer, {'cust_id': '5'}).data['name'], 'Jane')
        self.assertEqual(engine.calls[0].kw['params'], {'id': 5})
        self.assertEqual(engine.run(customer, params={'cust_id': '6'}).data['is_active'], True)
        with self.assertRaises(z.ValidationException) as caught:
            engine.run(customer, {'cust_id': 'x'})
        self.assertEqual(caught.exception.elements, ['/cust_id'])

    def test_coroutines_callees_and_the_rest(self):
        class Callee(z.Service):
            name = 'callee'
            input = 'n_count'

            def handle(self):
                self.response.payload = {'twice': self.request.input.n_count * 2}

        class Caller(z.Service):
            async def handle_POST(self):
                await self.cache.set('seen', [1])
                found = await self.invoke(Callee, {'n_count': 4})
                self.response.status_code = 201
                self.response.headers['X-A'] = 'b'
                self.response.payload = [found, await self.cache.get('seen'), await self.outgoing.sql['DB'].ping(),
                                         self.time.utcnow(), self.channel.security.has('admin')]

        engine = testing.Engine(now='2026-01-01T00:00:00')
        engine.services['callee'] = Callee
        engine.others['sql'] = {'DB': lambda call: 'pong'}
        answer = engine.run(Caller, method='POST', security={'name': 's', 'roles': ['admin']}, module='my_mod')
        self.assertEqual(Caller.name, 'my-mod.caller')
        self.assertEqual((answer.status, answer.headers), (201, {'X-A': 'b'}))
        self.assertEqual(answer.data, [{'twice': 8}, [1], 'pong', '2026-01-01T00:00:00', True])
        with self.assertRaises(z.MethodNotAllowed):
            engine.run(Caller, method='GET')

    def test_jobs(self):
        class Job(z.Service):
            def handle(self):
                self.response.payload = [self.job.name, self.job_type, self.channel.type]

        answer = testing.Engine().run(Job, job={'name': 'nightly', 'job_type': 'cron_style'})
        self.assertEqual(answer.data, ['nightly', 'cron_style', 'scheduler'])

    def test_retries(self):
        class Retry(z.Service):
            def handle(self):
                self.response.payload = self.patterns.invoke_retry.invoke('flaky', {'a': 1}, repeats=3)

        tries = []

        def flaky(payload):
            tries.append(payload)
            if len(tries) < 3:
                raise z.UpstreamError(None, 'not yet')
            return {'ok': True}

        engine = testing.Engine()
        engine.services['flaky'] = flaky
        self.assertEqual(engine.run(Retry).data, {'ok': True})
        self.assertEqual(len(tries), 3)
        engine.services['flaky'] = z.BadRequest(None, 'never')
        with self.assertRaises(z.BadRequest):
            engine.run(Retry)
        self.assertEqual(len(engine.calls_of('service')), 4)

    def test_what_is_to_be_done_in_the_background_is_done_at_once(self):
        class Background(z.Service):
            def handle(self):
                self.invoke_async('double', {'n': 2}, callback=['told', 'told'])
                self.patterns.fanout.invoke({'double': {'n': 3}, 'fails': 'x'}, on_final='final', on_target='each')
                cid = self.patterns.invoke_retry.invoke('fails', 'y', async_fallback=True, callback='each', repeats=2, seconds=1,
                                                        context='c', cid=None)
                self.response.payload = len(cid)

        class Double(z.Service):
            name = 'double'

            def handle(self):
                self.response.payload = {'n': self.request.payload['n'] * 2}

        seen = []
        engine = testing.Engine()
        engine.services.update(double=Double, fails=z.UpstreamError(None, 'no'), told=lambda p: seen.append(p['n']),
                               each=lambda p: seen.append((p['target'], p['ok'], p.get('context'))),
                               final=lambda p: seen.append(sorted(p['data'])))
        self.assertEqual(engine.run(Background).data, 24)
        self.assertEqual(seen, [4, 4, ('double', True, None), ('fails', False, None), ['double', 'fails'], ('fails', False, 'c')])

    def test_locks(self):
        class Locks(z.Service):
            def handle(self):
                with self.lock('a') as lock:
                    self.response.payload = lock.fence

        class AsyncLocks(z.Service):
            async def handle(self):
                async with self.lock('a') as lock:
                    self.response.payload = lock.fence

        engine = testing.Engine()
        self.assertEqual((engine.run(Locks).data, engine.run(AsyncLocks).data), (1, 2))
        self.assertEqual([call.op for call in engine.calls_of('lock', 'a')], ['take', 'give'] * 2)
        engine.locked.add('a')
        with self.assertRaises(z.LockTimeout):
            engine.run(Locks)


class Time(unittest.TestCase):

    def test_forms(self):
        class Clock(z.Service):
            def handle(self):
                t = self.time
                self.response.payload = [
                    t.utcnow(), t.utcnow('YYYY/MM/DD HH:mm'), t.utcnow('%H'), t.isoutcnow(), t.today(tz='UTC'),
                    t.yesterday(tz='UTC'), t.tomorrow(tz='UTC'), t.now(tz='UTC'),
                    t.utcnow(needs_format=False).year, t.reformat('21-02-2026', 'DD-MM-YYYY', 'YYYYMMDD')]

        self.assertEqual(testing.Engine(now='2026-03-01T23:30:00').run(Clock).data, [
            '2026-03-01T23:30:00', '2026/03/01 23:30', '23', '2026-03-01T23:30:00', '2026-03-01', '2026-02-28', '2026-03-02',
            '2026-03-01T23:30:00', 2026, '20260221'])


if __name__ == '__main__':
    unittest.main()
