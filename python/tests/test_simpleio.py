"""Declared input and output: schemas, reading, writing, models."""

import datetime as dt
import decimal
import json
import unittest
import uuid
from dataclasses import dataclass, field
from enum import Enum
from typing import Dict as AnyDict, List as ListType, Optional

import kit  # noqa: F401  it makes the package importable
import zeugma as z
from zeugma.errors import OutputError, ValidationException
from zeugma.simpleio import Declaration
from zeugma.wire import dump


def declare(config=None, **attributes):
    return Declaration(type('S', (z.Service,), attributes), config)


def io(**attributes):
    return type('SimpleIO', (), attributes)


class Elements(unittest.TestCase):

    GOOD = [
        (z.Text, 'a', 'a', 'a'), (z.Text, 5, '5', '5'), (z.Text, True, 'true', 'true'), (z.Int, '12', 12, 12),
        (z.Int, 12.0, 12, 12), (z.Float, '1.5', 1.5, 1.5), (z.Float, 2, 2, 2), (z.Bool, 'Yes', True, True),
        (z.Bool, 0, False, False), (z.CSV, 'a, b', ['a', 'b'], ['a', 'b']), (z.CSV, '', [], []),
        (z.Date, '2026-02-21', dt.date(2026, 2, 21), '2026-02-21'),
        (z.DateTime, '2026-02-21T23:10:11.5Z', dt.datetime(2026, 2, 21, 23, 10, 11, 500000, dt.timezone.utc),
         '2026-02-21T23:10:11.500000+00:00'),
        (z.DateTime, '2026-02-21 23:10:11', dt.datetime(2026, 2, 21, 23, 10, 11), '2026-02-21T23:10:11'),
        (z.UTC, '2026-02-21T23:10:11+01:00', dt.datetime(2026, 2, 21, 22, 10, 11), '2026-02-21T22:10:11'),
        (z.Decimal, '1.10', decimal.Decimal('1.10'), '1.10'), (z.Decimal, 1.1, decimal.Decimal('1.1'), '1.1'),
        (z.UUID, '12345678123456781234567812345678', uuid.UUID(int=0x12345678123456781234567812345678),
         '12345678-1234-5678-1234-567812345678'),
        (z.List, [1], [1], [1]), (z.List, 'a', ['a'], ['a']), (z.Dict, {'a': 1}, {'a': 1}, {'a': 1}),
        (z.ListOfDicts, [{'a': 1}], [{'a': 1}], [{'a': 1}]), (z.AsIs, {'a': [1]}, {'a': [1]}, {'a': [1]}),
        (z.Secret, 'x', 'x', 'x'), (z.Opaque, 3, 3, 3),
    ]

    BAD = [
        (z.Text, {}), (z.Text, []), (z.Int, 'x'), (z.Int, 1.5), (z.Int, True), (z.Int, []), (z.Float, 'nan'), (z.Float, 'x'),
        (z.Float, '1e999'), (z.Bool, 'maybe'), (z.Bool, 2), (z.CSV, 5), (z.Date, '2026-02-31'), (z.Date, 5), (z.DateTime, 'x'),
        (z.DateTime, ''), (z.UTC, 7), (z.Decimal, 'NaN'), (z.Decimal, True), (z.UUID, 'x'), (z.UUID, 5), (z.List, {}),
        (z.Dict, []), (z.ListOfDicts, {}), (z.ListOfDicts, [1]),
    ]

    def test_each_reads_and_writes(self):
        for cls, given, read, written in self.GOOD:
            with self.subTest(cls=cls.__name__, given=given):
                shape = declare(input=(cls('x'),), output=(cls('x'),))
                found = shape.input.read({'x': given}).x
                self.assertEqual((found, type(found)), (read, type(read)))
                self.assertEqual(shape.output.write({'x': found}), {'x': written})

    def test_each_refuses(self):
        for cls, given in self.BAD:
            with self.subTest(cls=cls.__name__, given=given):
                with self.assertRaises(ValidationException) as caught:
                    declare(input=(cls('x'),)).input.read({'x': given})
                self.assertEqual(caught.exception.status, 400)
                self.assertEqual(caught.exception.details[0]['at'].split('/')[1], 'x')
                self.assertIn(' not ', caught.exception.message)

    def test_what_json_does_not_know(self):
        self.assertEqual(json.loads(dump({'a': dt.date(2026, 1, 2), 'b': decimal.Decimal('1.0'), 'c': (1, 2),
                                          'd': uuid.UUID(int=1), 'e': b'x'})),
                         {'a': '2026-01-02', 'b': '1.0', 'c': [1, 2], 'd': str(uuid.UUID(int=1)), 'e': 'x'})
        for value in (float('nan'), float('inf')):
            with self.assertRaises(ValueError):
                dump({'a': value})
        with self.assertRaises(TypeError):
            dump({'a': object()})


