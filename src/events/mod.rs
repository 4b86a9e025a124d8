//! The one durable log behind /events, webhooks and the console: append, cursor, resume.
