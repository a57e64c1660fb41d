"""Start the service as a child: its files, its environment, its program; wait, pass signals on."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from scone.errors import AppraisalError, SconeError, UsageError, places_of
from scone.launcher import kernel
from scone.launcher.console import Console
from scone.launcher.injection import Placed, prepare
from scone.launcher.placement import place
from scone.launcher.settings import ACCESS_TOKEN
from scone.log_level import ERROR, INFO, WARNING
from scone.service_config.host import Invocation, invocation
from scone.service_config.model import HostArgument, ServiceConfig
from scone.tee.measurement import Measurement, OpenedProgram, open_program, require_unchanged
from scone.tee.program_file import digest_of, read_shebang, require_same

FORWARDED: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_SI_KERNEL: Final = 0x80  # sigaction(2): by the terminal, which reaches the child as well
_MAX_REPORT: Final = 64 * 1024


class StartError(SconeError):
    """The service could not be started as configured."""


@dataclass(frozen=True, slots=True)
class _Start:
    """What the child needs."""

    program: OpenedProgram
    measured: Measurement
    config: ServiceConfig
    call: Invocation
    files: Sequence[Placed]
    parent: int
    mask: frozenset[int]


def invoke(
    config: ServiceConfig, words: Sequence[str], environment: Mapping[bytes, bytes], out: Console
) -> Invocation:
    """What to start, with what the session takes from the host; `words` begin with the program.

    Raises:
        StartError: nothing can be started: no command, too few arguments of the host, the access
            token as a variable of the program, or files that this launcher cannot protect.
    """
    protected = [f"volume {volume.name} at {volume.path}" for volume in config.volumes]
    if config.fspf is not None:
        protected.append(f"file system protection file {config.fspf.path}")
    if protected:
        raise StartError(
            f"this launcher cannot protect files yet, and the session asks for it: "
            f"{', '.join(protected)}",
            hint="nothing was started: without protection the host could read and change them",
        )
    if not config.arguments:
        raise StartError(
            "the session gives the service no command", hint="add `command:` to the service"
        )
    if (ACCESS_TOKEN.encode(), None) in config.environment:
        raise StartError(f"no program gets the host's variable {ACCESS_TOKEN}")
    arguments = [os.fsencode(word) for word in words[1:]]
    used = {word.position for word in config.arguments if isinstance(word, HostArgument)}
    ignored = [f"@@{number}" for number in range(1, len(words)) if number not in used]
    if ignored:
        out.log(
            WARNING,
            "Ignoring the host's arguments: those of the session apply "
            f"(it does not use {', '.join(ignored)})",
        )
    first = config.arguments[0]
    name = os.fsencode(Path(words[0]).name)
    if not isinstance(first, HostArgument) and first.reveal().rpartition(b"/")[2] != name:
        out.log(
            INFO,
            f"The command of the session begins with another name than {words[0]}, which is what "
            "runs; the program gets the session's name as its own (argument 0)",
        )
    try:
        return invocation(config, arguments, environment)
    except UsageError as error:
        raise StartError(str(error), hint=error.hint) from None


def run_service(
    program: OpenedProgram,
    measured: Measurement,
    config: ServiceConfig,
    call: Invocation,
    out: Console,
) -> int:
    """Run the service to its end; its exit status, or minus the signal that ended it.

    Raises:
        SconeError: it could not be started; nothing of it is left.
    """
    preparation = prepare(config, measured.mrenclave.hex(), out)
    try:
        watched = {*FORWARDED, signal.SIGCHLD}
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, the status would be lost
        mask = frozenset(
            int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        )
        start = _Start(program, measured, config, call, preparation.files, os.getpid(), mask)
        try:
            return _supervise(_fork(start, out), watched, out)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    finally:
        preparation.undo()


def die_by(number: int) -> NoReturn:
    """End this process by a signal, as the service did, and without a core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def execute(
    program: OpenedProgram, arguments: Sequence[bytes], environment: dict[bytes, bytes]
) -> NoReturn:
    """Become exactly the opened program.

    Raises:
        OSError: the kernel does not start it.
        SconeError: a script that is not the opened one any more.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; programs must not
        signal.signal(number, signal.SIG_DFL)
    script = read_shebang(program)
    if script is None:
        os.execve(program.descriptor, list(arguments), environment)  # noqa: S606
    interpreter = open_program(script.interpreter)
    require_same(program)
    words = [os.fsencode(script.interpreter)]
    if script.argument is not None:
        words.append(os.fsencode(script.argument))
    words += [os.fsencode(program.path), *arguments[1:]]
    os.execve(interpreter.descriptor, words, environment)  # noqa: S606


def _fork(start: _Start, out: Console) -> int:
    """Start the child; its process number once it has become the program."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(reading)
        _become(start, writing, out)
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        raw = report.read(_MAX_REPORT)  # ends without a byte when execve closes the other end
    if raw:
        os.waitpid(child, 0)
        messages, hint = json.loads(raw)
        error = StartError(messages[-1], hint=hint)
        error.messages = tuple(messages)
        raise error
    return child


def _become(start: _Start, report: int, out: Console) -> NoReturn:
    """In the child: set up and execute, or report why not; never return."""
    try:
        _set_up_and_execute(start, out)
    except SconeError as error:
        messages, hint = error.messages, error.hint
    except OSError as error:
        messages, hint = (f"the program cannot be executed: {error.strerror}",), ""
    except Exception as error:  # noqa: BLE001 - ends the child; its message may hold a secret
        messages, hint = (f"internal error: {places_of(error)}",), ""
    try:
        os.write(report, json.dumps([messages, hint]).encode()[:_MAX_REPORT])
    finally:
        os._exit(1)


def _set_up_and_execute(start: _Start, out: Console) -> NoReturn:
    if start.files:
        place(start.files, out)
    kernel.die_with_parent(start.parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = start.config.pwd
    if not folder.startswith("/"):
        raise UsageError(f"pwd: expected an absolute path, got {folder[:200]!r}")
    try:
        os.chdir(folder)
    except OSError as error:
        raise UsageError(
            f"pwd: the working directory {folder} of the session cannot be used: {error.strerror}"
        ) from error
    environment = start.call.environment
    # Here, where the injection files are in place: they could cover a library as well.
    require_unchanged(start.program, start.measured.files, environment, folder=folder)
    _require_interpreter(start)
    for path in list(Path("/proc/self/fd").iterdir()):
        if int(path.name) > 2:
            _close_on_exec(int(path.name))
    for number in (*FORWARDED, signal.SIGCHLD):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, start.mask)
    execute(start.program, start.call.arguments, environment)


def _require_interpreter(start: _Start) -> None:
    script = read_shebang(start.program)
    if script is not None:
        interpreter = open_program(script.interpreter)
        measured = (interpreter.path, digest_of(interpreter))
        interpreter.close()
        if measured not in start.measured.files:
            raise AppraisalError(f"{interpreter.path} changed after it was measured")


def _close_on_exec(descriptor: int) -> None:
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        return  # the one that listed the folder is closed already


def _supervise(child: int, watched: set[signal.Signals], out: Console) -> int:
    """Pass signals on until the child has ended."""
    while True:
        info = signal.sigwaitinfo(watched)
        if info.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                if code < 0:
                    reason = signal.strsignal(-code) or str(-code)
                    out.log(ERROR, f"Enclave terminated due to signal: {reason}")
                return code
        elif info.si_code != _SI_KERNEL:
            os.kill(child, info.si_signo)
