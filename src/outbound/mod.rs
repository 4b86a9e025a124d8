//! Our own HTTP requests to others: bounded in time, bytes and redirects (none).
