"""The names of pods, by asking the API server of a cluster. Imported only in one."""
