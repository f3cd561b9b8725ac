"""moto server on a free port; says which on stdout, and ends with its stdin.

One request at a time: moto's DynamoDB transactions undo themselves by writing back a copy of the whole table, over
whatever others have written meanwhile."""
import gc
import json
import logging
import os
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
app, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()


def serial(environ, start_response):
    with lock:
        return list(app(environ, start_response))


# What is there now stays: the collector need not look through it, and seldom through the rest.
gc.freeze()
gc.set_threshold(100_000, 20, 100)
gc.enable()
server = make_server("127.0.0.1", 0, serial, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.buffer.read()
os._exit(0)
