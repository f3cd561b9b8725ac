"""moto server on a free port; says which on stdout, and ends with its stdin.

One request at a time: moto's DynamoDB transactions undo themselves by writing back a copy of the whole table, over
whatever others have written meanwhile."""
import functools
import json
import logging
import os
import sys
import threading

import xmltodict
from moto import backends
from moto.core import responses, serialize
from moto.core.utils import MISSING, get_value
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

# What moto works out anew for every call, and comes to the same each time: half of its time.
modules = frozenset(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: modules
responses.method_names_from_class = functools.cache(responses.method_names_from_class)
xmltodict._validate_name = functools.cache(xmltodict._validate_name)
possible, names = serialize.XFormedAttributePicker.get_possible_keys, {}


def pick(self, context):
    asked = (type(context.obj), context.key, context.shape)
    if asked not in names:
        names[asked] = tuple(dict.fromkeys(possible(self, context)))
    found = (get_value(context.obj, name, MISSING) for name in names[asked])
    value = next((value for value in found if value is not MISSING), None)
    path = f"{context.key_path}.{context.key}"
    for end, transform in self.response_transformers.items():
        if path.endswith(end):
            return transform(value)
    return value


serialize.XFormedAttributePicker.__call__ = pick


class Kept(WSGIRequestHandler):
    """Connections stay open, as AWS keeps them; a head and a body are two writes, which must not wait for each other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True


logging.getLogger("werkzeug").setLevel(logging.ERROR)
app, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()


def serial(environ, start_response):
    with lock:
        return list(app(environ, start_response))


server = make_server("127.0.0.1", 0, serial, threaded=True, request_handler=Kept)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.buffer.read()
os._exit(0)
