"""`python -m harness`: the same as the console script `harness`."""

import sys

from harness.cli.main import main

sys.exit(main())
