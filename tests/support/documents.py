"""The network of smallnet.py as a file's content, ways to spoil it, and what then is said."""

import copy
import json

import pytest
from smallnet import network
from tercet.model import NetworkError
from tercet.model.formats.json_file import dumps, loads

DOCUMENT = json.loads(dumps(network()))


def edited(path, value):
    """DOCUMENT with the item at ``path`` set; a callable gets the old item and gives the new."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path
    place = document
    for step in parents:
        place = place[step]
    place[last] = value(place[last]) if callable(value) else value
    return document


def refusal(document):
    """The message for a document, given as text or as what json.dumps makes text of."""
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(NetworkError) as caught:
        loads(text)
    return str(caught.value)


def _objects():
    """Every object of DOCUMENT with fields: (path, how its messages begin)."""
    yield (), "The file"
    for name in DOCUMENT["tensors"]:
        yield ("tensors", name), f"Tensor {name!r}"
    for index, layer in enumerate(DOCUMENT["layers"]):
        where = f"Layer {layer['name']!r}"
        yield ("layers", index), where
        for part in ("weights", "requant"):
            if part in layer:
                yield ("layers", index, part), f"{where}: {part}"


def at(path):
    item = DOCUMENT
    for step in path:
        item = item[step]
    return item


# Every object with fields by its path, and how the messages about it begin.
OBJECTS = dict(_objects())
