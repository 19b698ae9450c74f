"""A loss that cannot be imported, as after a broken installation."""

raise ImportError("libunfinished.so.1: cannot open shared object file\nreinstall it")
