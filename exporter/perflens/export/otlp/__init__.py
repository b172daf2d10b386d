"""Spans of slow operations over OTLP. `spans.py` is the way in; nothing here is imported from OpenTelemetry unless spans are asked for."""
