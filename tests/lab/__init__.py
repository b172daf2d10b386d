"""The fault lab: known faults on this machine, and what the analyzer makes of them."""
