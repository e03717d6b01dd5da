"""The documents and facts that lie on this machine: one SQLite file, searched with BM25, without network."""
