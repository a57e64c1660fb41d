"""The command `scone-run PROGRAM [ARGUMENTS]`: everything after PROGRAM belongs to it.

Exit status: that of the program (a signal that ended it ends the launcher); 134 when it
could not be attested, configured or set up, as SCONE's abort; 127 no such program; 126 a
program that is not started; 2 a wrong command line or environment; 70 an error of the
launcher itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from scone import __version__
from scone.errors import NotFoundError, SconeError, places_of
from scone.launcher.console import Console, write, write_error
from scone.launcher.settings import ACCESS_TOKEN, Settings
from scone.log_level import DEBUG, INFO, WARNING
from scone.tee.measurement import OpenedProgram, measure_program, open_program

FAILED: Final = 134  # SIGABRT, as the shell shows it
NOT_FOUND: Final = 127
NOT_STARTED: Final = 126
USAGE: Final = 2
BUG: Final = 70

_USAGE: Final = """\
Usage: scone-run PROGRAM [ARGUMENTS]...

Start PROGRAM, attested, with the arguments, environment and files that the CAS has for it.

Environment:
  SCONE_CONFIG_ID  SESSION/SERVICE, or SESSION/SERVICE@CODE with a one-time password; without it PROGRAM runs unattested, with your arguments
  SCONE_CAS_ADDR   host[:port] of the CAS (default cas, port 18765)
  SCONE_CAS_KEY    key hash of the CAS that may configure PROGRAM; part of the measurement
  SCONE_SERVICE_ACCESS_TOKEN  the service_access_token of the session, if it has one
  SCONE_LAS_ADDR   socket of the LAS (default ~/.cas/simulated-platform/las.sock)
  SCONE_MODE       SIM or AUTO (this version has no hardware mode)
  SCONE_HEAP, SCONE_STACK, SCONE_TCS   sizes such as 64M, threads; part of the measurement
  SCONE_HASH=1     print the measurement and exit
  SCONE_VERSION=1  print these values and the version first
  SCONE_LOG        FATAL, ERROR, WARNING (default), INFO, DEBUG, TRACE, or a digit

Options (before PROGRAM):
  --help, --version
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    try:
        return _main(list(sys.argv[1:] if arguments is None else arguments))
    except Exception as error:  # noqa: BLE001 - ends the program; its message may hold a secret
        write(f"scone-run: internal error: {places_of(error)}")
        return BUG


def _main(words: list[str]) -> int:
    match words:
        case ["--help" | "-h", *_]:
            return _print(_USAGE)
        case ["--version" | "-V", *_]:
            return _print(f"scone-run {__version__}\n")
        case ["--", *rest]:
            words = rest
        case [first, *_] if first.startswith("-"):
            write(f"scone-run: unknown option {first}; options of the program follow its name")
            return USAGE
    if not words:
        write(_USAGE)
        return USAGE
    try:
        settings = Settings.from_environment(os.environ)
        if settings.print_hash or settings.config_id is not None:
            settings.require_cas_key()
    except SconeError as error:
        write_error(error)
        return USAGE
    try:
        program = open_program(_find(words[0]))
        return _run(settings, program, words)
    except SconeError as error:
        write_error(error)
        return NOT_FOUND if isinstance(error, NotFoundError) else NOT_STARTED


def _print(text: str) -> int:
    """Print a result; the exit status. Not by sys.stdout, which would fail again at the end."""
    try:
        with open(1, "wb", closefd=False) as out:
            out.write(text.encode())
    except OSError as error:
        write(f"scone-run: standard output: {error.strerror}")
        return FAILED
    return 0


def _find(name: str) -> str:
    """The program of that name: a path, or a name that PATH leads to.

    Raises:
        NotFoundError: neither.
    """
    if "/" in name:
        return name
    for folder in os.get_exec_path():
        path = os.path.join(folder or ".", name)  # noqa: PTH118 - pathlib drops the "./"
        if os.access(path, os.X_OK) and not Path(path).is_dir():
            return path
    raise NotFoundError(f"{name}: no such program in PATH")


def _run(settings: Settings, program: OpenedProgram, words: Sequence[str]) -> int:
    if settings.print_hash:
        measured = measure_program(program, settings.options)
        return _print(measured.mrenclave.hex() + "\n")
    out = Console(settings.log_level)
    if settings.print_version:
        _print_version(settings, program)
    out.always(
        WARNING,
        "Application runs in SGX simulation mode. Its memory can be read by the untrusted system! "
        "This is not secure!",
    )
    if settings.config_id is None:
        out.log(
            WARNING,
            "SCONE_CONFIG_ID is not set: the program runs unattested, with the arguments and the "
            "environment of the host",
        )
        environment = dict(os.environb)
        environment.pop(ACCESS_TOKEN.encode(), None)
        return _execute_unattested(program, words, environment)
    return _run_attested(settings, settings.config_id, program, words, out)


def _run_attested(
    settings: Settings, config_id: str, program: OpenedProgram, words: Sequence[str], out: Console
) -> int:
    """Measure, attest, receive, start; one place tells why it failed."""
    from scone.launcher.attestation import fetch_configuration
    from scone.launcher.start import StartError, die_by, invoke, run_service

    measured = measure_program(program, settings.options)
    out.log(INFO, f"Enclave hash: {measured.mrenclave.hex()}")
    for path, digest in measured.files:  # which one changed, when the CAS refuses the whole
        out.log(DEBUG, f"measured {path} {digest}")
    try:
        config = fetch_configuration(settings, config_id, program, measured, out)
        if settings.pwd is not None:
            out.log(
                WARNING,
                "Ignoring `SCONE_PWD` environment variable and host provided process working "
                "directory.\n\tApplying process working directory from service's session "
                f"configuration ({config.pwd})",
            )
        call = invoke(config, words, os.environb, out)
        status = run_service(program, measured, config, call, out)
    except SconeError as error:
        stage = "Configuration failed" if isinstance(error, StartError) else "Attestation failed"
        out.fatal(
            f"Could not initialize enclave state: {stage}",
            error.messages,
            error.hint,
            f"Connecting to CAS at {settings.cas.host} (port {settings.cas.port}) using service ID "
            f"{settings.service_id}",
        )
        return FAILED
    if status < 0:
        die_by(-status)
    return status


def _execute_unattested(
    program: OpenedProgram, words: Sequence[str], environment: Mapping[bytes, bytes]
) -> int:
    from scone.launcher.start import execute

    try:
        execute(program, [os.fsencode(word) for word in words], dict(environment))
    except OSError as error:
        write(f"scone-run: {program.path}: cannot be executed: {error.strerror}")
        return NOT_STARTED


def _print_version(settings: Settings, program: OpenedProgram) -> None:
    lines = settings.lines()
    lines.append(f"SCONE version: {__version__} (scone-cas, simulation)")
    if settings.options.cas_key is None:
        lines.append("Enclave hash: <needs SCONE_CAS_KEY>")
    else:
        measured = measure_program(program, settings.options)
        lines.append(f"Enclave hash: {measured.mrenclave.hex()}")
    write("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
