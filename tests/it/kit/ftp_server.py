"""A pyftpdlib server for the tests: port, folder, idle time-out in seconds, certificate and key (for TLS)."""

import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer

port, folder, idle = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
users = DummyAuthorizer()
users.add_user("api", "s3cret-Word", folder, perm="elradfmwMT")
handler = FTPHandler
if len(sys.argv) > 4:
    handler = TLS_FTPHandler
    handler.certfile, handler.keyfile = sys.argv[4], sys.argv[5]
    handler.tls_control_required = handler.tls_data_required = True
handler.authorizer = users
handler.timeout = idle
FTPServer(("127.0.0.1", port), handler).serve_forever(timeout=1)
