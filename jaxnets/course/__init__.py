"""What only the lessons use: layers and trainings written by hand, letters, a cache, counts of operations."""
