"""Other hardware generators with the same network: the same integers, the same measurements.

``run.py`` runs each of them in a separate process; no other module of the project imports them.
"""
