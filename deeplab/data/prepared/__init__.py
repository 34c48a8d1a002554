"""Data sets as records: preparing them once, and reading and decoding them."""
