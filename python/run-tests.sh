#!/usr/bin/env bash
# Runs the tests of the Python package with every Python from 3.9 on that is found, or with those given; and those that need
# no processes with Python 3.14, where tests/servers.sh has installed one.
set -euo pipefail
cd "$(dirname "$0")"

found=("$@")
if [ ${#found[@]} -eq 0 ]; then
    found=(python3 /usr/bin/python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3)
fi

seen=' '
for python in "${found[@]}"; do
    version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3] if sys.version_info >= (3, 9) else "")' 2>/dev/null) || continue
    [ -n "$version" ] || continue
    case $seen in *" $version "*) continue ;; esac
    seen+="$version "
    echo "Python $version ($python)"
    PYTHONWARNINGS=error::DeprecationWarning "$python" -s -B -m unittest discover -s tests
done
pyodide=${ZEUGMA_TEST_SERVERS:-../target/servers}/pyodide/node_modules/pyodide
if [ $# -eq 0 ] && [ -f "$pyodide/pyodide.mjs" ] && command -v node >/dev/null; then
    node tests/wasm.mjs "$pyodide"
fi
[ "$seen" != ' ' ] || { echo 'no Python from 3.9 on was found' >&2; exit 1; }
