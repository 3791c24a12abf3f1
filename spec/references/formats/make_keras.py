"""A net of Keras 3 under the names of its .weights.h5, for spec/load_names_spec.lua:

    python3 spec/references/formats/make_keras.py

writes keras.npz beside this file: its weights, an input x and the output y; and
keras.weights.h5 of a smaller net, as Keras writes it, with its x and y in keras_h5.npz.
types.h5 and packed.h5 are of h5py alone. net.keras is a net as Keras saves it, with
its members deflated, and its x and y are in net_keras.npz, for spec/keras_spec.lua. It needs Keras, a backend, h5py and NumPy.
"""

import os, tempfile, zipfile

os.environ.setdefault("KERAS_BACKEND", "torch")
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
arrays = {"x": x, "y": net.predict(x, verbose=0)}
with tempfile.TemporaryDirectory() as folder:
    net.save_weights(folder + "/net.weights.h5")
    with h5py.File(folder + "/net.weights.h5") as file:
        file.visititems(lambda name, o: arrays.__setitem__("net/" + name, numpy.array(o)) if hasattr(o, "shape") else None)
numpy.savez_compressed("keras.npz", **arrays)

net = keras.Sequential([keras.Input((None, 2)), L.GRU(3, return_sequences=True), L.Dropout(0.5), L.Dense(1)])
x = random.randn(2, 4, 2).astype("f4")
net.save_weights("keras.weights.h5")
numpy.savez_compressed("keras_h5.npz", x=x, y=net.predict(x, verbose=0))

net = keras.Sequential([
    keras.Input((None,), dtype="int32"), L.Embedding(7, 3), L.Dropout(0.1),
    L.LSTM(4, recurrent_activation="hard_sigmoid", return_sequences=True),
    L.Bidirectional(L.GRU(2, reset_after=False, return_sequences=True)), L.SpatialDropout1D(0.1),
    L.Conv1D(4, 2, padding="causal", dilation_rate=2, activation="relu"), L.LayerNormalization(),
    L.SimpleRNN(3, activation="relu", return_sequences=True), L.BatchNormalization(), L.ReLU(),
    L.TimeDistributed(L.Dense(3, activation="tanh")), L.GRU(3, use_bias=False, return_sequences=True),
    L.Activation("elu"), L.LSTM(4), L.Dense(2), L.Softmax()])
for w in net.weights:
    w.assign(abs(random.randn(*w.shape)) + 0.5 if "variance" in w.path else random.randn(*w.shape))
x = random.randint(0, 7, (2, 6))
with tempfile.TemporaryDirectory() as folder:
    net.save(folder + "/net.keras")
    with zipfile.ZipFile(folder + "/net.keras") as saved, zipfile.ZipFile("net.keras", "w", zipfile.ZIP_DEFLATED) as to:
        for name in saved.namelist():
            to.writestr(name, saved.read(name))
numpy.savez_compressed("net_keras.npz", x=x, y=net.predict(x, verbose=0))

with h5py.File("types.h5", "w") as file:
    for n in range(20):
        file[f"many/layer_{n}"] = numpy.full((2, 3), n, dtype="f4")
    file["big"], file["half"], file["ids"] = numpy.arange(3, dtype=">f8"), numpy.arange(3, dtype="f2"), numpy.arange(3)
    file["scalar"], file["empty"] = numpy.float32(2.5), numpy.zeros((0, 2))
    file["unsigned"], file["text"] = numpy.arange(3, dtype="u4"), "text"
with h5py.File("packed.h5", "w") as file:
    file.create_dataset("x", data=numpy.ones((10, 10)), chunks=(5, 5), compression="gzip")
