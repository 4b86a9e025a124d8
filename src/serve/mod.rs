//! HTTP ground shared by admin and playback: Request, Response, Body, Handler; ranges, problems, limits, drain. No hyper type crosses it.
