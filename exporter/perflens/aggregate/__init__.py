"""Accumulators that never fall, bound to labels once."""
