// Runs the tests that need no processes in the Python of Pyodide, which is a newer one than most systems have:
//
//     node python/tests/wasm.mjs FOLDER_OF_PYODIDE
//
// There are neither forks nor threads nor an event loop that can wait, so that worker and zygote are only imported here.

import { pathToFileURL, fileURLToPath } from 'node:url';
import { join, dirname } from 'node:path';

const { loadPyodide } = await import(pathToFileURL(join(process.argv[2], 'pyodide.mjs')));
const python = await loadPyodide();
python.mountNodeFS('/python', dirname(dirname(fileURLToPath(import.meta.url))));
const failed = python.runPython(`
import importlib, pkgutil, sys, unittest, warnings
sys.dont_write_bytecode = True
sys.path[:0] = ['/python/tests', '/python']
warnings.simplefilter('error')
print('Python', sys.version.split()[0], '(Pyodide)')

import zeugma
for module in pkgutil.iter_modules(zeugma.__path__):
    try:
        importlib.import_module('zeugma.' + module.name)
    except ModuleNotFoundError as error:
        assert error.name in ('ctypes', 'resource'), error

def drive(coroutine):
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value

import zeugma.testing
zeugma.testing.asyncio.run = drive
suite = unittest.defaultTestLoader.loadTestsFromNames(['test_simpleio', 'test_testing', 'test_tidy'])
int(not unittest.TextTestRunner(stream=sys.stdout).run(suite).wasSuccessful())
`);
process.exit(failed);
