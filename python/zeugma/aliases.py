"""Names under which older service code imports what this package has: zato.server.service, zato.common, ..."""

import dataclasses
import importlib.machinery
import sys
import typing

from . import elements, errors, locking, model, service, simpleio, structures, words

_TOP = 'zato'


def _public(*modules):
    found = {}
    for module in modules:
        found.update((k, v) for k, v in vars(module).items() if not k.startswith('_') and not hasattr(v, '__spec__'))
    return found


def _typing():
    found = {name: getattr(typing, name) for name in typing.__all__}
    optional = typing.Optional
    found.update(
        any_=typing.Any, anydict=dict, anydictnone=optional[dict], anylist=list, anylistnone=optional[list],
        anynone=optional[typing.Any], anytuple=tuple, anyset=set, boolnone=optional[bool], intnone=optional[int],
        floatnone=optional[float], strnone=optional[str], bytesnone=optional[bytes], strlist=typing.List[str],
        intlist=typing.List[int], dictlist=typing.List[dict], strdict=dict, stranydict=dict, strstrdict=dict,
        strintdict=dict, intanydict=dict, strlistnone=optional[typing.List[str]], dictnone=optional[dict],
        listnone=optional[list], strset=set, stranynone=optional[typing.Any], list_=typing.List, dict_=typing.Dict,
        tuple_=typing.Tuple, set_=typing.Set, optional=optional, union_=typing.Union, cast_=typing.cast,
        callable_=typing.Callable, type_=typing.Type, dataclass=dataclasses.dataclass, list_field=_list_field,
        dict_field=_dict_field, field=dataclasses.field, literal_=typing.Literal)
    return found


def _list_field():
    return dataclasses.field(default_factory=list)


def _dict_field():
    return dataclasses.field(default_factory=dict)


def _names(name):
    """What a module of that name offers, or None if there is no such module."""
    parts = name.split('.')
    if parts[0] != _TOP:
        return None
    types = _public(elements, structures)
    services = dict(types, Service=service.Service, AdminService=service.AdminService, Model=model.Model,
                    SimpleIO=simpleio.SimpleIO, dataclass=dataclasses.dataclass, **_errors())
    if name in (_TOP, 'zato.server'):
        return {}
    if name == 'zato.server.service':
        return dict(services, Bunch=words.Bunch)
    if name.startswith('zato.server.service.') or name.startswith('zato.server.'):
        return dict(services)
    if name in ('zato.common.exception', 'zato.common.exc'):
        return _errors()
    if name in ('zato.common.typing_', 'zato.common.marshal_', 'zato.common.marshal_.api', 'zato.common.marshal_.model'):
        return dict(_typing(), Model=model.Model)
    if name.startswith('zato.common.ext'):
        return {'Bunch': words.Bunch, 'bunchify': words.bunchify, 'dataclass': dataclasses.dataclass,
                'field': dataclasses.field, 'is_dataclass': dataclasses.is_dataclass}
    if name in ('zato.simpleio', 'zato.common.simpleio', 'zato.common.simpleio_'):
        return types
    if name == 'zato.common' or name.startswith('zato.common.'):
        return dict(_public(words), **_errors())
    if name == 'zato.distlock':
        return {'LockTimeout': locking.LockTimeout, 'LockInUse': locking.LockTimeout}
    if name == 'zato.helpers':
        return dict(_public(words))
    return None


def _errors():
    found = {k: v for k, v in vars(errors).items() if isinstance(v, type) and issubclass(v, BaseException)}
    found.update(ZatoException=errors.ZeugmaException, Reportable=errors.HTTPException,
                 TooManyRequests=errors.TooManyRequests, ValidationException=errors.ValidationException,
                 ParsingException=errors.BadRequest, ServiceMissingException=errors.NotFound,
                 InvokeError=errors.UpstreamError)
    return found


class Aliases:
    """Finds the modules when they are imported, so that nothing is made that nobody imports."""

    def find_spec(self, name, _path=None, _target=None):
        """For the interpreter."""
        if name.split('.', 1)[0] != _TOP or _names(name) is None:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, _spec):
        """For the interpreter."""
        return None

    def exec_module(self, module):
        """For the interpreter."""
        module.__dict__.update(_names(module.__name__))
        if 'zato.common' in module.__name__:
            module.__getattr__ = _missing(module.__name__)


def _missing(module):
    def missing(name):
        if name.startswith('__'):
            raise AttributeError(name)
        raise AttributeError(f'{module} has no {name!r} in Zeugma')
    return missing


def install():
    """Makes the names importable, unless the package that really has them is there."""
    if not any(isinstance(finder, Aliases) for finder in sys.meta_path):
        sys.meta_path.append(Aliases())
