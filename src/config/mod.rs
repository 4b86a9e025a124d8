//! The file's shape is known here only: file types, then checked room configs, all faults at once.
