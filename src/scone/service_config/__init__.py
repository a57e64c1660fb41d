"""What an attested service receives: arguments, environment, working directory, files.

`build` makes it in the CAS from a session and its secret values; the launcher reads it with
`ServiceConfig.from_json` and expands templates from its disk with `expand_template`. These two
are imported when they are first named: the launcher rarely needs them, and the session language
costs more than the rest of its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scone.service_config.model import InjectedFile, ServiceConfig

if TYPE_CHECKING:
    from scone.service_config.assembly import build
    from scone.service_config.template import expand_template

__all__ = ["InjectedFile", "ServiceConfig", "build", "expand_template"]


def __getattr__(name: str) -> object:
    if name == "build":
        from scone.service_config.assembly import build

        return build
    if name == "expand_template":
        from scone.service_config.template import expand_template

        return expand_template
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
