"""Tensors by name in safetensors files, with NumPy alone."""
import json

import numpy

KINDS = {"F32": numpy.float32, "F64": numpy.float64, "I32": numpy.int32, "I64": numpy.int64}


def read(path):
    """The tensors of a file by name."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            found[name] = numpy.frombuffer(data[start:stop], KINDS[entry["dtype"]]).reshape(entry["shape"])
    return found


def write(path, tensors):
    """Writes arrays by name as floats of 32 bits."""
    header, parts, at = {}, [], 0
    for name, array in tensors.items():
        data = numpy.ascontiguousarray(array, numpy.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(parts))
