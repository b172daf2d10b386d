"""Configuration: what the user wrote, checked whole, as one frozen value."""
