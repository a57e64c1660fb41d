"""Cryptographic building blocks: hashes, keys, certificates, under the formats' own names."""
