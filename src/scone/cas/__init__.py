"""The Configuration and Attestation Service: keeps sessions, attests services, hands out configuration."""
