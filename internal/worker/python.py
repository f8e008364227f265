# Calls a function of the user for each file that cdb asks about.
# Arguments: the absolute path of a Python file, the name of a function in it, and what lists become, "repr" or "json".
import base64
import importlib.machinery
import importlib.util
import json
import math
import os
import struct
import sys
import traceback


def main(path, name, lists):
    # The protocol gets streams of its own. What functions, libraries and
    # their children print on standard output goes to standard error.
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    try:
        function = load(path, name)
    except BaseException as error:
        send(replies, {"id": 0, "error": describe(error, path)})
        return
    send(replies, {"id": 0})
    while True:
        request = receive(requests)
        if request is None:
            return
        reply = {"id": request["id"]}
        try:
            file = os.fsdecode(base64.b64decode(request["file"]))
            kind, text = convert(function(file), lists)
            reply["kind"] = kind
            reply["text"] = base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()
        except BaseException as error:
            reply = {"id": request["id"], "error": describe(error, path)}
        send(replies, reply)


def load(path, name):
    """Returns the function; the folder of its file is where it imports from."""
    sys.argv = [path]
    sys.path[0] = os.path.dirname(path)
    module_name = os.path.splitext(os.path.basename(path))[0]
    if module_name in sys.modules:
        module_name = "_" + module_name
    loader = importlib.machinery.SourceFileLoader(module_name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(module_name, loader))
    sys.modules[module_name] = module
    loader.exec_module(module)
    function = module
    for part in name.split("."):
        if not hasattr(function, part):
            raise AttributeError("there is no %r in the file" % name)
        function = getattr(function, part)
    if not callable(function):
        raise TypeError("%r is no function" % name)
    return function


def convert(result, lists):
    """Returns the kind of what a function returned, and its text."""
    if isinstance(result, dict):
        return "dict", dumps(result)
    if isinstance(result, str):
        return "str", result
    if isinstance(result, list):
        return "list", dumps(result) if lists == "json" else repr(result)
    if result is None:
        return "none", "None"
    raise TypeError("it returned %s, not a dict, str, list or None" % type(result).__name__)


def dumps(value):
    """Returns value as JSON. What JSON has no number for becomes null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        if "ircular" in str(error):
            raise
        return json.dumps(finite(value), allow_nan=False)


def finite(value):
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(member) for member in value]
    return value


def describe(error, path):
    """Returns the last line of the traceback, and the line of the file."""
    lines = traceback.format_exception_only(type(error), error)
    text = lines[-1].strip() if lines else type(error).__name__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == path:
            return "%s (%s, line %s)" % (text, os.path.basename(path), frame.lineno)
    if isinstance(error, SyntaxError) and error.filename == path:
        return "%s (%s, line %s)" % (error.msg, os.path.basename(path), error.lineno)
    return text


def receive(stream):
    head = stream.read(4)
    if len(head) < 4:
        return None
    (size,) = struct.unpack(">I", head)
    return json.loads(stream.read(size))


def send(stream, reply):
    text = json.dumps(reply).encode()
    stream.write(struct.pack(">I", len(text)) + text)
    stream.flush()


main(sys.argv[1], sys.argv[2], sys.argv[3])
