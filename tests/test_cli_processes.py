"""The command line as a process: pipes that close, Ctrl-C, no terminal, no typer; and its help."""

import os
import pty
import re
import signal
import sys
from pathlib import Path

import pytest
from support import programs, write_rows
from support.command import call, fails, printed

from shardline.cli.app import app

SHARDLINE = ("-m", "shardline")
CODES = re.compile(r"\x1b\[[0-9;]*m")


def names():
    return sorted(command.name or command.callback.__name__ for command in app.registered_commands)


def test_help_of_every_command_has_an_example():
    text = printed("--help", width=120)
    assert {"bench", "head", "info", "plan", "shuffle-quality", "state", "stats", "verify"} <= set(names())
    for name in names():
        assert f" {name} " in text
        assert f"Example: shardline {name} " in printed(name, "--help", width=120)


def test_wrong_use_exits_with_2():
    assert "No such command" in fails("inf", code=2)
    assert "No such option" in fails("info", ".", "--jsn", code=2)
    assert "Missing argument" in fails("info", code=2)
    assert call("--version").stdout.startswith("shardline ")


def test_an_error_is_one_message_and_no_traceback(tmp_path):
    done = programs.run(*SHARDLINE, "info", tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: no such file or directory: {tmp_path / 'none'}\n"


READING = ("head", "stats", "plan", "shuffle-quality", "verify", "bench", "rewrite")
"""Commands that make a loader; `info` lists damaged files, and state is of another kind."""


@pytest.mark.parametrize("command", READING)
def test_paths_that_hold_no_data_are_one_error(tmp_path, command):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.csv").write_text("a,b\n" * 100)
    (tmp_path / "x.parquet").write_text("a,b\n" * 100)
    damaged = write_rows(tmp_path / "damaged", [[10], [20], [30]])
    whole = (damaged / "part-0001.parquet").read_bytes()
    (damaged / "part-0001.parquet").write_bytes(whole[: len(whole) // 2])
    before, out = sorted(tmp_path.iterdir()), [tmp_path / "out"] if command == "rewrite" else []
    assert fails(command, tmp_path / "none", *out).startswith("error: no such file or directory: ")
    assert "no files in this directory" in fails(command, tmp_path / "empty", *out)
    for name in ("x.csv", "x.parquet"):
        assert "not a Parquet file" in fails(command, tmp_path / name, *out)
    said = fails(command, damaged, *out)
    assert "part-0001.parquet" in said
    assert "part-0000" not in said
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", ["info", "verify", "bench", "rewrite"])
def test_a_store_without_credentials(store, tmp_path, command):
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env["AWS_EC2_METADATA_DISABLED"] = "true"
    options = {"endpoint_url": store.endpoint, "timeout": 1.0, "retry": {"max_retries": 0}}
    out = [tmp_path / "out"] if command == "rewrite" else []
    done = programs.run(*SHARDLINE, command, store.url, *out, "-o", f"storage_options={options}", env=env)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "credentials" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pipe_that_closes_ends_it_quietly(hundred):
    close = "import os; r, w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w)"
    code = f"{close}; from shardline.cli import main; main()"
    done = programs.run("-c", code, "head", hundred)
    assert (done.returncode, done.stderr) == (141, "")


def test_ctrl_c_ends_it_without_a_word(tmp_path):
    """It waits for a file that nobody writes to; once it has said that it waits, it is interrupted."""
    os.mkfifo(tmp_path / "state.json")
    with programs.start(*SHARDLINE, "state", tmp_path / "state.json") as process:
        # Opening for writing returns when the other side has opened for reading.
        writer = os.open(tmp_path / "state.json", os.O_WRONLY)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
        os.close(writer)
    assert (process.returncode, error) == (130, "")


WAITS = """
import os

def wait(batch):
    with open("pid", "w") as file:
        file.write(str(os.getpid()))
    open("never")
"""


@pytest.mark.parametrize("command", ["verify", "bench"])
def test_ctrl_c_ends_the_processes_that_it_has_started(hundred, tmp_path, command):
    os.mkfifo(tmp_path / "never")
    (tmp_path / "waits.py").write_text(WAITS)
    with programs.start(*SHARDLINE, command, hundred, "--transform", "waits.py:wait", cwd=tmp_path) as process:
        writer = os.open(tmp_path / "never", os.O_WRONLY)  # returns when the transform has opened it
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
        os.close(writer)
    assert (process.returncode, error) == (130, "")
    programs.wait_for_end(int((tmp_path / "pid").read_text()))


def test_verify_starts_python_anew(hundred):
    arguments = ("--stops", 1, "--ranks", 1, "--workers", "0,1", "-b", 5)
    done = programs.run(*SHARDLINE, "verify", hundred, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "40 batches bit for bit those of a run that was never stopped" in " ".join(done.stdout.split())


def in_terminal(*arguments, columns, **env):
    """What it writes to a terminal of so many columns."""
    import fcntl
    import struct
    import termios

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(env)
        os.environ.pop("COLUMNS", None)
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, *SHARDLINE, *map(str, arguments)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    text = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        text += piece
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, text
    return text.decode().replace("\r\n", "\n")


def test_a_terminal_of_60_columns(hundred):
    text = in_terminal("info", hundred, columns=60)
    assert "\x1b[1m" in text
    assert max(len(line) for line in CODES.sub("", text).splitlines() if " " in line) <= 60
    assert "\x1b" not in in_terminal("info", hundred, columns=60, NO_COLOR="1")


def test_without_typer_it_says_what_to_install():
    code = "import sys; sys.modules['typer'] = None; from shardline.cli import main; main()"
    done = programs.run("-c", code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the command line needs typer: pip install 'shardline[cli]'\n"


def test_completion():
    env = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = programs.run(*SHARDLINE, "--show-completion", "bash", env=env)
    assert done.returncode == 0
    assert "_SHARDLINE_COMPLETE" in done.stdout


def test_the_program_is_declared():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert 'shardline = "shardline.cli:main"' in text
