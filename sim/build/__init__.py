"""The steps of ``tercet build``; a step is repeated only if what it depends on has changed."""
