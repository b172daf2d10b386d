"""Incidents as annotations in Grafana. aiohttp's client is imported when the first request is made: most hosts have no Grafana."""
