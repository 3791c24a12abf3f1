"""A net of Keras 3 under the names of its .weights.h5, for spec/load_names_spec.lua:

    python3 spec/references/formats/make_keras.py

writes keras.npz beside this file: its weights, an input x and the output y. It needs
Keras, a backend, h5py and NumPy.
"""

import os, tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")
import h5py, keras, numpy

os.chdir(os.path.dirname(os.path.abspath(__file__)))
L = keras.layers
net = keras.Sequential([
    keras.Input((None,), dtype="int32"), L.Embedding(7, 3), L.LSTM(4, return_sequences=True),
    L.GRU(5, return_sequences=True), L.Bidirectional(L.GRU(3, return_sequences=True, reset_after=False)),
    L.LSTM(4, return_sequences=True), L.BatchNormalization(epsilon=1e-5), L.LayerNormalization(epsilon=1e-5),
    L.Conv1D(4, 3, padding="causal"), L.Dense(2)])
random = numpy.random.RandomState(1)
for w in net.weights:
    w.assign(abs(random.randn(*w.shape)) if "variance" in w.path else random.randn(*w.shape) * 0.3)
x = random.randint(0, 7, (2, 6))
arrays = {"x": x, "y": numpy.array(net(x))}
with tempfile.TemporaryDirectory() as folder:
    net.save_weights(folder + "/net.weights.h5")
    with h5py.File(folder + "/net.weights.h5") as file:
        file.visititems(lambda name, o: arrays.__setitem__("net/" + name, numpy.array(o)) if hasattr(o, "shape") else None)
numpy.savez_compressed("keras.npz", **arrays)
