"""Models: dataclasses as declared input and output, nested as deep as needed."""

import dataclasses
import datetime as dt
import enum
import typing
from decimal import Decimal as PlainDecimal
from uuid import UUID as PlainUUID

from . import elements as e
from . import structures as s
from .elements import Element, Wrong
from .wire import dump_text

_NONE = type(None)
_UNIONS = tuple(u for u in (typing.Union, getattr(__import__('types'), 'UnionType', None)) if u is not None)

_PLAIN = {
    str: e.Text, int: e.Int, float: e.Float, bool: e.Bool, bytes: e.Text, dt.datetime: e.DateTime, dt.date: e.Date,
    PlainDecimal: e.Decimal, PlainUUID: e.UUID, dict: s.Dict, list: s.List, tuple: s.List, set: s.List,
    typing.Any: e.AsIs, object: e.AsIs,
}


class Model:
    """The base of dataclasses that describe input or output:

        @dataclass
        class Phone(Model):
            number: str
            kind: str = 'mobile'
    """

    def __init__(self, **values):
        for name, field in fields_of(type(self)).items():
            setattr(self, name, values[name] if name in values else field.empty())

    def after_created(self, *_):
        """Called when the object was made from input; a place for checks and derived values."""

    def to_dict(self):
        """The object and all below it as dicts and lists."""
        return {name: _unmodelled(getattr(self, name, None)) for name in fields_of(type(self))}

    def to_json(self, default=None, impl_extra=0):
        """The object as JSON text."""
        return dump_text(self.to_dict())

    @classmethod
    def from_dict(cls, data):
        """The object from a dict; BadRequest names what is missing or wrong."""
        from .errors import ValidationException
        try:
            return read_model(cls, data)
        except Wrong as wrong:
            raise ValidationException([{'at': wrong.at, 'message': str(wrong)}]) from None

    def clone(self):
        """A deep copy."""
        return read_model(type(self), write_model(type(self), self))

    def __getitem__(self, name):
        return getattr(self, name)

    def get(self, name, default=None):
        """An attribute, or the default."""
        return getattr(self, name, default)


def _unmodelled(value):
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_unmodelled(item) for item in value]
    if isinstance(value, dict):
        return {key: _unmodelled(item) for key, item in value.items()}
    return value


class Field:
    """One field of a model."""

    def __init__(self, element, field):
        self.element = element
        self.factory = field.default_factory
        self.default = field.default
        self.has_default = self.factory is not dataclasses.MISSING or self.default is not dataclasses.MISSING
        if self.has_default:
            element.required = False
            if self.default is not dataclasses.MISSING and self.default is not None:
                element.default = self.default

    def empty(self):
        """What it is if nobody gave it."""
        if self.factory is not dataclasses.MISSING:
            return self.factory()
        return None if self.default is dataclasses.MISSING else self.default


def fields_of(cls):
    """The fields of a model by name."""
    found = cls.__dict__.get('_zeugma_fields')
    if found is None:
        if '__dataclass_fields__' not in cls.__dict__:
            dataclasses.dataclass(init=False)(cls)
        hints = typing.get_type_hints(cls)
        found = {f.name: Field(of_type(hints[f.name], f.name), f) for f in dataclasses.fields(cls)}
        cls._zeugma_fields = found
    return found


class Choice(e.Text):
    """One of the values of an enumeration."""

    tag = 'enum'
    converts = True

    def configure(self, cls):
        self.cls = cls
        self.expected = 'one of ' + ', '.join(str(item.value) for item in cls)

    def shape(self, _defs):
        return {'enum': [item.value for item in self.cls]}

    def read(self, value):
        if isinstance(value, self.cls):
            return value
        for item in self.cls:
            if value == item.value or str(value) == str(item.value):
                return item
        raise Wrong(self.expected, value)

    def write(self, value):
        return self.read(value).value


