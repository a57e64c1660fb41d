"""Trusted execution environments as ports: evidence and sealing for this process."""
