"""Official files are had once and whole or not at all; inputs and class names are Keras's."""

import hashlib
import http.server
import inspect
import json
import threading

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from flax import linen
from keras.src.applications import imagenet_utils, resnet, vgg16, vgg19, xception

from jaxnets import nn, pretrained
from jaxnets.errors import UserError
from jaxnets.models import INPUT_SHAPES, MODELS, Classifier
from jaxnets.pretrained import (
    PRETRAINED,
    Pretrained,
    class_index,
    decode_predictions,
    download,
    load_pretrained,
    preprocess,
    transplant,
)

CONTENT = bytes(range(256)) * 20_000  # five megabytes


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server on this machine that can misbehave, in place of the official one for "vgg16"."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            if self.server.mode == "missing":
                self.send_error(404, "Not Found")
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: len(CONTENT) // 2] if self.server.mode == "truncated" else CONTENT)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.mode, httpd.requests = "whole", requests
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{httpd.server_port}/vgg16.h5"
        entry = Pretrained(url, hashlib.md5(CONTENT).hexdigest(), PRETRAINED["vgg16"].inputs)
        monkeypatch.setitem(PRETRAINED, "vgg16", entry)
        monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")  # the user's own may be one for everything
        yield httpd
        httpd.shutdown()
        thread.join()


def test_downloads_once(server, tmp_path):
    path = download("vgg16")
    assert path == tmp_path / "cache" / "vgg16.h5"
    assert path.read_bytes() == CONTENT
    assert download("vgg16") == path
    assert server.requests == ["/vgg16.h5"]
    path.write_bytes(CONTENT[:-1] + b"?")  # a copy that has gone bad is replaced
    assert download("vgg16").read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["vgg16.h5"]


@pytest.mark.parametrize(
    "mode, words",
    [
        ("truncated", "broke off after 2,560,000 of 5,120,000 bytes"),
        ("missing", r"cannot be downloaded \(Not Found\)"),
        ("wrong", "does not have Keras's checksum 0123"),
        ("offline", r"cannot be downloaded \(.*refused.*\)"),
    ],
)
def test_what_goes_wrong_leaves_nothing_and_says_what_to_do(server, mode, words, monkeypatch, tmp_path):
    server.mode = mode
    entry = PRETRAINED["vgg16"]
    if mode == "wrong":
        monkeypatch.setitem(PRETRAINED, "vgg16", Pretrained(entry.url, "0123", entry.inputs))
    if mode == "offline":
        monkeypatch.setitem(PRETRAINED, "vgg16", Pretrained("http://127.0.0.1:9/vgg16.h5", "", entry.inputs))
    with pytest.raises(UserError, match=words) as error:
        load_pretrained("vgg16")
    assert str(error.value).endswith(
        f"try again, or copy the file to {tmp_path / 'cache' / 'vgg16.h5'}, or give the path of a copy"
    )
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "cache").iterdir())


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("JAXNETS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pretrained.cache_folder() == tmp_path / "jaxnets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert pretrained.cache_folder() == tmp_path / "home" / ".cache" / "jaxnets"


def test_urls_and_checksums_are_those_in_keras():
    urls = {
        "resnet50": f"{resnet.BASE_WEIGHTS_PATH}resnet50_weights_tf_dim_ordering_tf_kernels.h5",
        "xception": xception.WEIGHTS_PATH,
        "vgg16": vgg16.WEIGHTS_PATH,
        "vgg19": vgg19.WEIGHTS_PATH,
    }
    assert {name: entry.url for name, entry in PRETRAINED.items()} == urls
    assert PRETRAINED["resnet50"].md5 == resnet.WEIGHTS_HASHES["resnet50"][0]
    for module in (xception, vgg16, vgg19):
        name = module.__name__.rsplit(".", 1)[-1]
        with_top = inspect.getsource(module).split("_tf_kernels.h5")[-1]
        assert f'file_hash="{PRETRAINED[name].md5}"' in with_top.split("else")[0]


@pytest.mark.parametrize("name", PRETRAINED)
def test_inputs_are_keras_inputs(name):
    family = {"resnet50": keras.applications.resnet}.get(name) or getattr(keras.applications, name)
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3)).astype(np.uint8)
    expected = family.preprocess_input(images.astype(np.float32))
    result = preprocess(name, images)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(
        jax.jit(lambda x: preprocess(name, x))(images[0]), expected[0], rtol=1e-6, atol=1e-5
    )


