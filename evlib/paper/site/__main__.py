"""python -m evlib.paper.site: what ./reproduce.sh html runs."""

import sys

from evlib.paper.site import build
from evlib.utils.errors import EvlibError

try:
    print(build())
except EvlibError as error:
    sys.exit(f"evlib: {error}")
