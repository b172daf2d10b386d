"""`perflens top`: the terminal UI, a client of the API. Only ``app`` needs Textual; everything else makes lines of text of values."""