class Declared(unittest.TestCase):

    def test_the_short_form(self):
        found = declare(input=('cust_id', '-is_vip', '-comment'), output='name')
        self.assertEqual(found.input.schema(), {
            '$schema': 'https://json-schema.org/draft/2020-12/schema', 'type': 'object', 'required': ['cust_id'],
            'properties': {'cust_id': {'type': 'integer', 'x-zeugma-type': 'int'},
                           'is_vip': {'type': 'boolean', 'x-zeugma-type': 'bool', 'default': ''},
                           'comment': {'type': 'string', 'x-zeugma-type': 'text', 'default': ''}}})
        self.assertEqual((found.response_elem, found.form), (None, 'simpleio'))
        self.assertEqual(found.input.read({'cust_id': '7'}), {'cust_id': 7, 'is_vip': '', 'comment': ''})

    def test_the_long_form(self):
        found = declare(SimpleIO=io(input_required='a', input_optional=('a', z.Int('b', default=5)), default_value='none',
                                    output_required=('c',), response_elem=None))
        self.assertEqual(found.input.schema()['required'], ['a'])
        self.assertEqual(found.input.schema()['properties']['b']['default'], 5)
        self.assertIsNone(found.response_elem)
        self.assertEqual(found.input.read({'a': 'x'}), {'a': 'x', 'b': 5})
        found = declare(SimpleIO=io(input_optional='a', default_value='none'))
        self.assertEqual(found.input.read({}), {'a': 'none'})

    def test_both_forms_at_once(self):
        with self.assertRaisesRegex(ValueError, 'cannot be combined'):
            declare(SimpleIO=io(input='a', input_required='b'))

    def test_types_by_name(self):
        def type_of(name, config=None):
            return declare(config, input=name).input.schema()['properties'][name.lstrip('-')]['x-zeugma-type']
        for name, expected in [('id', 'int'), ('user_id', 'int'), ('max_size', 'int'), ('idea', 'text'), ('has_x', 'bool'),
                               ('island', 'text'), ('password', 'secret'), ('-is_x', 'bool'), ('token', 'secret')]:
            self.assertEqual(type_of(name), expected, name)
        self.assertEqual(declare(input=z.AsIs('user_id')).input.schema()['properties']['user_id'], {'x-zeugma-type': 'any'})
        self.assertEqual(type_of('sum_total', {'int': {'suffix': ['_total']}}), 'int')
        self.assertEqual(type_of('user_id', {'int': {'suffix': ['_total']}}), 'text')

    def test_all_faults_at_once(self):
        with self.assertRaises(ValidationException) as caught:
            declare(input=('a_id', 'b_id', z.Nested('n', z.Int('x')))).input.read({'a_id': 'no', 'n': {'x': []}})
        self.assertEqual([detail['at'] for detail in caught.exception.details], ['/a_id', '/b_id', '/n/x'])
        self.assertEqual(caught.exception.details[0]['message'], "is to be an integer, not 'no'")

    def test_input_is_a_dict_with_attributes(self):
        found = declare(input=('items', 'a', '-b')).input.read({'items': 'x', 'a': '1'})
        self.assertEqual((found.items, found['a'], found.a, found.b), ('x', '1', '1', ''))
        self.assertEqual(found.require_any('b', 'a'), '1')
        self.assertEqual(found.deepcopy(), found)
        with self.assertRaises(ValidationException):
            found.require_any('b')
        with self.assertRaisesRegex(AttributeError, "no 'c'"):
            found.c

    def test_what_the_engine_checked(self):
        shape = declare(input=('a', z.DateTime('t'), z.Decimal('-d'), z.Int('-n', default=3))).input
        found = shape.convert({'a': 'x', 't': '2026-02-21T23:10:11', 'd': ''})
        self.assertEqual(found, {'a': 'x', 't': dt.datetime(2026, 2, 21, 23, 10, 11), 'd': '', 'n': 3})


class Output(unittest.TestCase):

    def test_required_and_optional(self):
        shape = declare(output=('a', '-b', z.Int('-c', default=1))).output
        self.assertEqual(shape.write({'a': 1, 'other': 2}), {'a': '1', 'b': '', 'c': 1})
        with self.assertRaises(OutputError) as caught:
            shape.write({'b': {}, 'c': 'x'})
        self.assertEqual([d['at'] for d in caught.exception.details], ['/a', '/b', '/c'])
        self.assertIn('/a: is missing', caught.exception.message)

    def test_empty_ones_can_be_left_out(self):
        shape = declare(SimpleIO=io(output_required='a', output_optional=('b', 'c'), skip_empty_keys=True, force_empty_keys='c'))
        self.assertEqual(shape.output.write({'a': 'x'}), {'a': 'x', 'c': ''})

    def test_rows_of_all_sorts(self):
        class Row:
            def __init__(self):
                self.a = 1
                self._hidden = 2
        shape = declare(output=('a',)).output
        import collections
        rows = [{'a': 1}, Row(), collections.namedtuple('R', 'a')(1)]
        self.assertEqual(shape.write(rows), [{'a': '1'}] * 3)
        with self.assertRaises(OutputError) as caught:
            shape.write([{'a': 1}, 5, {}])
        self.assertEqual([d['at'] for d in caught.exception.details], ['/1', '/2/a'])

    def test_numbers_of_other_libraries(self):
        class Number:
            def __index__(self):
                return 3

            def __float__(self):
                return 3.5

        shape = declare(output=(z.Int('a'), z.Float('b'), z.Int('c'))).output
        self.assertEqual(shape.write({'a': Number(), 'b': Number(), 'c': decimal.Decimal('4.0')}), {'a': 3, 'b': 3.5, 'c': 4})
        for value in (decimal.Decimal('4.5'), decimal.Decimal('NaN')):
            with self.assertRaises(OutputError):
                shape.write({'a': value, 'b': 1, 'c': 1})

    def test_repeated(self):
        shape = declare(SimpleIO=io(output_required='a', output_repeated=True)).output
        self.assertEqual(shape.write({'a': 1}), [{'a': '1'}])


