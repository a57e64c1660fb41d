"""Running commands so that a reader can repeat them: printed, checked, stopped by pid at the end."""

from __future__ import annotations

import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_TIMEOUT_S: Final = 30


class StepFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A step did not do what it says."""


class Story:
    """A folder, an environment and the processes that were started in it."""

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="scone-demo-"))
        self.started_at = time.time()
        (self.folder / "home").mkdir()
        self.environment = {
            "HOME": str(self.folder / "home"),
            "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.say(f"Everything happens in {self.folder}, with a HOME of its own.")
        for name in ("HOME", "PATH"):
            print(f"$ export {name}={shlex.quote(self.environment[name])}")
        print(f"$ cd {self.folder}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._processes):
            self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)
        print("\nStopped everything that was started and removed the folder.")

    def title(self, text: str) -> None:
        """A heading."""
        print(f"\n=== {text}", flush=True)

    def say(self, text: str) -> None:
        """An explanation."""
        print(f"# {text}", flush=True)

    def export(self, **variables: str) -> None:
        """Set variables for the commands that follow."""
        for name, value in variables.items():
            self.environment[name] = value
            print(f"$ export {name}={shlex.quote(value)}", flush=True)

    def write(self, name: str, text: str) -> Path:
        """Write a file as a reader would with a here-document."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"$ cat > {name} <<'EOF'\n{text}EOF", flush=True)
        return path

    def run(self, command: str, *, refused: str | None = None) -> str:
        """Run a command; it must succeed, or fail saying `refused`. Returns its stdout."""
        print(f"$ {command}", flush=True)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        messages = done.stderr.decode(errors="replace")
        sys.stdout.write(output if output.endswith("\n") or not output else output + "\n")
        sys.stdout.write(messages)
        sys.stdout.flush()
        if refused is None and done.returncode != 0:
            raise StepFailed(f"{command}: exit status {done.returncode}")
        if refused is not None and done.returncode == 0:
            raise StepFailed(f"{command}: was to be refused, and succeeded")
        if refused is not None and refused not in output + messages:
            raise StepFailed(f"{command}: was refused, but without the reason {refused!r}")
        return output

    def start(self, command: str, log: str) -> subprocess.Popen[bytes]:
        """Start a program in the background, its output in a file."""
        print(f"$ {command} > {log} 2>&1 &", flush=True)
        with (self.folder / log).open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End a program that was started here."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_for(
        self, what: str, check: Callable[[], bool], process: subprocess.Popen[bytes], log: str
    ) -> None:
        """Wait until `check` holds while the process lives."""
        deadline = time.monotonic() + _TIMEOUT_S
        while not check():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.stdout.write((self.folder / log).read_text(errors="replace"))
                raise StepFailed(f"{what} did not happen")
            time.sleep(0.05)

    def read(self, name: str) -> str:
        """A file's text."""
        return (self.folder / name).read_text(errors="replace")


def free_port() -> int:
    """A TCP port on loopback that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
