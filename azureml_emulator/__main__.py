"""Start the emulator, and run a command whose clients find it; without a command, print how they find it.

What is printed on standard output are lines for a shell; all else goes to standard error.
"""

import argparse
import errno
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from .workspace import Workspace


def parse_arguments() -> argparse.Namespace:
    own = Workspace()
    parser = argparse.ArgumentParser(prog="azureml_emulator", description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep the state here, and go on with what is there")
    parser.add_argument("--port", type=int, default=0, help="listen here (any port that is free)")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs steps (this one)")
    parser.add_argument("--fork-server", action="store_true", help="run steps in forks of a warm interpreter")
    parser.add_argument("--subscription-id", default=own.subscription, help="(%(default)s)")
    parser.add_argument("--resource-group", default=own.group, help="(%(default)s)")
    parser.add_argument("--workspace", default=own.name, help="(%(default)s)")
    parser.add_argument("--region", default=own.region, help="(%(default)s)")
    parser.add_argument("command", nargs="*", help="such as -- bash; the emulator ends with it")
    arguments = parser.parse_args()
    if not (python := shutil.which(arguments.python)):
        parser.error(f"--python {arguments.python}: there is no such program")
    arguments.python = str(Path(python).absolute())
    return arguments


def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Serve until the command ends or a signal comes, and return the exit code."""
    inherited = dict(os.environ)  # MLflow's server adds to it
    from .emulator import Emulator  # noqa: PLC0415 - what it imports takes seconds
    from .launchers import Forks, Subprocesses  # noqa: PLC0415

    workspace = Workspace(
        arguments.subscription_id, arguments.resource_group, arguments.workspace, arguments.region.lower()
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    launcher = (Forks if arguments.fork_server else Subprocesses)(arguments.python, folder)
    try:
        emulator = Emulator(folder, workspace, arguments.port, launcher)
    except OSError as error:
        launcher.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        sys.exit(f"error: port {arguments.port} cannot be listened on: {error.strerror}. Choose another one.")
    variables = emulator.start()
    at = f"azureml_emulator: workspace {workspace.name} is at {emulator.server.url}, its state in {folder}"
    print(at, file=sys.stderr, flush=True)
    try:
        if arguments.command:
            return subprocess.run(arguments.command, env={**inherited, **variables}, check=False).returncode
        for name, value in variables.items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        ended.wait()
        return 0
    except OSError as error:
        sys.exit(f"error: {arguments.command[0]}: {error.strerror}")
    finally:
        emulator.stop()


def main() -> None:
    arguments = parse_arguments()
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        with (arguments.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sys.exit(f"error: another emulator keeps its state in {arguments.folder}. Choose another folder.")
            sys.exit(run(arguments, arguments.folder.resolve()))
    with tempfile.TemporaryDirectory(prefix="azureml-emulator-", ignore_cleanup_errors=True) as folder:
        sys.exit(run(arguments, Path(folder)))


if __name__ == "__main__":
    main()
