"""The signals of a window, each module those of one source."""
