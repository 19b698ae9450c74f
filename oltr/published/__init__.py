"""The border to the published OLTR and CFL code: its Python files read, known and run. oltr/legacy.py leads here."""
