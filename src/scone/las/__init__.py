"""LAS, the local attestation service: measures programs on its machine and quotes them."""
