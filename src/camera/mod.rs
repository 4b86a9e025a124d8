//! Policy of cameras: presence, one supervised child per device, retina sessions, frames out.
