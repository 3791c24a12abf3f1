"""PyTorch's side of `make bench-peers`: the same training as training.lua.

    python3 bench/peer_torch.py CELL LAYERS HIDDEN BATCH LENGTH VOCABULARY THREADS

Makes as many updates as each line of the input says, and prints one line of
JSON for each.
"""

import json
import resource
import sys
import time

import torch
from torch import nn

WINDOWS = 8  # of different ids, in turn


def peak_resident_mb():
    """The largest part of memory that the process has had so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def say(**row):
    print(json.dumps(row), flush=True)


class Model(nn.Module):
    """A character model: embedding, recurrent layers, linear head."""

    def __init__(self, cell, layers, hidden, vocabulary):
        super().__init__()
        kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.recurrent = kinds[cell](hidden, hidden, layers)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, ids, state):
        y, state = self.recurrent(self.embedding(ids), state)
        return self.head(y), state


def without_history(state):
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return state.detach()


class Training:
    def __init__(self, model, batch, length, vocabulary):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        self.windows = [
            torch.randint(vocabulary, (2, length, batch)) for _ in range(WINDOWS)
        ]
        self.state, self.count = None, 0

    def update(self):
        inputs, targets = self.windows[self.count % WINDOWS]
        self.count += 1
        logits, state = self.model(inputs, self.state)
        self.state = without_history(state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5)
        self.optimizer.step()


def main(cell, *sizes):
    layers, hidden, batch, length, vocabulary, threads = map(int, sizes)
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    say(name="PyTorch " + torch.__version__, peak_resident_mb=peak_resident_mb())
    training = Training(Model(cell, layers, hidden, vocabulary), batch, length, vocabulary)
    for line in sys.stdin:
        begin = time.perf_counter()
        for _ in range(int(line)):
            training.update()
        seconds = time.perf_counter() - begin
        say(seconds=seconds, peak_resident_mb=peak_resident_mb())


main(*sys.argv[1:])
