import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mudrock_cli import __version__, cli
from mudrock_cli.errors import ExitCode, MudrockError, UsageError

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    command = [sys.executable, "-m", "mudrock_cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def imported_by(statement: str) -> set[str]:
    """Return the top-level packages in memory after a statement in a fresh interpreter."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_version() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"mudrock {__version__}\n"


def test_without_arguments_the_help_is_shown() -> None:
    result = CliRunner().invoke(cli.app, [])
    assert result.exit_code == ExitCode.USAGE
    assert "Usage: " in result.output
    assert "segment" in result.output


def test_help_says_the_exit_codes_and_offers_completion() -> None:
    shown = run("--help").stdout
    assert "Exit codes: 0 all done, 1 some inputs failed, 2 wrong usage, 130" in shown
    assert "--install-completion" in shown
    assert run("-h").stdout == shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "_MUDROCK_COMPLETE": f"complete_{shell}"}
    typed = {"COMP_WORDS": "mudrock se", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "mudrock se"}
    typed |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run(
        [sys.executable, "-m", "mudrock_cli"],
        env=environment | typed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "segment" in done.stdout, done.stderr
    assert "stats" not in done.stdout


def test_every_command_has_at_most_eight_usual_options() -> None:
    for command in cli.app.registered_commands:
        shown = run(str(command.name), "-h").stdout
        usual, _, rare = shown.partition("Rarely needed")
        options = [line for line in usual.splitlines() if line.lstrip("│* ").startswith("--")]
        options = [line for line in options if "--help" not in line.split()]
        assert len(options) <= 8, f"{command.name}: {options}"
        assert len(options) > 0
        assert "--scheduler" not in usual
        assert "--help" not in rare
        assert ("--out" in usual) == ("-o" in usual.split())


def test_help_loads_nothing_heavy() -> None:
    loaded = imported_by("import mudrock_cli.cli")
    heavy = {"keras", "tensorflow", "openvino", "torch", "scipy", "skimage", "pandas", "pyarrow"}
    assert not loaded & (heavy | {"matplotlib", "cv2", "numpy", "tifffile", "sklearn"})


def test_an_unknown_option_is_a_usage_error() -> None:
    result = run("segment", "--nonsense")
    assert result.returncode == ExitCode.USAGE
    assert "--nonsense" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MudrockError("a.tif: is broken", "copy it again"), ExitCode.SOME_FAILED),
        (UsageError("nothing there", "copy it again"), ExitCode.USAGE),
    ],
)
def test_a_known_error_is_a_line_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, error: MudrockError, code: ExitCode
) -> None:
    def fail(*, name: str) -> None:
        raise error

    monkeypatch.setattr("mudrock_cli.deeplab.model.list_models", lambda: fail(name="x"))
    result = CliRunner().invoke(cli.app, ["models"])
    assert result.exit_code == code
    assert result.stderr == f"mudrock: error: {error.message}\nhint: copy it again\n"


def test_a_bug_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mudrock_cli.deeplab.model.list_models", lambda: 1 / 0)
    result = CliRunner().invoke(cli.app, ["models"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mudrock_cli.deeplab.model.list_models", interrupt)
    result = CliRunner().invoke(cli.app, ["models"])
    assert result.exit_code == ExitCode.INTERRUPTED
    assert result.stderr.startswith("mudrock: interrupted")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT there")
@pytest.mark.parametrize("code", ["raise KeyboardInterrupt", "exec('raise KeyboardInterrupt')"])
def test_ctrl_c_ends_with_130_whatever_the_threads_do(code: str) -> None:
    """A daemon thread is in the middle of its work, as those of a library are."""
    lines = [
        "import sys, threading, time, traceback",
        "from mudrock_cli import cli",
        "from mudrock_cli.deeplab import model",
        "def interrupt(): " + code,
        "model.list_models = interrupt",
        "class Loud:",
        "    def __del__(self): print('farewell')",
        "kept = Loud()",
        "threading.Thread(target=lambda: time.sleep(60), daemon=True).start()",
        "sys.argv = ['mudrock', 'models']",
        "cli.main()",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.INTERRUPTED, done.stderr
    assert done.stderr == "mudrock: interrupted; what was finished is kept\n"
    assert not done.stdout  # Python did not take its leave, so no thread was unwound


def test_ctrl_c_while_the_program_is_loaded_is_a_line() -> None:
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'mudrock_cli.cli': exec('raise KeyboardInterrupt')\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from mudrock_cli.__main__ import main\n"
        "main()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (ExitCode.INTERRUPTED, "mudrock: interrupted\n")
