"""ONNX Runtime's side of `make bench-peers`: inference as in peer_saros.lua.

    python3 bench/peer_onnx.py '{"work": "sequence", "cell": "lstm", ...}'

The work is "sequence" (whole sequences; precision "real", or "int8", which is
what quantize_dynamic makes) or "step" (one step after another, one sequence).
"""

import logging
import os
import tempfile

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import peer

OPERATORS = {"rnn": ("RNN", 1), "gru": ("GRU", 3), "lstm": ("LSTM", 4)}
OPSET, IR_VERSION = 17, 8

# --- Models ------------------------------------------------------------------


def tensor(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def random_weights(name, shape):
    bound = shape[-1] ** -0.5
    values = numpy.random.uniform(-bound, bound, shape).astype(numpy.float32)
    return numpy_helper.from_array(values, name)


def layer(work, number, x, inputs, states, outputs):
    """A node that reads x (T, B, inputs), and its weights."""
    D, H = work.directions, work.hidden
    operator, gates = OPERATORS[work.cell]
    shapes = {"W": (D, gates * H, inputs), "R": (D, gates * H, H), "B": (D, 2 * gates * H)}
    weights = [random_weights(part + str(number), shape) for part, shape in shapes.items()]
    more = {"linear_before_reset": 1} if work.cell == "gru" else {}
    node = helper.make_node(
        operator,
        [x] + [w.name for w in weights] + ([""] + states if states else []),
        outputs,
        hidden_size=H,
        direction="bidirectional" if D == 2 else "forward",
        **more,
    )
    return node, weights


def model_of(nodes, weights, inputs, outputs):
    graph = helper.make_graph(nodes, "peer", inputs, outputs, weights)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )


def sequence_model(work):
    """Layers one above the other: x (T, B, I) -> y (T, B, D H)."""
    T, B, D, H = work.length, work.batch, work.directions, work.hidden
    nodes, weights = [], [numpy_helper.from_array(numpy.array([T, B, D * H]), "shape")]
    x, inputs = "x", H
    for number in range(work.layers):
        y, turned, joined = (part + str(number) for part in ("y", "turned", "joined"))
        node, more = layer(work, number, x, inputs, [], [y])  # y (T, D, B, H)
        nodes += [
            node,
            helper.make_node("Transpose", [y], [turned], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [turned, "shape"], [joined]),
        ]
        weights += more
        x, inputs = joined, D * H
    return model_of(nodes, weights, [tensor("x", (T, B, H))], [tensor(x, (T, B, D * H))])


def step_model(work):
    """One step of one layer, with its states as inputs and outputs."""
    work.directions = 1
    states = ["h", "c"] if work.cell == "lstm" else ["h"]
    shape = (1, 1, work.hidden)
    node, weights = layer(work, 0, "x", 1, states, [""] + ["new_" + s for s in states])
    inputs = [tensor("x", (1, 1, 1))] + [tensor(s, shape) for s in states]
    outputs = [tensor("new_" + s, shape) for s in states]
    return model_of([node], weights, inputs, outputs), states


def to_int8(model):
    """The same model after dynamic quantisation."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("real.onnx", "int8.onnx")]
        onnx.save(model, paths[0])
        quantize_dynamic(*paths, per_channel=True, weight_type=QuantType.QInt8)
        return onnx.load(paths[1])


# --- Work --------------------------------------------------------------------


def session_of(work, model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = work.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class Sequence:
    def __init__(self, work):
        model = sequence_model(work)
        if work.precision == "int8":
            model = to_int8(model)
        self.session = session_of(work, model)
        shape = (work.length, work.batch, work.hidden)
        self.feeds = {"x": numpy.random.randn(*shape).astype(numpy.float32)}

    def run(self, passes):
        for _ in range(passes):
            self.session.run(None, self.feeds)


class Step:
    def __init__(self, work):
        model, self.states = step_model(work)
        self.session = session_of(work, model)
        zero = numpy.zeros((1, 1, work.hidden), numpy.float32)
        self.feeds = {"x": numpy.ones((1, 1, 1), numpy.float32)}
        self.feeds.update((state, zero) for state in self.states)

    def run(self, steps):
        session, states, feeds = self.session, self.states, self.feeds
        for _ in range(steps):
            feeds.update(zip(states, session.run(None, feeds)))


def main():
    work = peer.given_work()
    numpy.random.seed(1)
    name = "ONNX Runtime " + onnxruntime.__version__
    peer.say(name=name, peak_resident_mb=peer.peak_resident_mb())
    kinds = {"sequence": Sequence, "step": Step}
    peer.serve(kinds[work.work](work).run)


main()
