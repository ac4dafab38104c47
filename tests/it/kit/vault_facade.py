"""Two log-ins that OpenBao does not have, in front of it: GitHub and LDAP. Everything else is passed on.

A log-in by LDAP is a real bind against a real directory. GitHub is a stand-in: a list of tokens. Both are answered with a
real token of OpenBao, whose policies are those of the groups or teams.

    vault_facade.py PORT BAO_URL ROOT_TOKEN LDAPWHOAMI LDAP_URL
"""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, BAO, ROOT, WHOAMI, LDAP = sys.argv[1:]
GITHUB = {"ghp_octo": ("octocat", ["clerks", "builders"])}
POLICIES = {"clerk": ["clerks"]}
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def bao(method, path, body, headers):
    request = urllib.request.Request(BAO + path, body, headers, method=method)
    try:
        with DIRECT.open(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def minted(username, policies):
    wish = {"policies": policies, "ttl": "60s", "meta": {"username": username}, "display_name": username, "no_parent": True}
    headers = {"X-Vault-Token": ROOT, "Content-Type": "application/json"}
    return bao("POST", "/v1/auth/token/create", json.dumps(wish).encode(), headers)


def bind(username, password):
    if not re.fullmatch(r"[a-z0-9]+", username) or not password:
        return False
    who = [WHOAMI, "-x", "-H", LDAP, "-D", f"uid={username},dc=test", "-w", password]
    return subprocess.run(who, capture_output=True, timeout=10).returncode == 0


class Facade(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, what):
        self.answer(status, json.dumps({"errors": [what]}).encode())

    def any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = json.loads(body) if body else {}
        if self.command == "POST" and self.path == "/v1/auth/github/login":
            known = GITHUB.get(given.get("token"))
            return self.answer(*minted(*known)) if known else self.refuse(400, "401 Bad credentials")
        by_ldap = re.fullmatch(r"/v1/auth/ldap/login/([^/]+)", self.path)
        if self.command == "POST" and by_ldap:
            name = by_ldap.group(1)
            if bind(name, given.get("password", "")):
                return self.answer(*minted(name, POLICIES.get(name, [])))
            return self.refuse(400, "ldap operation failed: failed to bind as user")
        kept = {k: v for k, v in self.headers.items() if k.lower().startswith("x-vault-") or k.lower() == "content-type"}
        self.answer(*bao(self.command, self.path, body or None, kept))

    do_GET = do_POST = do_PUT = do_DELETE = do_LIST = any


ThreadingHTTPServer(("127.0.0.1", int(PORT)), Facade).serve_forever()
