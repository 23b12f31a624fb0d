"""Imported before Triton: without a GPU its kernels run in its interpreter."""

import os
from pathlib import Path

GPU = Path("/dev/nvidiactl").exists()
if not GPU:
    # Triton looks at it when it defines a function, its own ones included.
    os.environ["TRITON_INTERPRET"] = "1"
