"""Formats of Intel SGX DCAP evidence and endorsements."""
