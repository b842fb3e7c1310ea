"""One short script for each documented system: python experiments/NAME.py, or python -m experiments.NAME.

A script states the documented figures; docs/results.md has them beside the measured ones.
"""
