"""Entry point of `python -m mythicd`."""

import sys

from mythicd.cli import main

sys.exit(main())
