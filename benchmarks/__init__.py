"""Side-by-side measurements of persidict and its peers: `python -m benchmarks`."""
