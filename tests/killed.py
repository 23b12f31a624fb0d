"""Run by test_generate_killed.py: `divfast generate` in forked processes that are killed, the model loaded once.

Called with the model, a folder, a seed and how many moments. Prints a line of JSON for each: how many lines the run
that was killed had added, whether the last was torn, and whether what came of it is what a run in one go gives.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from divfast.generation.generating import generate
from divfast.generation.opening import Engines
from generating import assert_finished, close, write_prompts

# Forked processes must not wait for threads that only their parent has.
torch.set_num_threads(1)

SAMPLING = {"temperature": 0.8, "top_p": 0.95, "max_tokens": 6}
MANY, FEW, MORE = 14, 3, 6


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main(model, folder, seed, moments):
    folder = Path(folder)
    prompts = write_prompts(folder / "prompts.jsonl", MANY)
    rng = random.Random(int(seed))
    with Engines() as engines:

        def run(path, k):
            settings = {"engine": "transformers", "engines": engines, "batch_size": 8}
            return generate(model, prompts, output=path, k=k, sampling=SAMPLING, **settings)

        run(folder / "warm.jsonl", 1)
        started = time.monotonic()
        run(folder / "few.jsonl", FEW)
        few = time.monotonic() - started
        run(folder / "whole.jsonl", MORE)
        whole = {FEW: folder / "few.jsonl", MORE: folder / "whole.jsonl"}
        for at in range(int(moments)):
            path = folder / f"{at}.jsonl"
            # Every other one while samples are added to a file that has some.
            k = MORE if at % 2 else FEW
            if at % 2:
                path.write_bytes(whole[FEW].read_bytes())
            before = path.read_bytes() if path.exists() else b""
            child = os.fork()
            if child == 0:
                run(path, k)
                os._exit(0)
            # Somewhere between two lines that are written, or after the last; seldom before the first.
            wanted = before.count(b"\n") + rng.randint(0, MANY - 1)
            while lines(path) < wanted and not os.waitid(
                os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
            ):
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.1 * few))
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            left = path.read_bytes() if path.exists() else b""
            done = run(path, k)
            assert_finished(path, k)
            told = {
                "killed": os.WIFSIGNALED(status),
                "lines": left.count(b"\n") - before.count(b"\n"),
                "kept": left.startswith(before) or left == path.read_bytes(),
                "torn": bool(left) and not left.endswith(b"\n"),
                "drawn": done.drawn,
                "equal": close(path, whole[k]),
            }
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
