"""Packages: names, imports, what is deployed, what a fault says, what is told of a service."""

from kit import WithZygote

ONE = '''
class GetCustomer(Service):
    def handle(self):
        self.response.payload = {'name': self.name, 'impl': self.impl_name}
'''


class Loading(WithZygote):

    def names(self, files):
        return sorted(self.worker(files).declared)

    def test_names_from_classes(self):
        self.assertEqual(self.names({'my_api.py': ONE}), ['my-api.get-customer'])
        self.assertEqual(self.names({'my/deep_er/api.py': ONE}), ['my.deep-er.api.get-customer'])
        self.assertEqual(self.names({'a.py': ONE.replace('GetCustomer', 'ILikeWSDLDocs')}), ['a.i-like-wsdl-docs'])
        self.assertEqual(self.names({'a.py': ONE.replace('GetCustomer', 'FTPHandler')}), ['a.ftp-handler'])
        self.assertEqual(self.names({'server/service/internal/x.py': ONE}), ['x.get-customer'])
        self.assertEqual(self.names({'pack/__init__.py': ONE}), ['pack.get-customer'])

    def test_a_module_may_be_called_like_one_of_the_standard_library(self):
        w = self.worker({'json.py': ONE, 'email/http.py': 'import json\nLOADS = json.loads\n' + ONE})
        self.assertEqual(sorted(w.declared), ['email.http.get-customer', 'json.get-customer'])
        self.assertEqual(w.result('json.get-customer')['name'], 'json.get-customer')

    def test_files_with_dashes_and_dots(self):
        self.assertEqual(self.names({'my-service.v2.py': ONE}), ['my-service-v2.get-customer'])

    def test_modules_import_each_other(self):
        w = self.worker({
            'billing.py': 'from lib.sums import total\nfrom lib import sums\nfrom shared import Base\n'
                          'class Billing(Base):\n    name = "billing"\n'
                          '    def handle(self): self.response.payload = {"total": total(1, 2), "base": self.base()}\n',
            'lib/sums.py': 'from . import inner\ndef total(a, b): return inner.add(a, b)\n',
            'lib/inner/__init__.py': 'def add(a, b): return a + b\n',
            'shared.py': 'import abc\nclass Base(Service):\n    zato_dont_import = True\n    def base(self): return 1\n'
                         .replace('    zato_dont_import = True\n', '    @classmethod\n    def before_add_to_store(cls, logger): '
                                  'return cls.__name__ != "Base"\n'),
            'readme.txt': 'not Python'})
        self.assertEqual(sorted(w.declared), ['billing'])
        self.assertEqual(w.result('billing'), {'total': 3, 'base': 1})

    def test_what_is_not_deployed(self):
        w = self.worker({'a.py': '''
import abc
from b import Imported

class Abstract(Service, abc.ABC):
    @abc.abstractmethod
    def handle(self): pass

class Marked(Service):
    zato_dont_import = True

class Refused(Service):
    @staticmethod
    def before_add_to_store(logger): return False

class Kept(Service):
    name = 'kept'

Again = Kept
''', 'b.py': 'class Imported(Service):\n    name = "imported"\n'})
        self.assertEqual(sorted(w.declared), ['imported', 'kept'])

    def test_names_under_which_older_code_imports(self):
        w = self.worker({'a.py': '''
from zato.server.service import AsIs, Bool, Boolean, CSV, Date, DateTime, Dict, Float, Int, Integer, List, ListOfDicts
from zato.server.service import Nested, Opaque, Service, Unicode, UTC, Model, SimpleIO, BadRequest, NotFound
from zato.server.service.internal import AdminService
from zato.common import SCHEDULER, ZATO_OK, DATA_FORMAT, CHANNEL, BadRequest, HTTPException, ZatoException
from zato.common.api import SCHEDULER as S2
from zato.common.exception import Forbidden, Conflict, TooManyRequests, ServiceUnavailable, Inactive
from zato.common.util import asbool, fs_safe_name, fs_safe_now, new_cid, uncamelify
from zato.common.util.api import asbool as asbool2
from zato.common.typing_ import anydict, anylist, intnone, list_, optional, strnone
from zato.common.marshal_.api import Model as Model2
import zato.common.util
from dataclasses import dataclass

@dataclass(init=False)
class Request(Model):
    name: str
    tags: list_[str]
    size: intnone

class A(Service):
    name = 'a'
    input = Request
    def handle(self):
        assert asbool is asbool2 and SCHEDULER is S2 and Model is Model2
        self.response.payload = [asbool('on'), len(new_cid()), uncamelify('GetIt'), fs_safe_name('a b/c'), self.request.input.tags]
'''})
        self.assertEqual(w.result('a', input={'name': 'x', 'tags': ['t']}), [True, 24, 'get-it', 'a_b_c', ['t']])

    def fault(self, files):
        w = self.worker(files, loaded=False)
        return w.fault

    def test_a_syntax_error(self):
        fault = self.fault({'good.py': ONE, 'bad.py': 'x = 1\nclass X(\n'})
        self.assertEqual((fault['file'], fault['line']), ('bad.py', 2))
        self.assertTrue(fault['message'].startswith('SyntaxError: '), fault)

    def test_an_exception_while_importing(self):
        fault = self.fault({'a.py': 'import lib.b\n', 'lib/b.py': '\n\ndef f():\n    raise KeyError("x")\nf()\n'})
        self.assertEqual((fault['file'], fault['line'], fault['message']), ('lib/b.py', 4, "KeyError: 'x'"))
        self.assertIn('File "lib/b.py", line 4, in f', fault['traceback'])
        self.assertNotIn('importlib', fault['traceback'].splitlines()[1])

    def test_a_missing_module(self):
        fault = self.fault({'a.py': '\nimport nowhere_to_be_found\n'})
        self.assertEqual((fault['file'], fault['line']), ('a.py', 2))
        self.assertIn("No module named 'nowhere_to_be_found'", fault['message'])

    def test_a_wrong_declaration(self):
        fault = self.fault({'a.py': 'class A(Service):\n    pass\n\nclass B(Service):\n    class SimpleIO:\n'
                                    '        input = "a"\n        input_required = "b"\n'})
        self.assertEqual((fault['file'], fault['line']), ('a.py', 4))
        self.assertIn('cannot be combined', fault['message'])

    def test_two_services_with_one_name(self):
        fault = self.fault({'a.py': 'class A(Service):\n    name = "x"\n', 'b.py': 'class B(Service):\n    name = "x"\n'})
        self.assertEqual((fault['file'], fault['line']), ('b.py', 1))
        self.assertIn("'x'", fault['message'])

    def test_exit_while_importing(self):
        self.assertEqual(self.fault({'a.py': 'import sys\nsys.exit(1)\n'})['message'], 'SystemExit: 1')

    def test_nothing_in_it(self):
        self.assertEqual(self.names({'a.py': ''}), [])
        self.assertEqual(self.names({}), [])

    def test_types_by_name_can_be_configured(self):
        source = 'class A(Service):\n    name = "a"\n    input = "sum_total", "user_id"\n'
        w = self.worker({'a.py': source}, types_by_name={'int': {'suffix': ['_total']}})
        types = {k: v['type'] for k, v in w.declared['a']['input']['properties'].items()}
        self.assertEqual(types, {'sum_total': 'integer', 'user_id': 'string'})

    def test_what_is_told_of_a_service(self):
        found = self.worker({'a.py': '''
from zeugma import Service
OTHER = 'by.constant'

class Callee(Service):
    name = 'callee'
    namespace = 'own.space'

class Caller(Service):
    """Summary only."""
    name = 'caller'
    invokes = 'declared.one'

    def handle_GET(self):
        self.invoke('by.name')
        self.invoke(OTHER)
        self.invoke(Callee)
        self.invoke(Callee.name)
        self.invoke_async('later')
        self.patterns.invoke_retry.invoke('often', repeats=2)
        self.out.rest['R'].get(self.cid)
        self.outgoing.sql.get('DB')
        self.outgoing.ftp[OTHER]
        self.rest['Short'].post(self.cid)

    async def handle_POST(self):
        await self.invoke(self.request.input.which)

class Quiet(Service):
    name = 'quiet'
'''}).declared
        caller = found['caller']
        self.assertEqual(caller['invokes'], ['by.constant', 'by.name', 'callee', 'declared.one', 'later', 'often'])
        self.assertEqual([(c['kind'], c['name']) for c in caller['connections']],
                         [('ftp', 'by.constant'), ('http', 'R'), ('http', 'Short'), ('sql', 'DB')])
        self.assertTrue(caller['dynamic_invokes'])
        self.assertTrue(caller['async'])
        self.assertEqual(caller['verbs'], ['GET', 'POST'])
        self.assertEqual((caller['summary'], caller['description']), ('Summary only.', 'Summary only.'))
        self.assertEqual(found['callee']['namespace'], 'own.space')
        quiet = found['quiet']
        self.assertEqual((quiet['docs'], quiet['input'], quiet['output'], quiet['input_form']), ('', None, None, None))
