"""The code that runs inside the simulator."""
