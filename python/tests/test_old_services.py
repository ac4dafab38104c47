"""Services written for the older system load and run unchanged."""

import json
import os

from kit import FIXTURES, WithZygote, until

OLD = os.path.join(FIXTURES, 'old')


class OldServices(WithZygote):

    def setUp(self):
        self.w = self.worker(folder=OLD)

    def test_names_and_documentation(self):
        self.assertEqual(sorted(self.w.declared), ['billing-handler', 'ftp-handler', 'get-customer', 'job-manager',
                                                   'my-api.customer-cases.get-customer-cases', 'update-customer'])
        found = self.w.declared['get-customer']
        self.assertEqual(found['namespace'], 'my.api.customer')
        self.assertEqual(found['namespace_docs'], 'Everything about **customers**.')
        self.assertEqual(found['summary'], 'Returns basic information about a customer.')
        self.assertEqual(found['description'], 'Asks the CRM each time, nothing is cached.')
        self.assertEqual(found['file'], 'my_api/customer.py')
        self.assertEqual(found['line'], 13)
        self.assertTrue(found['source'].startswith('class GetCustomer(Service):\n'))
        self.assertEqual(found['response_elem'], 'response')
        self.assertEqual(found['input_form'], 'simpleio')

    def test_types_by_name(self):
        customer, update = self.w.declared['get-customer'], self.w.declared['update-customer']
        self.assertEqual(customer['input']['properties']['cust_id']['type'], 'integer')
        self.assertEqual(customer['output']['properties']['is_active']['type'], 'boolean')
        self.assertEqual(customer['output']['properties']['order_count']['type'], 'integer')
        self.assertEqual(customer['output']['required'], ['name', 'is_active'])
        self.assertEqual(update['input']['required'], ['cust_id', 'age'])
        self.assertEqual(update['input']['properties']['comment'],
                         {'type': 'string', 'x-zeugma-type': 'text', 'default': ''})
        cases = self.w.declared['my-api.customer-cases.get-customer-cases']['output']
        self.assertEqual(cases['type'], 'array')

    def test_callees_and_connections(self):
        declared = self.w.declared
        self.assertEqual(declared['job-manager']['invokes'], ['zato.scheduler.job.create'])
        self.assertEqual(declared['ftp-handler']['connections'], [{'kind': 'ftp', 'name': 'my.ftp'}])
        self.assertEqual(declared['billing-handler']['connections'],
                         [{'kind': 'ftp', 'name': 'Billings'}, {'kind': 'http', 'name': 'ERP'}])
        self.assertFalse(declared['billing-handler']['dynamic_invokes'])

    def test_a_customer(self):
        self.w.on_call = lambda header, body: (
            {'status': 200, 'headers': {'Content-Type': 'application/json'}}, b'{"name": "Jane", "active": 1}')
        found = self.w.result('get-customer', input={'cust_id': 123})
        self.assertEqual(found, {'name': 'Jane', 'is_active': True, 'last_seen': '', 'order_count': ''})
        header, body = self.w.calls[0]
        self.assertEqual((header['kind'], header['name'], header['op']), ('http', 'CRM', 'request'))
        self.assertEqual(header['kw']['params'], {'id': 123})
        self.assertEqual((header['kw']['method'], header['kw']['payload'], body), ('GET', 'none', b''))
        line = until(lambda: self.w.logs, 'a line of the log')[0]
        self.assertEqual((line['logger'], line['level']), ('get-customer', 'info'))
        self.assertIn('Jane', line['text'])
        self.assertEqual(line['cid'], 'c' * 22 + '02')

    def test_a_handler_that_answers_nothing(self):
        self.assertEqual(self.w.invoke('update-customer', input={'cust_id': 1, 'age': 3})[1:], ({'payload': 'none'}, b''))

    def test_rows(self):
        found = self.w.result('my-api.customer-cases.get-customer-cases', input={'cust_id': 1})
        self.assertEqual(found, [{'case_id': 1, 'is_open': True}, {'case_id': 2, 'is_open': False}])

    def test_a_raw_request_over_ftp(self):
        self.w.invoke('ftp-handler', b'raw \x00 bytes \xff', payload='raw')
        header, body = self.w.calls[0]
        self.assertEqual(body, b'raw \x00 bytes \xff')
        self.assertEqual((header['kind'], header['name'], header['op'], header['parent']), ('ftp', 'my.ftp', 'put', 2))
        self.assertRegex(header['kw']['path'], r'^/home/api/request\.\d{4}-\d\d-\d\dT\d\d_\d\d_\d\d_\d+$')
        self.assertFalse(header['kw']['append'])

    def test_from_ftp_to_http(self):
        self.w.on_call = lambda header, body: ({}, b'<bill>\xfe</bill>') if header['op'] == 'get' else ({'status': 200}, b'')
        self.w.invoke('billing-handler')
        said = [(h['kind'], h['name'], h['op'], body) for h, body in self.w.calls]
        self.assertEqual(said, [('ftp', 'Billings', 'get', b''), ('http', 'ERP', 'request', b'<bill>\xfe</bill>'),
                                ('ftp', 'Billings', 'delete', b'')])
        self.assertEqual(self.w.calls[1][0]['kw']['method'], 'POST')

    def test_a_job_is_created(self):
        self.w.on_call = lambda header, body: ({'payload': 'json'}, b'{"id": 5, "name": "My Sample"}')
        self.assertEqual(self.w.result('job-manager'), {'id': 5, 'name': 'My Sample'})
        header, body = self.w.calls[0]
        self.assertEqual((header['kind'], header['name'], header['op']), ('service', 'zato.scheduler.job.create', 'invoke'))
        said = json.loads(body)
        self.assertEqual((said['cluster_id'], said['job_type'], said['seconds']), (7, 'interval_based', 2))

    def test_no_such_service(self):
        self.w.on_call = lambda header, body: ({'kind': 'not-found', 'message': 'no such service'}, b'')
        error = self.w.error('job-manager')
        self.assertEqual((error['kind'], error['status'], error['message']), ('not-found', 404, 'no such service'))
