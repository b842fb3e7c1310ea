"""SimpleRNN, LSTM or GRU predicts the next opening price of a stock from the 60 before it (D6).

    python experiments/stock.py --model stock_lstm --csv SH600519.csv   # the course's own file
    python experiments/stock.py --model stock_gru                       # a random walk of that length

Recurrent layers of 80 and 100 units, each followed by dropout 0.2, then Dense(1). The first 2,126 rows train,
the last 300 are held out, and prices are scaled to 0 ... 1 by the training rows. Adam 0.001, squared error,
batches of 64, 50 epochs; the weights of the epoch with the least held-out loss predict.

Documented, with the last weights of one LSTM: RMSE 101.48 and MAE 96.16 yuan, printed for all three networks
(those of the last epoch, although the best ones are saved). docs/results.md has the measured errors, of the
last and of the best epoch; those of predicting today's price for tomorrow are smaller.
"""

from jaxnets.cli import commandline

from jaxnets import export, losses, metrics, models, optim, plots, report, runs, train
from jaxnets.data import Batches, fingerprint
from jaxnets.data.formats.tables import load_series
from jaxnets.errors import lookup
from jaxnets.summary import summarize

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# The document prints this one run, an LSTM's, in all three of its sections.
ERRORS = {"mse": 10297.967592, "rmse": 101.478902, "mae": 96.158848}
LAST = {f"{name} of the last epoch": value for name, value in ERRORS.items()}
DOCUMENTED = {
    "stock_rnn": {"parameters": 24_761} | LAST,
    "stock_lstm": {"parameters": 98_741} | LAST,
    "stock_gru": {"parameters": 74_621} | LAST,
}
# The first section builds LSTMs, the last prints the LSTM's table.
DERIVED = {"stock_rnn": ("parameters",), "stock_gru": ("parameters",)}
ROWS, HELD_OUT = 2426, 300


def random_walk(path: Path) -> Path:
    """Writes a made-up series as long as the course's: every day's price is a random factor times the last.

    The logarithms of the factors are normal, 0.1% a day on average with a deviation of 2%. No network can
    know more about tomorrow's price than today's.
    """
    factors = np.exp(np.random.default_rng(0).normal(0.001, 0.02, ROWS))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, 90 * np.cumprod(factors), fmt="%.3f", header="open", comments="")
    return path


def first_of(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """A loss of predictions (batch, 1) and targets (batch,)."""
    return lambda predictions, targets: function(predictions[:, 0], targets)


def main(
    *,
    model: str = "stock_lstm",
    csv: Path | None = None,
    column: str = "open",
    epochs: int = 50,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 0,
    workdir: Path | None = None,
) -> dict[str, Any]:
    """Train on the early prices, predict the late ones, and compare with predicting today's price.

    Args:
        model: stock_rnn, stock_lstm or stock_gru.
        csv: A file whose first line names its columns; its rows are ordered by their dates. By default a
            random walk.
        column: Column of the prices to predict.
        epochs: Passes over the training windows.
        batch_size: Windows in a step.
        learning_rate: Learning rate of Adam.
        seed: Seed of the first weights, the order of the windows and dropout.
        workdir: The run's folder. By default runs/MODEL.
    """
    documented = lookup(DOCUMENTED, model, "model")
    # 1. data
    if csv is None:
        print("no --csv: a random walk of made-up prices; the documented errors are of another series")
    dataset = csv.name if csv else "synthetic walk"
    with TemporaryDirectory() as made:
        file = csv or random_walk(Path(made) / "walk.csv")
        prices, scaler = load_series(file, [column], held_out=HELD_OUT)
    # 2. network
    network = models.MODELS[model]()
    # 3. optimizer and loss
    optimizer = optim.OPTIMIZERS["adam"](learning_rate)
    loss, absolute = first_of(losses.mean_squared_error), first_of(losses.mean_absolute_error)
    # 4. fit
    settings = {"csv": dataset, "column": column, "batch_size": batch_size, "epochs": epochs}
    settings |= {"learning_rate": learning_rate, "seed": seed, "fingerprint": fingerprint(prices)}
    config = runs.describe_features(model, prices.features, None, "unit")
    config |= {"experiment": "stock", "outputs": 1} | settings
    workdir, variables, history = runs.train_once(
        workdir,
        model,
        config,
        lambda: train.fit_compiled(
            train.make_state(network, optimizer, prices.features.shape, seed),
            train.make_train_step(network, optimizer, loss=loss, metrics={}),
            Batches(prices.train, batch_size, seed),
            epochs=epochs,
            validation=train.Validation(
                train.make_eval_step(network, loss=loss, metrics={"mae": absolute}), Batches(prices.test, 256)
            ),
            best="val_loss",
        ),
    )
    # 5. summary
    summary = summarize(network, prices.features.shape)
    print(summary.to_text())
    held_out = prices.test[np.arange(len(prices.test))]
    predict = jax.jit(network.apply)
    real, predicted, today = (
        jnp.asarray(scaler.invert(np.asarray(values, np.float64)))
        for values in (held_out["y"], predict(variables, held_out["x"])[:, 0], held_out["x"][:, -1, 0])
    )
    measured: dict[str, Any] = {"parameters": summary.parameters}
    measured |= {name: float(value) for name, value in metrics.regression_errors(predicted, real).items()}
    naive = metrics.regression_errors(today, real)
    measured |= {f"{name} of tomorrow = today": float(value) for name, value in naive.items()}
    span, last = float(scaler.span[0]), history[-1]  # scaled errors become yuan
    errors = {"mse": span**2 * last["val_loss"], "rmse": span * last["val_loss"] ** 0.5}
    errors |= {"mae": span * last["val_mae"]}
    measured |= {f"{name} of the last epoch": value for name, value in errors.items()}
    report.beside(
        documented,
        {name: round(measured[name], 4) for name in documented},
        on=dataset,
        derived=DERIVED.get(model, ()),
    )
    print(", ".join(f"{name} {value:.2f}" for name, value in measured.items() if name not in documented))
    # 6. the parameters as text, and pictures
    export.export_text(workdir / "weights.txt", network, variables, prices.features.shape)
    days = np.arange(1, 1 + len(real))
    lines = {"tomorrow = today": today, "predicted": predicted, "real": real}
    plots.lines(
        {
            f"{column} (yuan)": {name: (days, values) for name, values in lines.items()},
            "error (yuan)": {name: (days, values - real) for name, values in lines.items() if name != "real"},
        },
        workdir / "prices.png",
        xlabel="held-out day",
    )
    plots.lines(
        {
            "squared error, scaled prices": {
                label: ([record["epoch"] for record in history], [record[key] for record in history])
                for key, label in (("loss", "training"), ("val_loss", "held out"))
            }
        },
        workdir / "loss.png",
        xlabel="epoch",
        logarithmic=["squared error, scaled prices"],
    )
    return measured | {"history": history, "dataset": dataset}


if __name__ == "__main__":
    commandline.run(main)
