"""The timing model: exact cycles of streams and components without simulation."""
