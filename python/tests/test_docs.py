"""The examples of the page about services in Python are what they seem: they load, and their tests pass."""

import os
import re

import kit

PAGE = os.path.join(os.path.dirname(kit.ROOT), 'docs', 'python-services.md')


class Page(kit.WithZygote):

    def test_examples(self):
        with open(PAGE, encoding='utf-8') as file:
            blocks = re.findall(r'^```python\n(.*?)^```', file.read(), re.M | re.S)
        self.assertGreater(len(blocks), 5)
        w = self.worker({f'example_{n}.py': block for n, block in enumerate(blocks)})
        self.assertEqual(sorted(w.declared), [
            'bill', 'both', 'choose', 'compare', 'create-order', 'get-customer', 'import', 'imported', 'move-bill', 'remind',
            'rotate', 'save-customer', 'start-import'])
        self.assertEqual(w.declared['get-customer']['description'], 'The CRM system is asked each time.')
        order = {'cust_id': 1, 'due': '2026-02-21T10:00:00', 'amount': '1.5', 'address': {'street': 's', 'number': 1}}
        self.assertEqual(w.result('create-order', order), {'order_id': 2026, 'warnings': []})
        self.assertEqual(w.result('save-customer', {'name': 'Ada', 'phones': []})['phones'],
                         [{'number': '555', 'kind': 'mobile'}])
        w.on_call = lambda header, body: ({'payload': 'text'}, header['name'].encode())
        self.assertEqual(w.result('both'), {'first': 'first', 'second': 'second'})
        tested = 0
        for block in blocks:
            if 'def test_' in block:
                names = {'__name__': 'example'}
                exec(compile(block, PAGE, 'exec'), names)
                for name in [name for name in names if name.startswith('test_')]:
                    names[name]()
                    tested += 1
        self.assertEqual(tested, 1)
