"""One module per probe family, of the same name as its .bpf.c; each holds one PROBE."""
