"""Encrypted records on an untrusted disk, and the key file that only the right software opens."""
