"""Code for the lessons only: layers and trainings written by hand, letters, a cache, operation counts."""
