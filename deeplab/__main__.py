"""`python -m deeplab` is the command `deeplab`."""

import sys

from deeplab.cli.main import main

sys.exit(main())
