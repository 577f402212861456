"""File formats of integer networks: JSON, and handwritten text."""
