"""The command of a checkout: `python main.py --config config/Glyphs_LT/stage_1.yaml`."""

import sys

from oltr.cli import main_run

if __name__ == "__main__":
    sys.exit(main_run())