def test_class_index_is_the_file_that_keras_downloads():
    path = inspect.getfile(pretrained).replace("pretrained.py", "imagenet_class_index.json")
    with open(path, "rb") as file:
        digest = hashlib.md5(file.read()).hexdigest()
    assert f'file_hash="{digest}"' in inspect.getsource(imagenet_utils)
    assert len(class_index()) == 1000
    assert class_index()[442] == ("n02825657", "bell_cote")
    assert class_index()[599] == ("n03530642", "honeycomb")


def test_decoding_agrees_with_keras(monkeypatch):
    index = {str(i): list(entry) for i, entry in enumerate(class_index())}
    monkeypatch.setattr(
        imagenet_utils, "CLASS_INDEX", json.loads(json.dumps(index))
    )  # Keras would download it
    probabilities = np.asarray(jax.nn.softmax(jax.random.normal(jax.random.key(0), (3, 1000))))
    expected = keras.applications.imagenet_utils.decode_predictions(probabilities, top=4)
    assert decode_predictions(probabilities, top=4) == [
        [(wnid, name, float(p)) for wnid, name, p in row] for row in expected
    ]
    assert len(decode_predictions(probabilities)[0]) == 5
    with pytest.raises(UserError, match=r"have shape \(batch, 1000\), not \(3, 10\)"):
        decode_predictions(np.zeros((3, 10)))


class Tiny(linen.Module):
    """Stands for a registered network: features, then a head called predictions."""

    @linen.compact
    def __call__(self, x, train=False, features=False):
        x = nn.BatchNorm(name="bn")(nn.Conv(3, 3, name="conv")(x), train).mean((1, 2))
        return x if features else nn.Dense(7, name="predictions")(x)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
def test_loading_from_a_path_and_transplanting(monkeypatch, tmp_path):
    monkeypatch.setitem(MODELS, "vgg16", Tiny)
    monkeypatch.setitem(INPUT_SHAPES, "vgg16", (6, 6, 1))
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(3, 3, name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(7, name="predictions"),
        ]
    )
    model.save_weights(tmp_path / "copy.weights.h5")
    variables = load_pretrained("vgg16", tmp_path / "copy.weights.h5")
    np.testing.assert_array_equal(variables["params"]["conv"]["kernel"], model.layers[0].kernel.value)

    network = Classifier(backbone=Tiny(), num_classes=2)
    fresh = network.init(jax.random.key(1), jnp.zeros((1, 6, 6, 1)))
    ready = transplant(fresh, variables)
    assert jax.tree.structure(ready) == jax.tree.structure(fresh)
    assert ready["params"]["backbone"]["conv"]["kernel"] is variables["params"]["conv"]["kernel"]
    assert ready["batch_stats"]["backbone"]["bn"]["var"] is variables["batch_stats"]["bn"]["var"]
    assert ready["params"]["head"]["kernel"] is fresh["params"]["head"]["kernel"]
    with pytest.raises(
        UserError, match=r"differs in: backbone/predictions/bias, backbone/predictions/kernel$"
    ):
        transplant(fresh, variables, without=())
    other = jax.tree.map(lambda a: a[..., :2], variables)
    with pytest.raises(UserError, match=r"differs in: backbone/bn/bias, .*backbone/conv/kernel$"):
        transplant(fresh, other)


def test_unknown_names():
    with pytest.raises(UserError, match="unknown pretrained model 'vgg17'"):
        load_pretrained("vgg17")
