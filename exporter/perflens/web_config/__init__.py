"""The file of --web.config.file: TLS, client certificates, passwords, headers and a rate limit, in the format of exporter-toolkit.

It is read again when it or a file that it names has changed. http/ asks a ``Front``, and knows nothing of this package.
"""
