"""What a training exchanges with the world outside: checkpoints, records, progress, signals, TensorBoard."""
