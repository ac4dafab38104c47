"""An HTTP server that is not ours: it keeps what it is sent. Port, folder: request N is in N.json and N.body there."""

import json
import pathlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder, lock, count = pathlib.Path(sys.argv[2]), threading.Lock(), 0


class Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        global count
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        head = {"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}
        if self.command not in ("HEAD", "OPTIONS"):
            with lock:
                number, count = count, count + 1
            (folder / f"{number}.body").write_bytes(body)
            (folder / f"{number}.json").write_text(json.dumps(head))
        self.send_response(201)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")

    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Recorder).serve_forever()
