"""What moto does again and again, and comes to the same each time: more than half of its time."""
import gc

# Nothing that is loaded is garbage (`serve.py` lets the collector begin).
gc.disable()

import functools
from collections import defaultdict
from copy import deepcopy

import xmltodict
from moto import backends
from moto.core import responses, serialize
from moto.core.utils import MISSING, get_value
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

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


def kept(self, memo):
    """What a transaction goes back to. moto copies every item of the table; none of them is changed in place."""
    table = object.__new__(type(self))
    table.__dict__.update(self.__dict__)
    table.items = defaultdict(dict)
    for key, item in self.items.items():
        table.items[key] = dict(item) if isinstance(item, dict) else item
    return table


def update_item(self, name, key, *rest, was=DynamoDBBackend.update_item, **named):
    """On a copy of the item, which takes its place."""
    table = self.get_table(name)
    first = DynamoType(key[table.hash_key_attr])
    found = table.items.get(first)
    if isinstance(found, dict):
        second = DynamoType(key[table.range_key_attr])
        if second in found:
            found[second] = deepcopy(found[second])
    elif found:
        table.items[first] = deepcopy(found)
    return was(self, name, key, *rest, **named)


Table.__deepcopy__ = kept
DynamoDBBackend.update_item = update_item
