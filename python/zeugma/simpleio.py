"""Declared input and output: from what a service class says to shapes that read, check and describe."""

from copy import deepcopy

from . import elements as e
from .elements import MISSING, Element, Wrong
from .errors import OutputError, ValidationException
from .model import ModelElement, ListOf, is_model, schema_of_model, write_model
from .structures import row

#: Types by name: exact names, beginnings and endings. The engine may send others.
INFERENCE = {
    'int': {'exact': ['id'], 'prefix': [], 'suffix': ['_count', '_id', '_size', '_size_min', '_size_max', '_timeout']},
    'bool': {'exact': [], 'prefix': ['by_', 'has_', 'is_', 'may_', 'needs_', 'should_'], 'suffix': []},
    'secret': {'exact': ['auth_data', 'auth_token', 'password', 'password1', 'password2', 'secret', 'secret_key',
                         'tls_pem_passphrase', 'token'], 'prefix': [], 'suffix': []},
}

_INFERRED = {'bool': e.Bool, 'int': e.Int, 'secret': e.Secret}


class SimpleIO:
    """The base that an inner class SimpleIO may have; none is needed."""


#: Elements whose attribute would be a method of dict.
_METHODS = frozenset(dir(dict))


class Input(dict):
    """The input of a service: a dict whose items are attributes as well."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            pass
        raise AttributeError(f'the input has no {name!r}; it has: {", ".join(sorted(map(str, self))) or "nothing"}')

    def __setattr__(self, name, value):
        self[name] = value

    def _shadow(self, names):
        """Elements such as `items` are attributes too."""
        for name in names:
            if name in self:
                self.__dict__[name] = self[name]
        return self

    def deepcopy(self):
        """A copy that shares nothing with this one."""
        return Input(deepcopy(dict(self)))

    def require_any(self, *names):
        """The first of these that was given and is not empty; BadRequest if none is."""
        for name in names:
            if self.get(name):
                return self[name]
        raise ValidationException([{'at': '', 'message': f'one of {", ".join(names)} is to be there'}])

    def __deepcopy__(self, memo):
        return Input(deepcopy(dict(self), memo))

    def __reduce__(self):
        return Input, (dict(self),)


def infer(name, config):
    """The element for a bare name."""
    plain = name.lstrip('-')
    for kind, cls in _INFERRED.items():
        rules = config.get(kind) or {}
        if (plain in rules.get('exact', ()) or plain.startswith(tuple(rules.get('prefix') or ()))
                or plain.endswith(tuple(rules.get('suffix') or ()))):
            return cls(name)
    return e.Text(name)


class Shape:
    """One side of the declaration: its elements, or its model."""

    def __init__(self, elements=(), model=None, many=False, skip_empty=False, force_empty=(), repeated=False):
        self.elements = list(elements)
        self.model = model
        self.many = many
        self.repeated = repeated
        self.skip_empty = skip_empty
        self.force_empty = frozenset(force_empty)
        self.names = frozenset(element.name for element in self.elements)
        self.shadows = self.names & _METHODS
        self.empty = {el.name: '' if el.default is MISSING else el.default for el in self.elements if not el.required}
        self.converting = [el for el in self.elements if el.converts]
        self.writing = [(el.name, el.required, el.write) for el in self.elements]

    def schema(self):
        """JSON Schema, draft 2020-12."""
        defs = {}
        if self.model is not None:
            found = schema_of_model(self.model, defs)
            if self.many:
                name = self.model.__name__
                defs[name] = found
                found = {'type': 'array', 'items': {'$ref': f'#/$defs/{name}'}}
        else:
            properties = {}
            for element in self.elements:
                properties[element.name] = element.schema(defs)
                if not element.required:
                    properties[element.name].setdefault('default', '')
            found = {'type': 'object', 'properties': properties,
                     'required': [element.name for element in self.elements if element.required]}
        if self.repeated:
            found = {'type': 'array', 'items': found}
        if defs:
            found['$defs'] = defs
        return dict({'$schema': 'https://json-schema.org/draft/2020-12/schema'}, **found)

    def read(self, data):
        """The input from a dict that nobody has checked; ValidationException with all faults."""
        faults, out = [], Input(data) if self.model is None else None
        if self.model is not None:
            element = ModelElement(None, self.model)
            try:
                return (ListOf(None, element) if self.many else element).read(data)
            except Wrong as wrong:
                raise ValidationException([{'at': wrong.at, 'message': str(wrong)}]) from None
        for element in self.elements:
            value = data.get(element.name)
            if value is None or (value == '' and not element.required and not isinstance(element, e.Text)):
                if element.required:
                    faults.append({'at': '/' + element.name, 'message': f'is to be {element.expected}; it is missing'})
                else:
                    out[element.name] = deepcopy(self.empty[element.name])
                continue
            try:
                out[element.name] = element.read(value)
            except Wrong as wrong:
                faults.append({'at': f'/{element.name}{wrong.at}', 'message': str(wrong)})
        if faults:
            raise ValidationException(faults)
        return out._shadow(self.shadows)

    def convert(self, data):
        """The input from a dict that the engine has checked: only what Python has types of its own for."""
        if self.model is not None:
            return self.read(data)
        for name, value in self.empty.items():
            if name not in data:
                data[name] = deepcopy(value) if type(value) in (list, dict) else value
        for element in self.converting:
            value = data.get(element.name)
            if value is not None and value != '' and value is not element.default:
                try:
                    data[element.name] = element.read(value)
                except Wrong as wrong:
                    raise ValidationException([{'at': f'/{element.name}{wrong.at}', 'message': str(wrong)}]) from None
        out = Input(data)
        return out._shadow(self.shadows) if self.shadows else out

    def write(self, value):
        """What goes out, from what the service answered; OutputError with all faults."""
        faults = []
        many = self.many or self.repeated
        if isinstance(value, (list, tuple)) or hasattr(value, '__next__'):
            out = [self._one(item, f'/{index}', faults) for index, item in enumerate(value)]
        else:
            out = self._one(value, '', faults)
            if many and not faults:
                out = [out]
        if faults:
            raise OutputError(faults)
        return out

    def _one(self, value, at, faults):
        try:
            if self.model is not None:
                return write_model(self.model, value)
            if type(value) is not dict:
                value = row(value)
        except Wrong as wrong:
            faults.append({'at': at + wrong.at, 'message': str(wrong)})
            return None
        out = {}
        for name, required, write in self.writing:
            item = value.get(name)
            if item is not None:
                try:
                    out[name] = write(item)
                except Wrong as wrong:
                    if item == '' and not required:
                        out[name] = ''
                    else:
                        faults.append({'at': f'{at}/{name}{wrong.at}', 'message': str(wrong)})
            elif required:
                if name in value:
                    out[name] = None
                else:
                    faults.append({'at': f'{at}/{name}', 'message': 'is missing'})
            else:
                default = self.empty[name]
                if default != '' or not self.skip_empty or name in self.force_empty:
                    out[name] = default
        return out


def _as_tuple(value):
    if value is None:
        return ()
    if isinstance(value, (str, Element)):
        return (value,)
    return tuple(value)


def _elements(names, config, required=None, default=MISSING):
    out = []
    for name in _as_tuple(names):
        element = name if isinstance(name, Element) else infer(name, config)
        if required is not None:
            element.required = required and element.required
        if not element.required and element.default is MISSING and default is not MISSING:
            element.default = default
        out.append(element)
    return out


def _side(own, io, side, config):
    """The shape of one side, or None. `own` is what stands right in the service class."""
    plain = own if own is not None else getattr(io, side, None)
    required, optional = getattr(io, f'{side}_required', None), getattr(io, f'{side}_optional', None)
    if plain is not None and (required or optional):
        raise ValueError(f'{side} cannot be combined with {side}_required and {side}_optional')
    repeated = bool(getattr(io, 'output_repeated', False)) and side == 'output'
    if is_model(plain):
        return Shape(model=plain, repeated=repeated)
    inner = getattr(plain, '__args__', ())
    if not isinstance(plain, (str, Element, tuple, list)) and len(inner) == 1 and is_model(inner[0]):
        return Shape(model=inner[0], many=True)
    default = getattr(io, 'default_value', MISSING)
    default = getattr(io, f'default_{side}_value', default)
    if plain is not None:
        elements = _elements(plain, config, default=default)
    elif required or optional:
        elements = _elements(required, config, True)
        names = {element.name for element in elements}
        elements += [el for el in _elements(optional, config, False, default) if el.name not in names]
    else:
        return None
    for element in elements:
        if not isinstance(element.name, str) or not element.name:
            raise ValueError(f'an element of {side} has no name: {element.name!r}')
    skip = getattr(io, 'skip_empty_keys', False)
    names = skip if isinstance(skip, (tuple, list)) else ()
    return Shape(elements, skip_empty=bool(skip) and not names,
                 force_empty=_as_tuple(getattr(io, 'force_empty_keys', ()) or ()), repeated=repeated)


class Declaration:
    """What a service class declares."""

    def __init__(self, cls, config=None):
        config = dict(INFERENCE, **(config or {}))
        io = cls.__dict__.get('SimpleIO') or getattr(cls, 'SimpleIO', None)
        own_input, own_output = _own(cls, 'input'), _own(cls, 'output')
        self.input = _side(own_input, io, 'input', config)
        self.output = _side(own_output, io, 'output', config)
        wrapped = io is not None and own_output is None and getattr(io, 'output', None) is None
        self.response_elem = getattr(io, 'response_elem', 'response' if wrapped and self.output else None)
        self.request_elem = getattr(io, 'request_elem', None)
        shapes = [shape for shape in (self.input, self.output) if shape is not None]
        self.form = None if not shapes else 'model' if any(shape.model for shape in shapes) else 'simpleio'


def _own(cls, name):
    value = getattr(cls, name, None)
    if isinstance(value, property) or callable(value) and not is_model(value) and not hasattr(value, '__args__'):
        return None
    return value
