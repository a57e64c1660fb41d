"""What an attested service receives: arguments, environment, working directory, files.

`build` makes it in the CAS from a session and its secret values; the launcher reads it with
`ServiceConfig.from_json` and expands templates from its disk with `expand_template`.
"""

from scone.service_config.build import build
from scone.service_config.model import InjectedFile, ServiceConfig
from scone.service_config.template import expand_template

__all__ = ["InjectedFile", "ServiceConfig", "build", "expand_template"]
