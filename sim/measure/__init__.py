"""The measurements of `tercet bench`, and the document that it writes."""
