"""The timing model: cycles of streams and components, without simulating them."""
