"""The command line as a whole: help, streams, errors, exit codes; then metrics and doctor."""

import errno
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
import warnings
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import divfast
from divfast import backends, registry, scope
from divfast.cli import main, options, progress
from divfast.errors import DivfastError, DivfastWarning
from divfast.views import code, judges, opening, programs

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo"
BASE = str(DEMO / "base.jsonl")
COMMANDS = main.list_commands(click.Context(main))


def run(*args, **more):
    """Run a command in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False, **more)


def spawn(*args, **more):
    """Start a command in a process of its own."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([sys.executable, "-m", "divfast", *map(str, args)], text=True, **more)


def test_the_commands_of_this_package():
    assert COMMANDS[0] == "score"
    assert {"score", "metrics", "doctor"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help_that_ends_with_an_example(command, flag):
    result = run(command, flag)
    assert result.exit_code == 0
    description, _, listed = result.stdout.partition("\nOptions:")
    assert f"Example:\n    divfast {command}" in description
    assert description.rstrip().splitlines()[-1].startswith("    divfast")
    assert "--debug" in listed


def test_every_command_is_listed_with_a_whole_sentence():
    listed = run("--help").stdout.partition("Commands:")[2]
    for command in COMMANDS:
        assert re.search(rf"^  {command} +[A-Z].*[^.]\.$", listed, re.M)


@pytest.mark.parametrize("args", [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)])
def test_help_imports_nothing_heavy(args):
    code = (
        "import sys; sys.argv = ['divfast', *sys.argv[1:]]\n"
        "from divfast.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'numpy', 'pyarrow', 'numba', 'rich', 'torch', 'divfast._core'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_choices_are_those_of_the_library():
    assert options.SCOPES == scope.SCOPES
    assert (*code.LANGUAGES, "auto") == options.LANGUAGES
    assert (options.PARSERS, options.CONTINUATION) == (programs.PARSERS, code.CONTINUATION)
    assert options.EMBED == opening.EMBED
    assert options.PRESETS == registry.PRESETS
    assert options.JUDGE_ENGINES == judges.ENGINES
    assert set(options.BACKENDS) == {"auto", *backends.BACKENDS}


def test_version_and_module():
    done = spawn("--version")
    assert done.communicate() == (f"divfast {divfast.__version__}\n", "")
    assert done.returncode == 0


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["scroe"],
        ["score"],
        ["score", BASE, "--no-such-option"],
        ["score", BASE, "--scope", "all"],
        ["score", BASE, "--preset", "old"],
        ["score", BASE, "--format", "xml"],
        ["score", BASE, "--on-error", "ignore"],
        ["score", BASE, "--dtype", "int8"],
        ["score", BASE, "--backend", "tpu"],
        ["score", BASE, "--threads", "0"],
        ["score", BASE, "--vocab-size", "0"],
        ["score", BASE, "--seed", "-1"],
        ["score", BASE, "--memory", "lots"],
        ["score", BASE, "--memory", "0"],
    ],
)
def test_wrong_usage_exits_2(args):
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1GB", 10**9),
        ("512MB", 512 * 10**6),
        ("2GiB", 2 << 30),
        ("1.5k", 1500),
        ("64 MiB", 64 << 20),
        ("7", 7),
    ],
)
def test_sizes(text, size):
    assert options.Size().convert(text, None, None) == size


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope.jsonl"], "Error: nope.jsonl: cannot be read: no such file or directory.\n"),
        (["no*.jsonl"], "Error: no*.jsonl: matches no file.\n       Check the pattern and the folder.\n"),
        ([BASE, "-m", "zipff"], "Error: unknown metric 'zipff'.\n       Did you mean zipf?\n"),
        (
            [BASE, "-m", "ead:k=3"],
            "Error: metric ead has no parameter 'k'.\n       Known names: n, vocab_size.\n",
        ),
        ([BASE, "-m", "distinct:n=x"], "Error: parameter n of distinct: 'x' is not a number.\n"),
        (
            [BASE, "-m", "ead", "--backend", "cuda"],
            "Error: ead has no CUDA kernel.\n       Use --backend auto",
        ),
    ],
)
def test_errors_are_one_sentence_with_a_remedy(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("score", *args)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback():
    with pytest.raises(DivfastError, match="unknown metric 'eed'"):
        run("score", BASE, "-m", "eed", "--debug")
    done = spawn("score", BASE, "-m", "eed", "--debug")
    out, err = done.communicate()
    assert (done.returncode, out) == (1, "")
    assert err.startswith("Traceback")


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(*args, **more):
        raise ZeroDivisionError

    monkeypatch.setattr(divfast, "score", broken)
    with pytest.raises(ZeroDivisionError):
        run("score", BASE)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (MemoryError(), "Error: memory ran out.\n       Name a smaller --memory, or fewer --threads.\n"),
        (OSError(errno.EIO, "?", "/data/a.jsonl"), "Error: /data/a.jsonl: input/output error.\n"),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(monkeypatch, raised, message):
    def refused(*args, **more):
        raise raised

    monkeypatch.setattr(divfast, "score", refused)
    result = run("score", BASE)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", message)


def test_a_wrong_variable_is_one_sentence(monkeypatch):
    monkeypatch.setenv("DIVFAST_THREADS", "many")
    result = run("score", BASE, "-m", "ead")
    assert result.exit_code == 1
    assert result.stderr == "Error: DIVFAST_THREADS: must be a whole number of at least 1, got 'many'.\n"


def test_warnings_are_one_line_each(monkeypatch):
    score = divfast.score

    def warning(*args, **more):
        warnings.warn("a cache file is torn\nand is left alone.", DivfastWarning, stacklevel=2)
        warnings.warn("something of another library", FutureWarning, stacklevel=2)
        return score(*args, **more)

    monkeypatch.setattr(divfast, "score", warning)
    result = run("score", BASE, "-m", "ead")
    assert result.exit_code == 0
    assert result.stderr == "Warning: a cache file is torn and is left alone.\n"
    assert "something of another library" in run("score", BASE, "-m", "ead", "--debug").stderr


@pytest.mark.parametrize(
    "args", [["--help"], ["score", BASE], ["score", BASE, "--format", "json"], ["metrics"]]
)
def test_a_closed_pipe_is_quiet(args):
    reading, writing = os.pipe()
    os.close(reading)
    done = spawn(*args, stdout=writing)
    os.close(writing)
    err = done.communicate()[1]
    assert done.returncode == 0
    assert not re.search("pipe|Traceback|Exception", err, re.I)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("args", [["--help"], ["score", BASE, "-m", "ead"], ["metrics"]])
def test_a_full_disk_is_one_sentence(args):
    with Path("/dev/full").open("w") as full:
        done = spawn(*args, stdout=full)
        err = done.communicate()[1]
    assert done.returncode == 1
    assert err == "Error: standard output: no space left on device.\n"


@pytest.mark.parametrize("closed", [1, 2])
def test_a_stream_that_is_closed_from_the_start(closed):
    done = spawn("score", BASE, "-m", "ead", preexec_fn=lambda: os.close(closed))
    out, err = done.communicate()
    assert done.returncode == 0
    assert err == ""
    assert ("ead" in out) == (closed == 2)


def test_an_interrupt_is_one_line(tmp_path):
    fifo = tmp_path / "dump.jsonl"
    os.mkfifo(fifo)
    done = spawn("score", fifo, "-o", tmp_path / "run")
    deadline = time.monotonic() + 60
    while True:  # opens once the command has begun to open
        try:
            writing = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:
            assert time.monotonic() < deadline and done.poll() is None
            time.sleep(0.01)
    os.write(writing, b"{")
    while int.from_bytes(fcntl.ioctl(writing, termios.FIONREAD, bytes(4)), sys.byteorder):
        assert time.monotonic() < deadline and done.poll() is None
        time.sleep(0.01)
    # Now it waits in a read for more. A signal between two system calls would only be seen after the next read.
    time.sleep(0.5)
    done.send_signal(signal.SIGINT)
    out, err = done.communicate(timeout=60)
    os.close(writing)
    assert (done.returncode, out, err) == (130, "", "Interrupted.\n")
    assert not (tmp_path / "run").exists()


def on_a_terminal(*args, **environment):
    """Return what a command writes to a terminal; bars, which slow machines show, are on stderr and left out."""
    theirs, ours = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment}
    done = spawn(*args, stdout=ours, stderr=subprocess.DEVNULL, env=env)
    os.close(ours)
    written = b""
    while True:
        try:
            block = os.read(theirs, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not block:
            break
        written += block
    os.close(theirs)
    assert done.wait() == 0
    return written.decode()


def test_no_color(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    args = ["score", BASE, str(DEMO / "dpo.jsonl"), "-m", "ead"]
    assert "\x1b[" in on_a_terminal(*args)
    assert "\x1b" not in on_a_terminal(*args, NO_COLOR="1")
    assert "\x1b" not in run(*args).output


def test_a_narrow_terminal_gets_more_tables():
    metrics = [word for n in range(1, 7) for word in ("-m", f"distinct:n={n}")]
    text = on_a_terminal("score", BASE, str(DEMO / "dpo.jsonl"), *metrics, COLUMNS="60", NO_COLOR="1")
    grids = text.partition("signatures")[0]
    assert max(map(len, grids.splitlines())) <= 72  # the line that explains the scope
    assert grids.count("demo-dpo") == 2 * 2
    for n in range(1, 7):
        assert grids.count(f"distinct:n={n}") == 2


class Terminal:
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.mark.parametrize(("patience", "drawn"), [(0.0, True), (3600.0, False)])
def test_progress_is_drawn_on_a_terminal_for_long_work(monkeypatch, patience, drawn):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", patience)
    monkeypatch.setenv("TERM", "xterm")
    with progress.bars() as shown:
        shown(10**6, 4 * 10**6, "bytes")
        shown(1, 3, "dumps")
        shown(1_000, None, "texts")
    assert ("1.0 MB of 4.0 MB" in terminal.text) == drawn
    assert ("1 of 3 dumps" in terminal.text) == drawn
    assert ("1,000 texts" in terminal.text) == drawn


def test_progress_is_not_drawn_elsewhere(capfd):
    with progress.bars() as shown:
        assert shown is None


def test_a_command_that_is_not_there_is_told_with_those_that_may_be_meant():
    result = CliRunner().invoke(main, ["scor", "dump.jsonl"])
    assert result.exit_code == 2
    assert "No such command 'scor'. Did you mean score" in result.stderr
