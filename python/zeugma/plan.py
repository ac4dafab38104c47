"""What is known of a service class before it is called: names, shapes, verbs, hooks."""

import inspect
import re

from .errors import MethodNotAllowed
from .simpleio import Declaration

_VERB = re.compile(r'handle_([A-Z]+)$')
_WORDS = re.compile(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])')

BEFORE = ('before_handle', 'validate_input')
AFTER = ('validate_output', 'after_handle', 'finalize_handle')
JOB_HOOKS = ('before_job', 'before_one_time_job', 'before_interval_based_job', 'before_cron_style_job',
             'after_job', 'after_one_time_job', 'after_interval_based_job', 'after_cron_style_job')
HOOKS = ('accept',) + BEFORE + AFTER + JOB_HOOKS


def uncamel(name):
    """GetCustomer -> get-customer, FTPHandler -> ftp-handler."""
    return _WORDS.sub('-', name).lower().replace('_', '-')


def service_name(cls, module):
    """The name of a service: what its class says, else made from the module's path and the class's name."""
    own = cls.__dict__.get('name')
    if isinstance(own, str) and own:
        return own
    path = module.replace('server.service.internal.', '').replace('_', '-')
    return f'{path}.{uncamel(cls.__name__)}' if path else uncamel(cls.__name__)


class Plan:
    """One service class, looked at once."""

    def __init__(self, cls, base, name, inference=None):
        self.cls = cls
        self.name = name
        self.declaration = Declaration(cls, inference)
        self.input = self.declaration.input
        self.output = self.declaration.output
        self.verbs = {}
        for attribute in dir(cls):
            match = _VERB.match(attribute)
            if match:
                self.verbs[match.group(1)] = attribute
        self.hooks = frozenset(h for h in HOOKS if getattr(cls, h, None) is not getattr(base, h, None))
        methods = list(self.verbs.values()) or ['handle']
        self.is_async = any(inspect.iscoroutinefunction(getattr(cls, m)) for m in methods + ['handle'])
        self.simple = not self.hooks and not self.verbs
        self.takes_input = self.input is not None

    def method(self, invocation):
        """The name of the method that handles this invocation."""
        http = invocation.said('http')
        if not self.verbs or not http:
            return 'handle'
        verb = http.get('method', '')
        found = self.verbs.get(verb) or (self.verbs.get('GET') if verb == 'HEAD' else None)
        if found is None:
            allow = ', '.join(sorted(self.verbs))
            raise MethodNotAllowed(invocation.cid, f'{verb} is not allowed', headers={'Allow': allow})
        return found
