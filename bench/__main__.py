"""``python -m bench``."""

import sys

if not sys.platform.startswith("linux"):
    sys.exit(
        "error: the suite pins and meters processes as only Linux lets it; run it there, or in a Linux VM"
    )

from bench.cli.main import main

main()
