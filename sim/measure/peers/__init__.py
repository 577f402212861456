"""Other generators of hardware on the same network: the same integers, measured in the same way.

Each runs in a process of its own, by ``run.py``; nothing else of the project imports them.
"""
