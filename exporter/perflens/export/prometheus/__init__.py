"""The Prometheus exposition: rendering, filters and negotiation."""
