"""Files of other programs, for spec/formats_spec.lua:

    python3 spec/references/formats/make.py

writes them beside this file. It needs PyTorch and NumPy; the specs need only the
files.
"""

import os
import numpy, torch

os.chdir(os.path.dirname(os.path.abspath(__file__)))

turned = torch.arange(6.0).reshape(2, 3).T
state = {
    "f32": torch.tensor([[0.5, -1.5], [2.0, 3.0]]), "f64": torch.arange(3.0).double() / 3,
    "f16": torch.arange(4).half() / 4, "bf16": torch.arange(4).bfloat16() / 4,
    "i64": torch.arange(5), "i32": torch.tensor([6, 7], dtype=torch.int32),
    "i16": torch.tensor([8, 300], dtype=torch.int16), "i8": torch.tensor([1, 127], dtype=torch.int8),
    "u8": torch.tensor([1, 200], dtype=torch.uint8), "bool": torch.tensor([True, False]),
    "turned": turned, "part": turned[1:], "same": turned[:, 1].expand(2, 3), "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
}
torch.save(state, "state.pt")
torch.save(state, "state_old.pth", _use_new_zipfile_serialization=False)

net = torch.nn.Sequential(torch.nn.Linear(2, 1))
with torch.no_grad():
    net[0].weight.copy_(torch.tensor([[0.25, -0.5]]))
    net[0].bias.fill_(0.125)
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
net(torch.ones(1, 2)).sum().backward()
torch.save({"epoch": 3, "net": net.state_dict(), "name": "small", "optimizer": optimizer.state_dict(),
            "parameters": list(net.parameters())}, "checkpoint.pt")
torch.save(net, "whole.pt")

arrays = {
    "rows": numpy.arange(6.0).reshape(2, 3), "columns": numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
    "big": numpy.arange(3).astype(">f4"), "half": numpy.arange(3).astype("f2"), "ids": numpy.arange(3),
    "bools": numpy.array([True, False]), "scalar": numpy.float32(2.5), "empty": numpy.zeros((0, 2)),
}
numpy.savez("arrays.npz", **arrays)
numpy.savez_compressed("packed.npz", x=numpy.arange(300, dtype="f4").reshape(100, 3), zeros=numpy.zeros(1000))
numpy.savez_compressed("bomb.npz", zeros=numpy.zeros(1000000, dtype="u1"))
numpy.savez("objects.npz", o=numpy.array([{}], dtype=object))
numpy.save("array.npy", numpy.arange(6, dtype="f4").reshape(2, 3))
