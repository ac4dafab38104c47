"""An HTTP server that is not ours, for tests of outgoing connections: it says what it was asked, and fails on demand.

    http_server.py PORT [CERTIFICATE KEY [CLIENT_CA]]

    /status/503             answers that; ?retry-after=1 adds the header
    /flaky/NAME/503/2       answers that twice, then what it was asked; `hangup` for a status closes the connection
    /tries/NAME             how often /flaky/NAME was asked
    /slow?s=1               takes its time
    /parallel?s=0.2         the same; /most says how many of them there were at a time
    /big?n=1000             so many bytes; /chunked?n=1000 does not say so before
    /redirect?to=URL        sends elsewhere
    anything else           what it was asked, as JSON
"""
import collections
import http.server
import json
import ssl
import sys
import threading
import time
import urllib.parse

lock = threading.Lock()
tries = collections.Counter()
now_and_most = [0, 0]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def body(self):
        if self.headers.get('transfer-encoding', '').lower() != 'chunked':
            return self.rfile.read(int(self.headers.get('content-length', 0)))
        body = b''
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status, value, headers=()):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def asked(self, body, **more):
        headers = {}
        for name, value in self.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        return {'method': self.command, 'target': self.path, 'headers': headers, 'length': len(body),
                'body': body[:1000].decode('latin-1'), 'port': self.server.server_port, **more}

    def handle_any(self):
        body = self.body()
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        steps = url.path.strip('/').split('/')
        retry = [('retry-after', query['retry-after'])] if 'retry-after' in query else []
        match steps:
            case ['status', status]:
                self.answer(int(status), None, retry)
            case ['flaky', name, status, times]:
                with lock:
                    tries[name] += 1
                    nth = tries[name]
                if nth > int(times):
                    self.answer(200, self.asked(body, tries=nth))
                elif status == 'hangup':
                    self.close_connection = True
                else:
                    self.answer(int(status), None, retry)
            case ['tries', name]:
                self.answer(200, tries[name])
            case ['slow']:
                time.sleep(float(query['s']))
                self.answer(200, None)
            case ['parallel']:
                with lock:
                    now_and_most[0] += 1
                    now_and_most[1] = max(now_and_most)
                time.sleep(float(query['s']))
                with lock:
                    now_and_most[0] -= 1
                self.answer(200, None)
            case ['most']:
                self.answer(200, now_and_most[1])
            case ['big']:
                self.send_response(200)
                self.send_header('content-length', query['n'])
                self.end_headers()
                self.wfile.write(b'x' * int(query['n']))
            case ['chunked']:
                self.send_response(200)
                self.send_header('transfer-encoding', 'chunked')
                self.end_headers()
                for _ in range(int(query['n']) // 100):
                    self.wfile.write(b'64\r\n' + b'x' * 100 + b'\r\n')
                self.wfile.write(b'0\r\n\r\n')
            case ['redirect']:
                self.answer(302, None, [('location', query['to'])])
            case _:
                self.answer(200, self.asked(body))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def finish_request(self, request, address):
        # In the thread of the request: a client that says nothing holds up nobody else.
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, address)

    def handle_error(self, request, address):
        print(address, repr(sys.exception()) if hasattr(sys, 'exception') else sys.exc_info()[1], flush=True)


server = Server(('127.0.0.1', int(sys.argv[1])), Handler)
server.tls = None
if len(sys.argv) > 2:
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(sys.argv[2], sys.argv[3])
    if len(sys.argv) > 4:
        server.tls.load_verify_locations(sys.argv[4])
        server.tls.verify_mode = ssl.CERT_REQUIRED
server.serve_forever()
