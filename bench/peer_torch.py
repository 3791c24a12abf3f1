"""PyTorch's side of `make bench-peers`: the same work as peer_saros.lua.

    python3 bench/peer_torch.py '{"work": "train", "cell": "lstm", ...}'

The work is "train" (updates as in training.lua), "sequence" (forward passes over
whole sequences) or "step" (one step after another, one sequence).
"""

import contextlib
import warnings

import torch
from torch import nn

import peer

WINDOWS = 8  # of different ids, in turn
KINDS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
CELLS = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}


def rounding(precision):
    """A context in which products are of this precision."""
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()


# --- Training ----------------------------------------------------------------


class Model(nn.Module):
    """A character model: embedding, recurrent layers, linear head."""

    def __init__(self, work):
        super().__init__()
        self.embedding = nn.Embedding(work.vocabulary, work.hidden)
        self.recurrent = KINDS[work.cell](work.hidden, work.hidden, work.layers)
        self.head = nn.Linear(work.hidden, work.vocabulary)

    def forward(self, ids, state):
        y, state = self.recurrent(self.embedding(ids), state)
        return self.head(y), state


def without_history(state):
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return state.detach()


class Training:
    def __init__(self, work):
        self.work, self.model = work, Model(work)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        shape = (2, work.length, work.batch)
        self.windows = [torch.randint(work.vocabulary, shape) for _ in range(WINDOWS)]
        self.state, self.count = None, 0

    def loss(self, inputs, targets):
        logits, state = self.model(inputs, self.state)
        self.state = without_history(state)
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def update(self):
        inputs, targets = self.windows[self.count % WINDOWS]
        self.count += 1
        with rounding(self.work.precision):
            loss = self.loss(inputs, targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5)
        self.optimizer.step()

    def run(self, updates):
        for _ in range(updates):
            self.update()


# --- Inference ---------------------------------------------------------------


class Sequence:
    def __init__(self, work):
        self.net = KINDS[work.cell](
            work.hidden, work.hidden, work.layers, bidirectional=work.directions == 2
        )
        self.x = torch.randn(work.length, work.batch, work.hidden)
        if work.precision == "bf16":  # faster than autocast, which rounds in each pass
            self.net, self.x = self.net.bfloat16(), self.x.bfloat16()

    @torch.inference_mode()
    def run(self, passes):
        for _ in range(passes):
            self.net(self.x)


class Step:
    """A cell in a loop that keeps the state: as it is, or traced first."""

    def __init__(self, work):
        self.cell = CELLS[work.cell](1, work.hidden)
        self.x = torch.randn(1, 1)
        h = torch.zeros(1, work.hidden)
        self.state = (h, h) if work.cell == "lstm" else h
        if work.how == "traced":
            with torch.no_grad():
                traced = torch.jit.trace(self.cell, (self.x, self.state))
            self.cell = torch.jit.freeze(traced.eval())

    @torch.inference_mode()
    def run(self, steps):
        cell, x, state = self.cell, self.x, self.state
        for _ in range(steps):
            state = cell(x, state)
        self.state = state


def main():
    warnings.simplefilter("ignore", FutureWarning)  # of tracing
    work = peer.given_work()
    torch.manual_seed(1)
    torch.set_num_threads(work.threads)
    peer.say(name="PyTorch " + torch.__version__, peak_resident_mb=peer.peak_resident_mb())
    kinds = {"train": Training, "sequence": Sequence, "step": Step}
    peer.serve(kinds[work.work](work).run)


main()
