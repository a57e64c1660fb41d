"""`scone-run`: start a program with the configuration that a CAS gives to it after attestation."""
