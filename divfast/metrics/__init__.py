"""One file per metric: its definition in the docstring, the fast path, its accumulator."""
