"""Serves a model as OpenAI does: `model_server.py MODEL PORT`, run by the Python that has the server (tests/components/model)."""

import sys
import time

import xllamacpp

parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.port = sys.argv[1], int(sys.argv[2])
parameters.n_ctx, parameters.n_parallel, parameters.endpoint_metrics = 8_192, 1, True
parameters.cache_prompt = False  # its own count has no tokens that it remembers
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
while True:
    time.sleep(3_600)
