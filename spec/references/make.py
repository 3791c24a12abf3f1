"""What PyTorch computes, for spec/pytorch_spec.lua to compare with:

    python3 spec/references/make.py

writes *.safetensors beside this file. It needs PyTorch and nothing else; the
specs need only the files, so run it again only to add a case. Every case is
seeded by itself, so that the others stay as they are.

A file holds one kind of layer. Its metadata lists the cases with their sizes
("cases", in JSON); the tensors of a case have its name in front:

    l2_bi_b2_t11/parameter/weight_ih_l0   by the names of the state_dict
                /x, /h_0, /c_0            (T, B, I) and (layers * directions, B, H)
                /output, /h_n, /c_n
                /weighing/output          random; likewise for h_n and c_n
                /gradient/...             of the sum of all results, so weighed,
                                          for every parameter, x, h_0 and c_0

All that goes into a case fits a float, and is stored as one, so that single
and double precision start from the same numbers. Results are doubles.
"""

import array, json, os, struct
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

FORMATS = {torch.float64: ("F64", "d"), torch.float32: ("F32", "f"), torch.int64: ("I64", "q")}


def write(name, tensors, cases):
    """One file in the format of safetensors; the widest elements come first."""
    header = {"__metadata__": {"torch": torch.__version__, "cases": json.dumps(cases)}}
    data = b""
    for key, x in sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        dtype, code = FORMATS[x.dtype]
        begin = len(data)
        data += array.array(code, x.flatten().tolist()).tobytes()
        header[key] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def normal(*shape):
    """Random doubles that fit a float."""
    return torch.randn(*shape, dtype=torch.float32).double()


def examine(net, inputs, forward):
    """The tensors of one case: inputs by name, forward(inputs) -> results by name."""
    sources = {**dict(net.named_parameters()), **inputs}
    sources = {name: x for name, x in sources.items() if x.is_floating_point()}
    for x in sources.values():
        x.requires_grad_()
    results = forward(inputs)
    weighings = {name: normal(*y.shape) for name, y in results.items()}
    loss = sum((y * weighings[name]).sum() for name, y in results.items())
    gradients = dict(zip(sources, torch.autograd.grad(loss, list(sources.values()))))

    def as_given(tensors, prefix=""):
        return {prefix + name: x.float() if x.is_floating_point() else x for name, x in tensors.items()}

    return {
        **as_given(net.state_dict(), "parameter/"),
        **as_given(inputs),
        **as_given(weighings, "weighing/"),
        **results,
        **{"gradient/" + name: x for name, x in gradients.items()},
    }


def case(layers, bidirectional, batch, steps, size, hidden, **more):
    """Sizes, and of more: projection, lengths, and zeros (there is no initial state)."""
    name = "l%d%s_b%d_t%d" % (layers, "_bi" if bidirectional else "", batch, steps)
    name += "".join("_" + option for option in ("lengths", "zeros") if option in more)
    return {"name": name, "layers": layers, "bidirectional": bidirectional, "batch": batch,
            "steps": steps, "input": size, "hidden": hidden, **more}


CASES = [
    case(1, False, 1, 20, 3, 5),
    case(1, False, 2, 3, 2, 17),  # wider than a vector register
    case(1, True, 4, 1, 2, 3),
    case(2, False, 5, 6, 4, 3),
    case(2, True, 2, 11, 2, 3),
    case(3, False, 4, 5, 2, 3),
    case(3, True, 3, 7, 2, 2),
    case(2, False, 3, 6, 3, 2, zeros=True),
    case(1, True, 3, 2, 5, 4, zeros=True),
    case(1, False, 4, 6, 3, 3, lengths=[3, 6, 1, 4]),
    case(2, True, 5, 6, 2, 2, lengths=[4, 6, 1, 5, 6]),
]

PROJECTED = [
    case(1, False, 3, 7, 3, 5, projection=2),
    case(1, True, 2, 4, 2, 4, projection=3),
    case(2, False, 1, 9, 4, 3, projection=2),
    case(2, True, 3, 6, 3, 3, projection=2),
    case(2, False, 2, 3, 2, 3, projection=2, zeros=True),
    case(2, True, 4, 5, 3, 3, projection=2, lengths=[2, 5, 4, 1]),
]


def recurrent(net, c):
    """The tensors of one case of a recurrent net."""
    carried = ["h", "c"] if net.mode == "LSTM" else ["h"]
    inputs = {"x": normal(c["steps"], c["batch"], c["input"])}
    if "zeros" not in c:
        rows = c["layers"] * (2 if c["bidirectional"] else 1)
        inputs["h_0"] = normal(rows, c["batch"], c.get("projection", c["hidden"]))
        if "c" in carried:
            inputs["c_0"] = normal(rows, c["batch"], c["hidden"])

    def forward(given):
        x, state = given["x"], None
        if "h_0" in given:
            state = (given["h_0"], given["c_0"]) if "c" in carried else given["h_0"]
        if "lengths" in c:
            x = pack_padded_sequence(x, torch.tensor(c["lengths"]), enforce_sorted=False)
        output, last = net(x, state)
        if "lengths" in c:
            output, _ = pad_packed_sequence(output, total_length=c["steps"])
        last = last if "c" in carried else [last]
        return {"output": output, **{name + "_n": value for name, value in zip(carried, last)}}

    return examine(net, inputs, forward)


def write_recurrent(name, kind, cases=CASES, **options):
    tensors = {}
    for c in cases:
        torch.manual_seed(1)
        if "projection" in c:
            options["proj_size"] = c["projection"]
        # Made in single precision, then doubled: so the parameters fit a float.
        net = kind(c["input"], c["hidden"], c["layers"], bidirectional=c["bidirectional"], **options)
        tensors.update({c["name"] + "/" + key: x for key, x in recurrent(net.double(), c).items()})
    write(name, tensors, cases)


def write_modules():
    """Modules without a state, in one file: a case for each."""
    def sequential():
        return nn.Sequential(nn.Embedding(7, 3), nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2, bias=False))

    ids = torch.tensor([[0, 6, 2], [3, 3, 5]])
    given = {
        "linear": (lambda: nn.Linear(3, 4), lambda: normal(5, 2, 3)),
        "embedding": (lambda: nn.Embedding(7, 3), lambda: ids),
        "sequential": (sequential, lambda: ids),
    }
    tensors = {}
    for name, (make, x) in given.items():
        torch.manual_seed(1)
        net = make().double()
        found = examine(net, {"x": x()}, lambda inputs: {"output": net(inputs["x"])})
        tensors.update({name + "/" + key: value for key, value in found.items()})
    write("modules", tensors, [{"name": name} for name in given])


write_recurrent("rnn_tanh", nn.RNN, nonlinearity="tanh")
write_recurrent("rnn_relu", nn.RNN, nonlinearity="relu")
write_recurrent("lstm", nn.LSTM)
write_recurrent("lstm_projected", nn.LSTM, PROJECTED)
write_recurrent("gru", nn.GRU)
write_modules()
