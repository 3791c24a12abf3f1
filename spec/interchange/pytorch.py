"""Makes recurrent nets in PyTorch, by seeds, and exports them as ONNX files.

    python3 pytorch.py FOLDER FROM TO

NAME.onnx is by the exporter that traces (TorchScript), or for each tenth net by that of torch.export
(dynamo), if onnxscript can be imported. NAME.safetensors has what goes in and comes out: "in.x" (T, B, F)
or ids (T, B) from 0, "in.lengths", "in.h0", "in.c0", and "out.y" (T, B, F), "out.hn", "out.cn"; "axes", of
files with a fixed number of steps, is 1 if rows come first in them. Prints a line "NAME<TAB>what it is", or
"NAME<TAB>failed: why".
"""
import contextlib
import io
import logging
import os
import sys
import warnings

import torch
from torch import nn

import tensors

try:
    import onnxscript  # noqa: F401
    HAS_DYNAMO = True
except ImportError:
    HAS_DYNAMO = False


class Drawn:
    """Choices by a seed."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def integer(self, low, high):
        return int(torch.randint(low, high + 1, (1,), generator=self.generator))

    def pick(self, *choices):
        return choices[self.integer(0, len(choices) - 1)]

    def chance(self, share):
        return float(torch.rand(1, generator=self.generator)) < share


FUNCTIONS = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Hardtanh]


class Net(nn.Module):
    """An embedding or a linear layer, a convolution, recurrent layers, and a head."""

    def __init__(self, d, by_dynamo):
        super().__init__()
        self.kind, self.batch_first = d.pick("LSTM", "GRU", "RNN"), d.chance(0.5)
        self.symbols, size = d.integer(4, 9) if d.chance(0.3) else None, d.integer(1, 6)
        self.width = None if self.symbols else size
        self.front = nn.Embedding(self.symbols, size) if self.symbols else None
        if not self.symbols and d.chance(0.4):
            self.front, size = nn.Sequential(nn.Linear(size, 5), d.pick(*FUNCTIONS)()), 5
        self.kernel = d.integer(2, 4) if d.chance(0.25) else None
        if self.kernel:
            self.conv, size = nn.Conv1d(size, 6, self.kernel, dilation=d.integer(1, 2)), 6
        self.layers, self.hidden, self.ways = d.integer(1, 2), d.integer(1, 8), 2 if d.chance(0.3) else 1
        more = {"nonlinearity": d.pick("tanh", "relu")} if self.kind == "RNN" else {}
        self.recurrent = getattr(nn, self.kind)(size, self.hidden, self.layers, bias=d.chance(0.8),
                                                batch_first=self.batch_first, bidirectional=self.ways == 2, **more)
        size = self.hidden * self.ways
        head = [nn.LayerNorm(size)] if d.chance(0.15) and size > 3 else []
        if d.chance(0.4):
            head, size = head + [nn.Linear(size, 6), d.pick(*FUNCTIONS)()], 6
        head.append(nn.Linear(size, 3))
        self.head = nn.Sequential(*head, *([nn.Softmax(-1)] if d.chance(0.2) else []))
        self.takes = d.pick("states", "nothing", "nothing" if by_dynamo else "lengths") if not self.kernel else "states"

    def forward(self, x, *more):
        x = self.front(x) if self.front is not None else x
        if self.kernel:
            steps = x.transpose(1, 2) if self.batch_first else x.permute(1, 2, 0)
            before = self.conv.dilation[0] * (self.kernel - 1)
            steps = self.conv(nn.functional.pad(steps, (before, 0)))
            x = steps.transpose(1, 2) if self.batch_first else steps.permute(2, 0, 1)
        if self.takes == "lengths":
            x = nn.utils.rnn.pack_padded_sequence(x, more[0], batch_first=self.batch_first)
        if self.takes == "states":
            y, last = self.recurrent(x, tuple(more) if self.kind == "LSTM" else more[0])
        else:
            y, last = self.recurrent(x)
        if self.takes == "lengths":
            y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=self.batch_first)
        last = last if self.kind == "LSTM" else (last,)
        return (self.head(y), *last) if self.takes == "states" else self.head(y)


def arguments_of(net, d):
    """What the net is called with, and the names of that."""
    T, B = d.integer(2, 8), d.integer(1, 4)
    shape = (B, T) if net.batch_first else (T, B)
    if net.symbols:
        x = torch.randint(0, net.symbols, shape, generator=d.generator)
    else:
        x = torch.randn(*shape, net.width, generator=d.generator)
    if net.takes == "states":
        names = ["h0", "c0"] if net.kind == "LSTM" else ["h0"]
        states = [torch.randn(net.layers * net.ways, B, net.hidden, generator=d.generator) * 0.5 for _ in names]
        return (x, *states), ["x", *names], ["y", *[name[0] + "n" for name in names]]
    if net.takes == "lengths":
        lengths = torch.randint(1, T + 1, (B,), generator=d.generator).sort(descending=True).values
        lengths[0] = T
        return (x, lengths), ["x", "lengths"], ["y"]
    return (x,), ["x"], ["y"]


def export(net, given, names, outputs, path, by_dynamo):
    """Writes the file, with free sizes of time and rows."""
    time, rows = (1, 0) if net.batch_first else (0, 1)
    if by_dynamo:
        B = torch.export.Dim("batch", min=1)
        shapes = [{rows: B}] + [{1: B} for _ in given[1:]]  # it writes out all steps, whose number is fixed
        # Sizes of 1 would be taken for constants.
        example = [torch.cat([a, a], rows if n == 0 else 1) for n, a in enumerate(given)]
        dynamic = {"x": shapes[0], "more": tuple(shapes[1:])} if given[1:] else {"x": shapes[0]}
        torch.onnx.export(net, tuple(example), path, input_names=names, output_names=outputs, dynamo=True,
                          dynamic_shapes=dynamic, external_data=False, verbose=False)
        return
    axes = {"x": {time: "time", rows: "batch"}, "y": {time: "time", rows: "batch"}}
    for name in names[1:] + outputs[1:]:
        axes[name] = {0: "batch"} if name == "lengths" else {1: "batch"}
    torch.onnx.export(net, given, path, input_names=names, output_names=outputs, dynamo=False, dynamic_axes=axes,
                      opset_version=17)


def steps_first(net, x):
    return x.transpose(0, 1) if net.batch_first else x


def make(folder, seed):
    """One net and its file; a line about it."""
    torch.manual_seed(seed)
    d = Drawn(seed)
    by_dynamo = HAS_DYNAMO and seed % 10 == 0
    net = Net(d, by_dynamo).eval()
    given, names, outputs = arguments_of(net, d)
    path = os.path.join(folder, f"{seed:04d}")
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
        told = net(*given)
        export(net, given, names, outputs, path + ".onnx", by_dynamo)
    told = told if isinstance(told, tuple) else (told,)
    found = {"in." + name: value for name, value in zip(names, given)}
    found.update({"out." + name: value for name, value in zip(outputs, told)})
    for name in ("in.x", "out.y"):
        found[name] = steps_first(net, found[name])
    if by_dynamo:
        found["axes"] = torch.tensor([1.0 if net.batch_first else 0.0])
    tensors.write(path + ".safetensors", {name: value.numpy() for name, value in found.items()})
    return (f"{'dynamo' if by_dynamo else 'traced'} {net.kind}, {net.takes}{', both ways' if net.ways == 2 else ''}"
            f"{', conv' if net.kernel else ''}{', ids' if net.symbols else ''}{', rows first' if net.batch_first else ''}")


def main():
    folder, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for seed in range(first, last + 1):
        try:
            print(f"{seed:04d}\t{make(folder, seed)}", flush=True)
        except Exception as problem:  # whatever the exporter raises is a result
            print(f"{seed:04d}\tfailed: {' '.join(str(problem).split())[:300]}", flush=True)


main()
