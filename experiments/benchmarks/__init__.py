"""jaxnets compared with Keras and PyTorch; docs/speed.md says how to measure."""
