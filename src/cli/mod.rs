//! Commands, tables, progress bars: a client of the admin API, save for run, demo, simulate and offline care.
