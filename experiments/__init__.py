"""One short script for each documented system: python experiments/NAME.py, or python -m experiments.NAME."""
