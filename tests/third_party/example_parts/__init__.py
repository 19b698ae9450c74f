"""Parts for oltr from a package of its own: a loss, a backbone, a scorer, and a loss that cannot be imported."""
