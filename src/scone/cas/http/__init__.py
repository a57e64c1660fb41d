"""The REST shell of the CAS: one route table feeds the router, the OpenAPI document and a test."""
