"""The launcher reads a configuration without the session language, which costs its start."""

import subprocess
import sys

import pytest

import scone.service_config
from scone.service_config import assembly, template

READ = """
import sys
from scone.service_config.model import ServiceConfig
text = b'{"form":2,"arguments":["cA=="],"environment":[["QQ==","Yg=="]],"pwd":"/",' \\
    b'"files":[{"path":"/f","content":"Yw==","permission":448}],"template_secrets":%s,"volumes":[],"fspf":null}'
config = ServiceConfig.from_json(text % b"null")
assert config.files[0].content.reveal() == b"c"
print(sorted({"yaml", "cryptography", "scone.session", "scone.attestation"} & set(sys.modules)))
config = ServiceConfig.from_json(text.replace(b'"Yw=="', b"null") % b'{"form":1,"values":{}}')
assert len(config.template_secrets) == 0
from scone.service_config import build, expand_template
print("scone.session" in sys.modules, callable(build), callable(expand_template))
"""


def test_reading_a_configuration_without_templates_imports_no_session_language():
    done = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\nTrue True True\n", "")


def test_the_names_of_the_package_are_functions_whatever_was_imported_before():
    assert scone.service_config.build is assembly.build
    assert scone.service_config.expand_template is template.expand_template
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = scone.service_config.absent
