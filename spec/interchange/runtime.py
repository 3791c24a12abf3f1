"""Runs ONNX files that Saros wrote in ONNX Runtime, and compares.

    python3 runtime.py FOLDER

Each NAME.onnx in the folder has a NAME.safetensors with the tensors that go in and come out, as
"in.NAME" and "out.NAME". Every file goes through ONNX's checker first, with inference of shapes.
Prints a line "NAME<TAB>difference", or "NAME<TAB>failed: why", for each. A difference is the largest
of all outputs, over the largest value of the output or 1.
"""
import os
import sys

import numpy
import onnx
import onnxruntime

import tensors

KINDS = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32}


def difference(path, given):
    """The largest difference of a file's outputs from those that it should have."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    quiet.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
    feed = {i.name: given["in." + i.name].astype(KINDS[i.type]) for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    if {"out." + name for name in names} != {name for name in given if name.startswith("out.")}:
        raise ValueError("outputs by other names: " + ", ".join(names))
    worst = 0.0
    for name, value in zip(names, session.run(names, feed)):
        wanted = given["out." + name]
        if value.shape != wanted.shape:
            raise ValueError(f"{name} of shape {value.shape}, not {wanted.shape}")
        off = numpy.abs(value.astype(numpy.float64) - wanted).max() / max(1.0, numpy.abs(wanted).max())
        worst = max(worst, float(off)) if off == off else float("inf")
    return worst


def main():
    folder = sys.argv[1]
    for file in sorted(os.listdir(folder)):
        name, kind = os.path.splitext(file)
        if kind == ".onnx":
            path = os.path.join(folder, name)
            try:
                print(f"{name}\t{difference(path + '.onnx', tensors.read(path + '.safetensors')):.3g}", flush=True)
            except Exception as problem:  # whatever the libraries raise is a result
                print(f"{name}\tfailed: {' '.join(str(problem).split())[:600]}", flush=True)


main()
