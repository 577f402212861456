"""Files of integer networks: JSON, and text that a person writes."""
