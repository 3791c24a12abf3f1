"""Recurrent operators as ONNX Runtime computes them, for spec/load_names_spec.lua:

    python3 spec/references/formats/make_onnx.py

writes onnx.npz beside this file: W, R, B, input x and output y of an LSTM of both
directions and of a GRU. It needs onnx, onnxruntime and NumPy.
"""

import os
import numpy, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper

os.chdir(os.path.dirname(os.path.abspath(__file__)))
random = numpy.random.RandomState(1)
T, B, I, H = 5, 2, 3, 4
arrays = {}


def run(name, operator, gates, directions, **attributes):
    shapes = {"W": (directions, gates * H, I), "R": (directions, gates * H, H), "B": (directions, 2 * gates * H)}
    weights = {key: random.randn(*shape).astype("f4") * 0.5 for key, shape in shapes.items()}
    x = random.randn(T, B, I).astype("f4")
    node = helper.make_node(operator, ["x", "W", "R", "B"], ["y"], hidden_size=H,
                            direction="bidirectional" if directions == 2 else "forward", **attributes)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, (T, B, I))],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(w, key) for key, w in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    y = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    y = y.transpose(0, 2, 1, 3).reshape(T, B, directions * H)
    arrays.update({f"{name}/net.{key}": w for key, w in weights.items()} | {f"{name}/x": x, f"{name}/y": y})


run("lstm", "LSTM", 4, 2)
run("gru", "GRU", 3, 1, linear_before_reset=1)
run("gru_before", "GRU", 3, 1, linear_before_reset=0)
run("rnn", "RNN", 1, 1)
numpy.savez_compressed("onnx.npz", **arrays)