class ListOf(Element):
    """A list of one type."""

    tag = 'list'
    expected = 'a list'

    def configure(self, item):
        self.item = item
        self.converts = item.converts

    def shape(self, defs):
        return {'type': 'array', 'items': self.item.schema(defs)}

    def _each(self, value, verb):
        if not isinstance(value, (list, tuple, set, frozenset)):
            if verb == 'read' or isinstance(value, (str, bytes, dict)) or not hasattr(value, '__iter__'):
                raise Wrong(self.expected, value)
        out, act = [], getattr(self.item, verb)
        for index, item in enumerate(value):
            try:
                out.append(act(item))
            except Wrong as wrong:
                wrong.at = f'/{index}{wrong.at}'
                raise
        return out

    def read(self, value):
        return self._each(value, 'read')

    def write(self, value):
        return self._each(value, 'write')


class ModelElement(Element):
    """An object of a model."""

    tag = 'model'
    expected = 'an object'
    converts = True

    def configure(self, cls):
        self.cls = cls

    def shape(self, defs):
        name = self.cls.__name__
        if name not in defs:
            defs[name] = {}
            defs[name] = schema_of_model(self.cls, defs)
        return {'$ref': f'#/$defs/{name}'}

    def read(self, value):
        return value if isinstance(value, self.cls) else read_model(self.cls, value)

    def write(self, value):
        return write_model(self.cls, value)


def schema_of_model(cls, defs):
    """The schema of a model's object."""
    found = {name: field.element.schema(defs) for name, field in fields_of(cls).items()}
    required = [name for name, field in fields_of(cls).items() if field.element.required]
    return {'type': 'object', 'properties': found, 'required': required, 'x-zeugma-type': 'model', 'title': cls.__name__}


def read_model(cls, value):
    """An object of the model from a dict. Raises Wrong with the path."""
    if not isinstance(value, dict):
        raise Wrong('an object', value)
    made = cls.__new__(cls)
    for name, field in fields_of(cls).items():
        item = value.get(name)
        if item is None:
            if field.element.required:
                raise Wrong('there', at='/' + name)
            setattr(made, name, field.empty())
            continue
        try:
            setattr(made, name, field.element.read(item))
        except Wrong as wrong:
            wrong.at = f'/{name}{wrong.at}'
            raise
    made.after_created()
    return made


def write_model(cls, value):
    """A dict of JSON from an object of the model, or from a dict or a row like it. Raises Wrong with the path."""
    value = vars(value) if isinstance(value, Model) else s.row(value)
    out = {}
    for name, field in fields_of(cls).items():
        item = value.get(name)
        if item is None:
            if field.element.required:
                raise Wrong('there', at='/' + name)
            out[name] = None
            continue
        try:
            out[name] = field.element.write(item)
        except Wrong as wrong:
            wrong.at = f'/{name}{wrong.at}'
            raise
    return out


def of_type(hint, name=None):
    """The element for an annotation."""
    origin = typing.get_origin(hint)
    if origin in _UNIONS:
        options = [option for option in typing.get_args(hint) if option is not _NONE]
        element = of_type(options[0], name) if len(options) == 1 else e.AsIs(name)
        if len(options) < len(typing.get_args(hint)):
            element.required = False
        return element
    if origin in (list, tuple, set, frozenset) or getattr(origin, '__name__', '') in ('Sequence', 'Iterable'):
        args = [arg for arg in typing.get_args(hint) if arg is not Ellipsis]
        if args and not isinstance(args[0], typing.TypeVar):
            return ListOf(name, of_type(args[0]))
        return s.List(name)
    if origin is dict:
        return s.Dict(name)
    if isinstance(hint, type):
        if issubclass(hint, Model):
            return ModelElement(name, hint)
        if issubclass(hint, enum.Enum):
            return Choice(name, hint)
        for base in hint.__mro__:
            if base in _PLAIN:
                return _PLAIN[base](name)
    return _PLAIN.get(hint, e.AsIs)(name)


def is_model(value):
    """Whether this is a model, or an object or a list of one."""
    return isinstance(value, type) and issubclass(value, Model)

