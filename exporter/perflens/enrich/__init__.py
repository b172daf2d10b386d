"""From ids to names that people know."""
