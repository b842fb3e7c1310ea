"""Files as examples: the readers of images and tables, and data sets prepared from them."""
