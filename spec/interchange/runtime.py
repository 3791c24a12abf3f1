"""Runs ONNX files that Saros wrote in ONNX Runtime, and compares.

    python3 runtime.py FOLDER

Each NAME.onnx in the folder has a NAME.safetensors with the tensors that go in and come out, as
"in.NAME" and "out.NAME". Every file goes through ONNX's checker first, with inference of shapes.
Prints a line "NAME<TAB>difference", or "NAME<TAB>failed: why", for each. A difference is the largest
of all outputs, over the largest value in the output or 1.
"""
import json
import os
import sys

import numpy
import onnx
import onnxruntime


def tensors(path):
    """The tensors of a safetensors file by name."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = file.read()
    kinds = {"F32": numpy.float32, "F64": numpy.float64, "I32": numpy.int32, "I64": numpy.int64}
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            found[name] = numpy.frombuffer(data[start:stop], kinds[entry["dtype"]]).reshape(entry["shape"])
    return found


def difference(path, given):
    """The largest difference of a file's outputs from those that it should have."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    quiet.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
    kinds = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32}
    feed = {i.name: given["in." + i.name].astype(kinds[i.type]) for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    worst = 0.0
    for name, value in zip(names, session.run(names, feed)):
        wanted = given["out." + name]
        if value.shape != wanted.shape:
            raise ValueError(f"{name} of shape {value.shape}, not {wanted.shape}")
        if value.size:
            off = numpy.abs(value.astype(numpy.float64) - wanted).max() / max(1.0, numpy.abs(wanted).max())
            worst = max(worst, float(off)) if off == off else float("inf")
    missing = {n[4:] for n in given if n.startswith("out.")} - set(names)
    if missing:
        raise ValueError("outputs that are not there: " + ", ".join(sorted(missing)))
    return worst


def main():
    folder = sys.argv[1]
    for file in sorted(os.listdir(folder)):
        name, kind = os.path.splitext(file)
        if kind == ".onnx":
            try:
                print(f"{name}\t{difference(os.path.join(folder, file), tensors(os.path.join(folder, name + '.safetensors'))):.3g}")
            except Exception as problem:
                print(f"{name}\tfailed: {' '.join(str(problem).split())[:600]}")
            sys.stdout.flush()


main()
