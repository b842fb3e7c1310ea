import numpy as np

from jaxnets import report


def test_documented_and_measured_stand_side_by_side(capsys):
    documented = {"w": [2.6, 1.16], "loss": 36.0, "kind": "about 2"}
    measured = {"w": np.float32([2.6, 1.16]), "loss": np.float32(35.5), "kind": "2", "not documented": 1}
    report.beside(documented, measured)
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [
        ["documented", "measured"],
        ["w", "[2.6 1.16]", "[2.6 1.16]"],
        ["loss", "36.0", "35.5"],
        ["kind", "about 2", "2"],
    ]
