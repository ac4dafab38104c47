"""What is told of a service without running it: documentation, input and output, callees, connections."""

import ast
import inspect

from .outgoing import KINDS

_NOT_KINDS = frozenset(('get', 'conn'))
_INVOKES = frozenset(('invoke', 'invoke_async', 'invoke_by_impl_name'))


def declare(plan, module, dotted, path, texts):
    """The description of one service, as the engine keeps it."""
    cls = plan.cls
    if path not in texts:
        texts[path] = _text(module)
    source, line, tree = _source(cls, texts[path])
    seen = _Walk(module)
    if tree is not None:
        seen.visit(tree)
    own = cls.invokes
    invokes = [own] if isinstance(own, str) else [getattr(i, 'name', None) or str(i) for i in own or ()]
    namespace = cls.__dict__.get('namespace') or getattr(cls, 'namespace', '') or getattr(module, 'namespace', '') or ''
    docs = inspect.cleandoc(cls.__dict__.get('__doc__') or '')
    summary, _, rest = docs.partition('\n')
    declaration = plan.declaration
    return {
        'name': plan.name, 'class': cls.__name__, 'module': dotted, 'file': path, 'line': line,
        'namespace': str(namespace), 'namespace_docs': inspect.cleandoc(str(getattr(module, 'namespace_docs', '') or '')),
        'summary': summary.strip(), 'description': rest.strip() or summary.strip(), 'docs': docs,
        'input': declaration.input.schema() if declaration.input else None,
        'output': declaration.output.schema() if declaration.output else None,
        'input_form': declaration.form, 'response_elem': declaration.response_elem,
        'verbs': sorted(plan.verbs), 'async': plan.is_async,
        'invokes': sorted(set(invokes) | seen.invokes),
        'connections': [{'kind': kind, 'name': name} for kind, name in sorted(seen.connections)],
        'dynamic_invokes': seen.dynamic, 'source': source,
    }


def _text(module):
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ''


def _source(cls, text):
    """The text of a class, its line and its syntax tree."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return '', None, None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            found = node
            first = min([node.lineno] + [d.lineno for d in node.decorator_list])
            lines = text.splitlines()[first - 1:node.end_lineno]
            return '\n'.join(lines) + '\n', node.lineno, found
    return '', None, None


class _Walk(ast.NodeVisitor):
    """Finds self.invoke(...) and self.outgoing.KIND[...]."""

    def __init__(self, module):
        self.module = module
        self.invokes = set()
        self.connections = set()
        self.dynamic = False

    def _name(self, node):
        """The text an expression stands for, if that can be known: a literal, or a constant of the module."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name):
            value = getattr(self.module, node.id, None)
            if isinstance(value, type):
                value = getattr(value, 'name', None)
            return value if isinstance(value, str) else None
        if isinstance(node, ast.Attribute) and node.attr == 'name' and isinstance(node.value, ast.Name):
            value = getattr(getattr(self.module, node.value.id, None), 'name', None)
            return value if isinstance(value, str) else None
        return None

    def visit_Call(self, node):
        target = node.func
        if isinstance(target, ast.Attribute):
            if target.attr in _INVOKES and isinstance(target.value, ast.Name) and target.value.id == 'self':
                self._invoked(node)
                self._told(node)
            elif target.attr == 'invoke' and self._is_patterns(target.value):
                self._invoked(node)
                self._told(node)
            elif target.attr == 'get' and node.args:
                self._used(target.value, node.args[0])
        self.generic_visit(node)

    def visit_Subscript(self, node):
        index = node.slice
        self._used(node.value, getattr(index, 'value', index) if type(index).__name__ == 'Index' else index)
        self.generic_visit(node)

    def _invoked(self, node):
        words = ('service', 'name', 'target', 'targets')
        first = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg in words), None)
        self._calls(first.keys if isinstance(first, ast.Dict) else [first])

    def _told(self, node):
        """The services that hear of the outcome."""
        words = ('callback', 'on_target', 'on_final')
        told = [keyword.value for keyword in node.keywords if keyword.arg in words]
        if getattr(node.func.value, 'attr', None) in ('fanout', 'parallel'):
            told += node.args[1:]
        for value in told:
            own = isinstance(value, ast.Name) and value.id == 'self' or isinstance(value, ast.Constant) and not value.value
            self._calls(value.elts if isinstance(value, (ast.List, ast.Tuple)) else [] if own else [value])

    def _calls(self, nodes):
        for node in nodes:
            name = self._name(node) if node is not None else None
            if name:
                self.invokes.add(name)
            else:
                self.dynamic = True

    @staticmethod
    def _is_patterns(node):
        return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == 'patterns'

    def _used(self, node, index):
        if not isinstance(node, ast.Attribute) or node.attr in _NOT_KINDS:
            return
        owner = node.value
        direct = isinstance(owner, ast.Attribute) and owner.attr in ('outgoing', 'out')
        short = isinstance(owner, ast.Name) and owner.id == 'self' and node.attr == 'rest'
        if direct or short:
            name = self._name(index)
            if name:
                self.connections.add((KINDS.get(node.attr, node.attr), name))
