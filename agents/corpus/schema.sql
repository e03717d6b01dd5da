CREATE TABLE IF NOT EXISTS corpora (
    name TEXT PRIMARY KEY, origin TEXT NOT NULL, version TEXT NOT NULL, installed_at TEXT NOT NULL,
    num_documents INTEGER NOT NULL, num_passages INTEGER NOT NULL, num_facts INTEGER NOT NULL
);
-- `stamp` changes when what the document is made from does; "" where nobody knows.
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, corpus TEXT NOT NULL REFERENCES corpora (name),
    title TEXT NOT NULL, url TEXT NOT NULL, dated TEXT NOT NULL, weight REAL NOT NULL, stamp TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS documents_of_corpus ON documents (corpus);
CREATE TABLE IF NOT EXISTS passages (
    number INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (number),
    heading TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS passages_of_document ON passages (document);
-- Without a copy of the text: the passages hold it.
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
    title, heading, place, text, content = '', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TABLE IF NOT EXISTS places (
    alias TEXT NOT NULL, place TEXT NOT NULL, corpus TEXT NOT NULL, PRIMARY KEY (alias, place, corpus)
);
CREATE TABLE IF NOT EXISTS facts (
    number INTEGER PRIMARY KEY, corpus TEXT NOT NULL, place TEXT NOT NULL, name TEXT NOT NULL,
    text TEXT NOT NULL, note TEXT NOT NULL, document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS facts_of_place ON facts (place);
CREATE INDEX IF NOT EXISTS facts_by_name ON facts (name);
CREATE INDEX IF NOT EXISTS facts_of_corpus ON facts (corpus);
