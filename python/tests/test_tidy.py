"""The rules of the code: short files that say what they are, and nothing but the standard library."""

import ast
import os
import sys
import unittest

import kit


def sources(folder):
    for at, folders, names in os.walk(os.path.join(kit.ROOT, folder)):
        folders[:] = [name for name in folders if name not in ('__pycache__', 'fixtures')]
        for name in names:
            if name.endswith('.py'):
                with open(os.path.join(at, name), encoding='utf-8') as file:
                    yield os.path.relpath(os.path.join(at, name), kit.ROOT), file.read()


class Tidy(unittest.TestCase):

    def test_files_are_short_and_say_what_they_are(self):
        for path, text in sources('.'):
            with self.subTest(path=path):
                self.assertLessEqual(text.count('\n'), 400)
                self.assertTrue(ast.get_docstring(ast.parse(text)), 'no doc string')
                self.assertLessEqual(max(map(len, text.splitlines())), 132)

    def test_what_is_public_is_documented(self):
        for path, text in sources('zeugma'):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
                    with self.subTest(path=path, line=node.lineno):
                        self.assertTrue(ast.get_docstring(node), node.name)

    @unittest.skipUnless(hasattr(sys, 'stdlib_module_names'), 'this Python does not know what its library has')
    def test_only_the_standard_library_is_imported(self):
        for path, text in sources('zeugma'):
            for node in ast.walk(ast.parse(text)):
                names = ([alias.name for alias in node.names] if isinstance(node, ast.Import)
                         else [node.module] if isinstance(node, ast.ImportFrom) and not node.level else [])
                for name in names:
                    with self.subTest(path=path, name=name):
                        self.assertIn(name.split('.')[0], sys.stdlib_module_names | {'zeugma'})