class Kind(Enum):
    HOME = 'home'
    WORK = 'work'


@dataclass
class Phone(z.Model):
    number: str
    kind: Kind = Kind.HOME


@dataclass(init=False)
class Customer(z.Model):
    cust_id: int
    phones: ListType[Phone]
    born: Optional[dt.date]
    main: Optional[Phone] = None
    tags: ListType[str] = field(default_factory=list)
    extra: Optional[AnyDict[str, int]] = None

    def after_created(self):
        self.label = f'#{self.cust_id}'


class Undecorated(z.Model):
    parent: 'Optional[Undecorated]'
    name: str = 'x'


class Models(unittest.TestCase):

    def test_schema(self):
        found = declare(input=Customer, output=ListType[Phone])
        self.assertEqual(found.form, 'model')
        schema = found.input.schema()
        self.assertEqual(schema['required'], ['cust_id', 'phones'])
        self.assertEqual(schema['properties']['phones'],
                         {'type': 'array', 'items': {'$ref': '#/$defs/Phone'}, 'x-zeugma-type': 'list'})
        self.assertEqual(schema['properties']['born']['format'], 'date')
        self.assertEqual(schema['$defs']['Phone']['properties']['kind'],
                         {'enum': ['home', 'work'], 'x-zeugma-type': 'enum', 'default': 'home'})
        self.assertEqual(found.output.schema()['items'], {'$ref': '#/$defs/Phone'})

    def test_reading(self):
        found = declare(input=Customer).input.read({'cust_id': '5', 'phones': [{'number': 7, 'kind': 'work'}, {'number': '8'}],
                                                    'born': '2000-01-02', 'main': {'number': '9'}})
        self.assertEqual((found.cust_id, found.label, found.born, found.tags, found.extra),
                         (5, '#5', dt.date(2000, 1, 2), [], None))
        self.assertEqual([(p.number, p.kind) for p in found.phones], [('7', Kind.WORK), ('8', Kind.HOME)])
        self.assertEqual(found.main.number, '9')

    def test_faults_name_the_path(self):
        read = declare(input=Customer).input.read
        for data, at in [({'cust_id': 1}, '/phones'), ({'cust_id': 1, 'phones': [{'number': '1'}, {}]}, '/phones/1/number'),
                         ({'cust_id': 1, 'phones': {}}, '/phones'), ({'cust_id': 'x', 'phones': []}, '/cust_id'),
                         ({'cust_id': 1, 'phones': [{'number': '1', 'kind': 'moon'}]}, '/phones/0/kind'), ([], '')]:
            with self.subTest(data=data):
                with self.assertRaises(ValidationException) as caught:
                    read(data)
                self.assertEqual(caught.exception.details[0]['at'], at)

    def test_writing(self):
        phone = Phone('1', Kind.WORK)
        shape = declare(output=Customer).output
        made = Customer(cust_id=1, phones=[phone, {'number': 2}])
        self.assertEqual(shape.write(made), {'cust_id': 1, 'phones': [{'number': '1', 'kind': 'work'},
                                                                      {'number': '2', 'kind': None}],
                                             'born': None, 'main': None, 'tags': [], 'extra': None})
        with self.assertRaises(OutputError) as caught:
            shape.write(Customer(cust_id=1, phones=[{'kind': 'home'}]))
        self.assertEqual(caught.exception.details[0]['at'], '/phones/0/number')

    def test_conversions(self):
        made = Customer.from_dict({'cust_id': 1, 'phones': [{'number': '1'}]})
        self.assertEqual(json.loads(made.to_json())['phones'], [{'number': '1', 'kind': 'home'}])
        copy = made.clone()
        copy.phones[0].number = '2'
        self.assertEqual(made.phones[0].number, '1')
        with self.assertRaises(z.BadRequest):
            Customer.from_dict({'cust_id': 1})

    def test_recursion_and_no_decorator(self):
        schema = declare(input=Undecorated).input.schema()
        self.assertIn('Undecorated', schema['$defs'])
        found = declare(input=Undecorated).input.read({'parent': {'name': 'p'}})
        self.assertEqual((found.name, found.parent.name, found.parent.parent), ('x', 'p', None))
