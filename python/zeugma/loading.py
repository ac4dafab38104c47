"""Loading of a package: its files become modules, and their services are found."""

import importlib
import importlib.machinery
import importlib.util
import inspect
import linecache
import logging
import os
import sys
import traceback

from .declared import declare
from .plan import Plan, service_name
from .service import AdminService, Service

#: Where modules are that have the name of one of the standard library.
_PREFIX = '_package.'

_STANDARD = frozenset(getattr(sys, 'stdlib_module_names', ())) | frozenset(sys.builtin_module_names)


class Source(importlib.machinery.SourceFileLoader):
    """Runs a file in which the name Service is known from the start."""

    def exec_module(self, module):
        module.__dict__.setdefault('Service', Service)
        super().exec_module(module)

    def set_data(self, path, data, *, _mode=0o666):
        """No compiled files are left behind."""


def _taken(name):
    top = name.split('.')[0]
    if top in _STANDARD or top in ('zeugma', 'zato', '__main__'):
        return True
    if top in sys.modules:
        return True
    return not _STANDARD and importlib.util.find_spec(top) is not None and _is_standard(top)


def _is_standard(top):
    origin = getattr(importlib.util.find_spec(top), 'origin', None) or ''
    return origin in ('built-in', 'frozen') or (origin.startswith(os.path.dirname(os.__file__))
                                                and '-packages' not in origin)


class Package:
    """The files of one package, importable by their paths."""

    def __init__(self, folder, files):
        self.folder = folder
        self.modules = {}
        self.folders = {}
        self.paths = {}
        for path in sorted(files):
            if not path.endswith('.py'):
                continue
            parts = path[:-3].replace('\\', '/').split('/')
            if parts[-1] == '__init__':
                parts.pop()
            if not parts:
                continue
            parts[-1] = parts[-1].replace('.', '_')
            path_name = '.'.join(parts)
            name = _PREFIX + path_name if _taken(path_name) else path_name
            full = os.path.join(folder, path)
            self.modules[name] = full
            self.paths[name] = path_name
            above = name.split('.')[:-1]
            for n in range(1, len(above) + 1):
                at = above[:n]
                inner = at[1:] if at[0] == _PREFIX[:-1] else at
                self.folders.setdefault('.'.join(at), os.path.join(folder, *inner))

    def find_spec(self, name, _path=None, _target=None):
        """How the interpreter finds the modules of the package."""
        full = self.modules.get(name)
        if full is not None:
            inside = [os.path.dirname(full)] if os.path.basename(full) == '__init__.py' else None
            return importlib.util.spec_from_file_location(name, full, loader=Source(name, full),
                                                          submodule_search_locations=inside)
        folder = self.folders.get(name)
        if folder is not None:
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [folder]
            return spec
        return None


class LoadFault(Exception):
    """A file that cannot be loaded."""

    def __init__(self, fault):
        super().__init__(fault['message'])
        self.fault = fault


def fault_of(error, folder):
    """File, line, message and traceback of what went wrong, as seen from the package."""
    folder = os.path.join(os.path.realpath(folder), '')
    file, line = None, None
    for frame in traceback.extract_tb(error.__traceback__):
        if os.path.realpath(frame.filename).startswith(folder):
            file, line = frame.filename, frame.lineno
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    where = getattr(error, 'zeugma_place', None)
    if where and file is None:
        file, line = where
    if file:
        file = os.path.realpath(file)
        file = file[len(folder):] if file.startswith(folder) else file
    lines = traceback.format_exception(type(error), error, _own(error.__traceback__, folder))
    text = ''.join(lines).replace(folder, '')
    message = error.msg if isinstance(error, SyntaxError) and error.msg else str(error)
    return {'file': file, 'line': line, 'message': f'{type(error).__name__}: {message}', 'traceback': text[-16384:]}


def _own(trace, folder):
    """The traceback from the first frame in the package on."""
    start = trace
    while start is not None and not os.path.realpath(start.tb_frame.f_code.co_filename).startswith(folder):
        start = start.tb_next
    return start


def _services(module):
    found = []
    for cls in list(vars(module).values()):
        if (isinstance(cls, type) and issubclass(cls, Service) and cls not in (Service, AdminService)
                and cls.__module__ == module.__name__ and cls not in found
                and not hasattr(cls, 'zato_dont_import') and not inspect.isabstract(cls)):
            if cls.before_add_to_store(logging.getLogger(cls.__name__)) is not False:
                found.append(cls)
    return found


def _place(cls):
    try:
        return inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return None, None


def load(header):
    """Loads what LOAD says. Returns (the content of LOADED, the plans by name of service)."""
    folder = header['dir']
    linecache.clearcache()
    try:
        return load_package(folder, header.get('files') or (), header.get('types_by_name'))
    except LoadFault as error:
        return {'error': error.fault}, {}
    except BaseException as error:
        return {'error': fault_of(error, folder)}, {}


def load_package(folder, files, inference=None):
    """As `load`, but raises what goes wrong."""
    package = Package(folder, files)
    sys.meta_path.insert(0, package)
    importlib.invalidate_caches()
    services, plans, texts = [], {}, {}
    for name in package.modules:
        module = importlib.import_module(name)
        for cls in _services(module):
            try:
                called = service_name(cls, package.paths[name])
                plan = Plan(cls, Service, called, inference)
                if called in plans:
                    raise ValueError(f'there are two services with the name {called!r}')
                cls.name = called
                plans[called] = plan
                path = os.path.relpath(package.modules[name], folder)
                services.append(declare(plan, module, package.paths[name], path, texts))
                cls.after_add_to_store(logging.getLogger(called))
            except Exception as error:
                error.zeugma_place = _place(cls)
                raise
    return {'services': services}, plans
