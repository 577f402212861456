"""What all studies share: rows that are kept, and the documents made of them."""
