"""ngshare's own server on this machine's loopback; a token is the name of its user, since there is no hub to ask.

``python ngshare_server.py FOLDER``: it prints its port.
"""

import os
import sys

os.environ |= dict.fromkeys(("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_CLIENT_ID", "JUPYTERHUB_API_URL"), "none")
os.environ["JUPYTERHUB_SERVICE_PREFIX"] = "/api/"

from ngshare.ngshare import MyApplication, MyRequestHandler
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets

if __name__ == "__main__":
    folder = sys.argv[1]
    MyRequestHandler.user_for_token = lambda self, token: {"name": token}
    (socket,) = bind_sockets(0, "127.0.0.1")
    database = f"sqlite:///{folder}/ngshare.db"
    HTTPServer(MyApplication("/api/", database, f"{folder}/files", admin=["admin"], autoreload=False)).add_socket(
        socket
    )
    print(socket.getsockname()[1], flush=True)
    IOLoop.current().start()
