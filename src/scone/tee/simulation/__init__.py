"""A simulated SGX platform: genuine DCAP evidence under a root of its own.

INSECURE by design: whoever reads its files can forge any evidence of it. It exists so
that everything runs without hardware through the real verifier. Marks that a hardware
platform cannot have: "SIMULATED" in every subject, FMSPC 53494d000001, advisories
SIM-SA-…, a quoting enclave that Intel did not sign (docs/formats/simulated-platform.md).

`SimulatedVendor` and `SimulatedPlatform` are in memory; `create` and `load` keep them
in a directory.
"""

from __future__ import annotations

from scone.tee.simulation.files import create, load
from scone.tee.simulation.platform import SimulatedPlatform, SimulatedTee
from scone.tee.simulation.vendor import SimulatedVendor

__all__ = ["SimulatedPlatform", "SimulatedTee", "SimulatedVendor", "create", "load"]
