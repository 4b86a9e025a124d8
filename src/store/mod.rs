//! The only room that names sled: typed keyspaces, schema version, durable group commit, backup.
