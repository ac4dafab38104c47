"""Element types that hold others: lists, objects, objects with elements of their own."""

from .elements import MISSING, AsIs, Element, Text, Wrong


class List(Element):
    """A list of anything; one value that is no list counts as a list of one."""

    tag = 'list'
    expected = 'a list'

    def shape(self, _defs):
        return {'type': 'array'}

    def read(self, value):
        if isinstance(value, list):
            return value
        if isinstance(value, (tuple, set, frozenset)) or hasattr(value, '__next__'):
            return list(value)
        if isinstance(value, dict) or value is None:
            raise Wrong(self.expected, value)
        return [value]

    write = read


def _row(value):
    """A mapping from what a service answered: a dict, a database row, an object with attributes."""
    if isinstance(value, dict):
        return value
    for name in ('_mapping', 'to_dict', '_asdict'):
        found = getattr(value, name, None)
        if found is not None:
            return dict(found() if callable(found) else found)
    if isinstance(value, (str, bytes, int, float, bool, list, tuple, set, frozenset, type(None))):
        raise Wrong('an object', value)
    try:
        return {name: item for name, item in vars(value).items() if not name.startswith('_')}
    except TypeError:
        raise Wrong('an object', value) from None


class Dict(Element):
    """An object; names given after its own must be in it, unless they begin with a dash."""

    tag = 'dict'
    expected = 'an object'

    def configure(self, *keys, **_kw):
        self.keys = keys

    def shape(self, _defs):
        found = {'type': 'object'}
        if self.keys:
            names = [key.lstrip('-') if isinstance(key, str) else key.name for key in self.keys]
            found['properties'] = {name: {} for name in names}
            found['required'] = [n for n, key in zip(names, self.keys)
                                 if not (key.startswith('-') if isinstance(key, str) else not key.required)]
        return found

    def read(self, value):
        if not isinstance(value, dict):
            raise Wrong(self.expected, value)
        for key in self.keys:
            if isinstance(key, str) and not key.startswith('-') and key not in value:
                raise Wrong('there', at='/' + key)
        return value

    def write(self, value):
        return self.read(_row(value))


class DictList(Dict):
    """A list of objects."""

    tag = 'list-of-dicts'
    expected = 'a list of objects'

    def shape(self, defs):
        return {'type': 'array', 'items': super().shape(defs)}

    def read(self, value):
        if not isinstance(value, (list, tuple)):
            raise Wrong(self.expected, value)
        for index, item in enumerate(value):
            try:
                super().read(item)
            except Wrong as wrong:
                wrong.at = f'/{index}{wrong.at}'
                raise
        return list(value)

    def write(self, value):
        if not isinstance(value, (list, tuple)):
            raise Wrong(self.expected, value)
        return self.read([_row(item) for item in value])


class Opaque(AsIs):
    """Anything, untouched."""

    tag = 'opaque'


class Nested(Dict):
    """An object with declared elements: Nested('address', 'street', Int('number')); none: any object."""

    tag = 'nested'
    converts = True

    def configure(self, *elements, **_kw):
        self.keys = ()
        self.elements = [element if isinstance(element, Element) else Text(element) for element in elements]

    def shape(self, defs):
        found = {'type': 'object'}
        if self.elements:
            found['properties'] = {element.name: element.schema(defs) for element in self.elements}
            found['required'] = [element.name for element in self.elements if element.required]
        return found

    def _each(self, value, verb):
        out = dict(value) if verb == 'read' else {}
        for element in self.elements:
            item = value.get(element.name)
            try:
                if item is None:
                    if element.required:
                        raise Wrong('there')
                    if element.default is not MISSING:
                        out[element.name] = element.default
                else:
                    out[element.name] = getattr(element, verb)(item)
            except Wrong as wrong:
                wrong.at = f'/{element.name}{wrong.at}'
                raise
        return out

    def read(self, value):
        if not isinstance(value, dict):
            raise Wrong(self.expected, value)
        return self._each(value, 'read') if self.elements else value

    def write(self, value):
        value = _row(value)
        return self._each(value, 'write') if self.elements else value


ListOfDicts = DictList
row = _row
