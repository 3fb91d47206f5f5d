"""``python -m bench``."""

import sys

if not sys.platform.startswith("linux"):
    sys.exit(
        "error: the suite pins and meters processes as only Linux lets it; run it there, or in a Linux VM"
    )

try:
    from bench.cli.main import main
except KeyboardInterrupt:  # importing takes a second or two, in which nothing was begun
    sys.exit(130)

main()
