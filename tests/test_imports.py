"""What importing loads, and what training needs: a GPU image may hold little more than jax and flax."""

import subprocess
import sys

HEAVY = (
    "tensorflow",
    "tensorflow_datasets",
    "matplotlib",
    "grain",
    "sklearn",
    "tyro",
    "keras",
    "h5py",
    "PIL",
)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_models_and_train_load_nothing_heavy():
    code = "import sys, jaxnets.models, jaxnets.train; print(*[m for m in {} if m in sys.modules])"
    assert python(code.format(HEAVY)) == ""


def test_jaxnets_alone_does_not_even_load_jax():
    assert python("import sys, jaxnets; print('jax' in sys.modules)") == "False"


def test_training_works_where_only_jax_flax_optax_and_orbax_are():
    code = f"""
import sys
for name in {(*HEAVY, "filelock", "tqdm")}:
    sys.modules[name] = None  # importing it raises ImportError
import tempfile, pathlib
import numpy as np
from jaxnets import data, models, optim, train
rows = np.random.default_rng(0).normal(size=(64, 4))
labels = (rows @ rows[:1].T > 0)[:, 0].astype(int)
source = data.ArraySource(rows, labels)
model, descent = models.MODELS["perceptron"](num_classes=2), optim.OPTIMIZERS["adam"](0.1)
_, history = train.fit(
    train.make_state(model, descent, (4,)), train.make_train_step(model, descent),
    data.Batches(source, 16, seed=0), epochs=20, workdir=pathlib.Path(tempfile.mkdtemp()),
)
print(history[-1]["accuracy"] > 0.9)
"""
    assert python(code) == "True"


def test_no_public_name_is_a_module():
    """A module named as a function would stand in its place."""
    import importlib
    import pkgutil
    from types import ModuleType

    import jaxnets

    for found in pkgutil.walk_packages(jaxnets.__path__, "jaxnets."):
        if found.ispkg:
            package = importlib.import_module(found.name)
            public = {name: getattr(package, name) for name in getattr(package, "__all__", ())}
            assert not [name for name, value in public.items() if isinstance(value, ModuleType)]
