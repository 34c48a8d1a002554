"""The TFDS builders of the data sets that this project prepares itself."""
