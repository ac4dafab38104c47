"""Element types of declared input and output: what each looks like in a schema, how it is read and written."""

import datetime as dt
from decimal import Decimal as PlainDecimal, InvalidOperation
from operator import index
from uuid import UUID as PlainUUID

#: The value of what nobody gave.
MISSING = type('Missing', (), {'__repr__': lambda self: '<missing>', '__bool__': lambda self: False})()

_TRUE = frozenset(('true', '1', 'yes', 'on', 'y', 't'))
_FALSE = frozenset(('false', '0', 'no', 'off', 'n', 'f'))


def kind_of(value):
    """What a value is called in a fault."""
    if value is None:
        return 'null'
    if isinstance(value, bool):
        return 'a boolean'
    if isinstance(value, (int, float, PlainDecimal)):
        return 'a number'
    if isinstance(value, str):
        return f'{value!r}' if len(value) <= 40 else 'a text'
    if isinstance(value, dict):
        return 'an object'
    if isinstance(value, (list, tuple)):
        return 'a list'
    return f'{type(value).__name__}'


class Wrong(Exception):
    """A value is not what its element is to be. `at` is the path below the element."""

    def __init__(self, expected, value=MISSING, at=''):
        came = '' if value is MISSING else f', not {kind_of(value)}'
        super().__init__(f'is to be {expected}{came}')
        self.at = at


class Element:
    """One element: its name, whether it must be there, what it is if it is not. A leading dash makes it optional."""

    #: x-zeugma-type of the schema.
    tag = 'text'
    #: What a fault calls it.
    expected = 'a text'
    #: Whether the value that services see differs from that of JSON.
    converts = False

    def __init__(self, name=None, *args, default=MISSING, **kw):
        self.required = True
        if isinstance(name, str) and name.startswith('-'):
            name, self.required = name[1:], False
        self.name = name
        self.default = default
        self.configure(*args, **kw)

    def configure(self, *_args, **_kw):
        """What a type takes beside name and default."""

    def shape(self, _defs):
        """The schema of the value."""
        return {'type': 'string'}

    def schema(self, defs):
        """The schema with what is said of this element."""
        found = self.shape(defs)
        if '$ref' not in found:
            found.setdefault('x-zeugma-type', self.tag)
        if self.default is not MISSING:
            found['default'] = self.write(self.default)
        return found

    def read(self, value):
        """The value a service sees, from one of JSON or of a query. Raises Wrong."""
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return 'true' if value else 'false'
        if isinstance(value, (int, float)):
            return str(value)
        raise Wrong(self.expected, value)

    def write(self, value):
        """The value of JSON, from what a service answered. Raises Wrong."""
        if isinstance(value, str):
            return value
        if isinstance(value, bytes):
            return value.decode('utf-8', 'replace')
        if isinstance(value, (dict, list, tuple)):
            raise Wrong(self.expected, value)
        isoformat = getattr(value, 'isoformat', None)
        return isoformat() if isoformat else str(value)


class Text(Element):
    """A text."""


class Secret(Element):
    """A text that no log shows."""

    tag = 'secret'

    def shape(self, _defs):
        return {'type': 'string', 'format': 'password'}


class Int(Element):
    """A whole number."""

    tag = 'int'
    expected = 'an integer'

    def shape(self, _defs):
        return {'type': 'integer'}

    def read(self, value):
        if type(value) is int:
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str):
            try:
                return int(value)
            except ValueError:
                pass
        raise Wrong(self.expected, value)

    def write(self, value):
        if isinstance(value, PlainDecimal) and value == value.to_integral_value():
            return int(value)
        try:
            return index(value)
        except TypeError:
            return self.read(value)


class Float(Element):
    """A number."""

    tag = 'float'
    expected = 'a number'

    def shape(self, _defs):
        return {'type': 'number'}

    def read(self, value):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        if isinstance(value, (str, PlainDecimal)):
            try:
                number = float(value)
            except ValueError:
                number = float('nan')
            if number - number == 0:
                return number
        raise Wrong(self.expected, value)

    def write(self, value):
        if hasattr(value, '__float__') and not isinstance(value, (int, float)):
            value = float(value)
        return self.read(value)


