//! Segments at rest and their index: layout, range queries, retention, recovery, reindex.
