"""Why operations are slow: numbers with their baselines, causes that may explain them, and the incident that they make."""
