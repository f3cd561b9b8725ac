"""moto server on a free port; says which on stdout, and ends with its stdin.

One request at a time: moto's DynamoDB transactions undo themselves by writing back a copy of the whole table, over
whatever others have written meanwhile."""
import functools
import gc
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
from werkzeug.serving import make_server

# What moto works out anew for every call, and comes to the same each time: more than half of its time.
modules = frozenset(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: modules
responses.method_names_from_class = functools.cache(responses.method_names_from_class)
xmltodict._validate_name = functools.cache(xmltodict._validate_name)
names, transforms = {}, {}


def value_of(self, value, key, shape):
    """The member `key` of an answer: under which names it may be found depends on types alone."""
    asked, picker = (type(value), key, shape), self._value_picker
    if asked not in names:
        context = serialize.AttributePickerContext(obj=value, key=key, shape=shape)
        names[asked] = tuple(dict.fromkeys(picker.get_possible_keys(context)))
    for name in names[asked]:
        found = get_value(value, name, MISSING)
        if found is not MISSING:
            break
    else:
        found = None
    if picker.response_transformers:
        path = (id(picker.response_transformers), *self.path, key)
        if path not in transforms:
            whole = ".".join(path[1:])
            ends = (one for end, one in picker.response_transformers.items() if whole.endswith(end))
            transforms[path] = next(ends, None)
        if transforms[path]:
            return transforms[path](found)
    return found


serialize.ResponseSerializer.get_value = value_of


logging.getLogger("werkzeug").setLevel(logging.ERROR)
app, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()


def serial(environ, start_response):
    with lock:
        return list(app(environ, start_response))


# What is there now stays: the collector need not look through it again and again.
gc.freeze()
server = make_server("127.0.0.1", 0, serial, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.buffer.read()
os._exit(0)
