"""Keras's own tests, run with the parts of jaxnets in the place of Keras's.

`plugin` is a pytest plugin that puts our functions, by name, inside Keras's classes before Keras's test
modules are imported. A class or an argument that we do not have is refused with `Unsupported` where it is
asked for; everything else has to pass. Nothing of Keras is copied: the modules are those of its package.

    python -m tests.keras_suite            # runs all and writes the table of docs/keras_differences.md
"""
