"""A token endpoint, and data for those who have a token of it. It says what it does, one word a line."""

import base64
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote_plus

granted = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if granted.get(token, 0) > time.time():
            return self.answer(200, {"token": token})
        return self.answer(404 if self.path == "/" else 401, {})

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            user, _, secret = base64.b64decode(given).decode().partition(":")
            user, secret = unquote_plus(user), unquote_plus(secret)
        else:
            user, secret = form.get("client_id", [""])[0], form.get("client_secret", [""])[0]
        if (user, secret) != ("us&them", "hu:sh"):
            return self.answer(401, {"error": "invalid_client", "error_description": secret})
        if form.get("grant_type") != ["client_credentials"] or form.get("scope") != ["read write"]:
            return self.answer(400, {"error": "invalid_request"})
        token = f"t{len(granted)}"
        granted[token] = time.time() + 2
        print("granted", flush=True)
        return self.answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 2})


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
