"""What importing loads, what training needs (a GPU image may hold little more than jax), who imports whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from docs import architecture

PACKAGE = Path(__file__).parents[1] / "jaxnets"

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


def test_commands_load_jax_no_sooner_than_they_need_it():
    assert python("import sys, jaxnets.cli.commands; print('jax' in sys.modules)") == "False"


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
    data.Batches(source, 16, seed=0), epochs=20, keep=train.Keep(tempfile.mkdtemp()),
)
print(history[-1]["accuracy"] > 0.9)
"""
    assert python(code) == "True"


def test_no_public_name_is_that_of_a_module():
    """One would stand in the other's place, by which was imported last."""
    import importlib
    import pkgutil
    from types import ModuleType

    import jaxnets

    for found in pkgutil.walk_packages(jaxnets.__path__, "jaxnets."):
        if found.ispkg:
            package = importlib.import_module(found.name)
            public = {name: getattr(package, name) for name in getattr(package, "__all__", ())}
            assert not [name for name, value in public.items() if isinstance(value, ModuleType)]
            assert not public.keys() & {module.name for module in pkgutil.iter_modules(package.__path__)}


def room_of(path: Path) -> str:
    """The package or module of `jaxnets/` that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(node: ast.AST) -> Iterator[str]:
    """What is imported anywhere in a module, but for what only annotations name."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


def test_rooms_import_what_the_page_on_architecture_says():
    ground, above = architecture.rooms()
    files = [
        path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or not path.stem.startswith("_")
    ]
    assert {room_of(path) for path in files} == ground | above.keys()
    for path in files:
        room = room_of(path)
        allowed = ground | above.get(room, frozenset()) | {room}
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            first, *rest = name.split(".")
            assert first not in ("", "experiments", "tests", "docs"), f"{path} imports {name}"
            assert first != "jaxnets" or not rest or rest[0] in allowed, f"{path} imports {name}"


def test_no_room_imports_one_above_it_and_the_drawing_shows_it():
    assert architecture.draw() == architecture.PAGE.with_suffix(".svg").read_text(encoding="utf-8")
