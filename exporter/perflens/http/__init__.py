"""The HTTP side: scrape, health, life cycle, landing page. What it serves comes in as callables."""
