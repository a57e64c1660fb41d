"""Options that several commands share, with SCONE's spellings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from scone.cli.parameters import CasName, FileName, HashText, SessionName, WholeNumber

Function = TypeVar("Function", bound=Callable[..., Any])
SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def json_option(function: Function) -> Function:
    """`--json`: print the facts as JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")(
        function
    )


def retries_option(function: Function) -> Function:
    """`--retries` of every command that uses the network."""
    return click.option(
        "--retries",
        metavar="COUNT",
        type=WholeNumber(0, 100),
        default=3,
        show_default=True,
        envvar="SCONE_CLI_RETRIES",
        show_envvar=True,
        help="How often to retry on network errors; 0 disables retries.",
    )(function)


def identity_option(function: Function) -> Function:
    """`--identity` of every command that acts as a user."""
    return click.option(
        "--identity",
        "identity_path",
        metavar="IDENTITY",
        type=FileName(),
        help="File with a PEM PKCS#8 private key followed by its X.509 certificate. By default the "
        "identity in the config file is used.",
    )(function)


def cas_option(function: Function) -> Function:
    """`-c/--cas` of every command that uses an attested CAS."""
    return click.option(
        "-c",
        "--cas",
        "cas_name",
        metavar="CAS",
        type=CasName(),
        help="The attested CAS to use; by default the default CAS.",
    )(function)


def unattested_option(function: Function) -> Function:
    """The switch that lets a command speak to a CAS that was not attested."""
    return click.option(
        "--only_for_testing-disable-attestation-verification",
        "unattested",
        is_flag=True,
        help="Do not require the CAS to be attested, and verify nothing about it. Not secure!",
    )(function)


def network_options(function: Function) -> Function:
    """All of the above but `--json`, in the order of the help."""
    for option in (unattested_option, retries_option, identity_option, cas_option):
        function = option(function)
    return function


def hash_option(text: str) -> Callable[[Function], Function]:
    """`--hash`: a version of a session; `text` is the help."""
    return click.option("--hash", "session_hash", metavar="HASH", type=HashText(), help=text)


def template_options(function: Function) -> Function:
    """A session file, and how it becomes a session."""
    return click.argument("file", metavar="FILE", type=FileName())(variable_options(function))


def variable_options(function: Function) -> Function:
    """How a session file becomes a session."""
    for option in (
        click.option(
            "--use-env",
            is_flag=True,
            help="Take variables from the environment; -e wins over it.",
        ),
        click.option(
            "-n",
            "--name",
            metavar="NAME",
            type=SessionName(),
            help="Replace the name in the session file.",
        ),
        click.option(
            "--fail-on-warning",
            is_flag=True,
            help="Stop at a warning found here, about FILE or -e, before anything is sent.",
        ),
        click.option(
            "-e",
            "variables",
            metavar="VAR=VALUE",
            multiple=True,
            help="Value of a variable of the session file; may be repeated. VAR=@FILE and VAR=- read "
            "the value from a file or from standard input (less one final newline); VAR=@@… is the "
            "value @@… itself.",
        ),
    ):
        function = option(function)
    return function


def evidence_options(function: Function) -> Function:
    """Which software and platform to trust."""
    for option in reversed(
        (
            click.argument("mrenclave_argument", metavar="[MRENCLAVE]", required=False),
            click.option(
                "--mrenclave",
                "mrenclaves",
                metavar="MRENCLAVE",
                multiple=True,
                help="A measurement that is trusted; if repeated, any may match. The signer is still "
                "checked, the default lowest ISVSVN is not.",
            ),
            click.option(
                "--mrsigner",
                metavar="MRSIGNER",
                help="Trust this signer and not the default one; needs --isvprodid and --isvsvn.",
            ),
            click.option(
                "--isvprodid",
                metavar="ISVPRODID",
                type=WholeNumber(0, 65535),
                help="Expected product ID.",
            ),
            click.option(
                "--isvsvn",
                metavar="ISVSVN",
                type=WholeNumber(0, 65535),
                help="Lowest security version that is trusted.",
            ),
            *_tcb_options(),
            _platform_option(),
            click.option(
                "--verification-time",
                metavar="VERIFICATION_TIME",
                help="Verify the evidence as of this day, 0:00 UTC: yyyy-mm-dd, dd.mm.yyyy or "
                "dd-mm-yyyy. By default now.",
            ),
            click.option(
                "--only_for_testing-simulation",
                "simulation_path",
                metavar="ROOT.pem",
                type=FileName(),
                help="Also trust evidence of the simulated platform with this root certificate. "
                "Anybody on its machine can forge it!",
            ),
            click.option(
                "--only_for_testing-debug",
                "allow_debug",
                is_flag=True,
                help="Accept debug mode, which PROTECTS NOTHING. Only if the signer is ignored.",
            ),
            click.option(
                "--only_for_testing-ignore-signer",
                "ignore_signer",
                is_flag=True,
                help="Do not check the signer. Needs a measurement, unless "
                "--only_for_testing-trust-any is given.",
            ),
            click.option(
                "--only_for_testing-trust-any",
                "trust_any",
                is_flag=True,
                help="Trust ANY measurement; only in debug mode. Not secure!",
            ),
        )
    ):
        function = option(function)
    return function


def peer_options(function: Function) -> Function:
    """Which platform of another CAS to accept."""
    for option in reversed((*_tcb_options(), _platform_option())):
        function = option(function)
    return function


def _tcb_options() -> tuple[Callable[[Function], Function], ...]:
    return (
        click.option(
            "-C",
            "--accept-configuration-needed",
            is_flag=True,
            help="Accept a platform that needs another configuration (hyperthreading; less secure).",
        ),
        click.option(
            "-G",
            "--accept-group-out-of-date",
            is_flag=True,
            help="Accept a platform that is out of date (dangerous!).",
        ),
        click.option(
            "-S",
            "--accept-sw-hardening-needed",
            is_flag=True,
            help="Accept a platform that needs software hardening (less secure).",
        ),
    )


def _platform_option() -> Callable[[Function], Function]:
    return click.option(
        "--platform",
        "platforms",
        metavar="ID",
        multiple=True,
        help="Accept only this platform, such as INTEL_QE_ID:<32 hex digits>; if repeated, any may match.",
    )
