#!/usr/bin/env bash
# Runs the tests of the Python package with every Python from 3.9 on that is found, or with those given.
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
    "$python" -s -B -m unittest discover -s tests
done
[ "$seen" != ' ' ] || { echo 'no Python from 3.9 on was found' >&2; exit 1; }
