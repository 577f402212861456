"""The report of a build: one HTML page made from its facts."""

from .report import accuracy_facts, network_facts, render

__all__ = ["accuracy_facts", "network_facts", "render"]