class Bool(Element):
    """True or false."""

    tag = 'bool'
    expected = 'a boolean'

    def shape(self, _defs):
        return {'type': 'boolean'}

    def read(self, value):
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            text = value.lower()
            if text in _TRUE:
                return True
            if text in _FALSE:
                return False
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise Wrong(self.expected, value)

    write = read


class AsIs(Element):
    """Anything, untouched."""

    tag = 'any'
    expected = 'anything'

    def shape(self, _defs):
        return {}

    def read(self, value):
        return value

    write = read


class CSV(Element):
    """Texts with commas between them, or a list of them; services see a list."""

    tag = 'csv'
    expected = 'texts with commas between them'

    def shape(self, _defs):
        return {'type': 'array', 'items': {'type': 'string'}}

    def read(self, value):
        if isinstance(value, str):
            return [part.strip() for part in value.split(',')] if value else []
        if isinstance(value, (list, tuple)):
            return [str(part) for part in value]
        raise Wrong(self.expected, value)

    write = read


class _Converted(Element):
    """A text in JSON, an object of its own in Python."""

    converts = True
    format = ''

    def shape(self, _defs):
        return {'type': 'string', 'format': self.format}

    def parse(self, value):
        """The object; ValueError or InvalidOperation if the text is none."""
        raise NotImplementedError

    def read(self, value):
        try:
            return self.parse(value)
        except (ValueError, TypeError, AttributeError, InvalidOperation):
            raise Wrong(self.expected, value) from None

    def write(self, value):
        value = self.read(value)
        isoformat = getattr(value, 'isoformat', None)
        return isoformat() if isoformat else str(value)


class Date(_Converted):
    """A day: 2026-02-21. Services see a datetime.date."""

    tag = 'date'
    expected = 'a date such as 2026-02-21'
    format = 'date'

    def parse(self, value):
        if isinstance(value, dt.datetime):
            return value.date()
        return value if isinstance(value, dt.date) else dt.date.fromisoformat(value[:10])


def parse_time(value):
    """A datetime from ISO 8601 text, on every version of Python."""
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day)
    text = value.strip().replace(' ', 'T', 1)
    if text[-1:] in 'zZ':
        text = text[:-1] + '+00:00'
    head, dot, rest = text.partition('.')
    if dot:
        digits = len(rest) - len(rest.lstrip('0123456789'))
        text = f'{head}.{rest[:digits][:6]:0<6}{rest[digits:]}'
    return dt.datetime.fromisoformat(text)


class DateTime(_Converted):
    """A moment: 2026-02-21T23:10:11, with or without an offset. Services see a datetime.datetime."""

    tag = 'datetime'
    expected = 'a time such as 2026-02-21T23:10:11'
    format = 'date-time'

    def parse(self, value):
        return parse_time(value)


class UTC(DateTime):
    """A moment in UTC; services see a datetime without an offset, answers go out without one."""

    tag = 'utc'

    def parse(self, value):
        moment = parse_time(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.timezone.utc).replace(tzinfo=None)
        return moment


class Decimal(_Converted):
    """A decimal number, as text or as a number. Services see a decimal.Decimal."""

    tag = 'decimal'
    expected = 'a decimal number'
    format = 'decimal'

    def parse(self, value):
        if isinstance(value, bool) or not isinstance(value, (str, int, float, PlainDecimal)):
            raise ValueError(value)
        number = PlainDecimal(str(value))
        if not number.is_finite():
            raise ValueError(value)
        return number


class UUID(_Converted):
    """A UUID. Services see a uuid.UUID."""

    tag = 'uuid'
    expected = 'a UUID'
    format = 'uuid'

    def parse(self, value):
        return value if isinstance(value, PlainUUID) else PlainUUID(value)


Integer = Int
Boolean = Bool
Unicode = Text
