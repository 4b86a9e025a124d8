//! A daemon where a site has its nginx, with the peers that a site has: nginx and openssl behind it over TLS, redis behind
//! a TCP route, log rotation, restarts under load.

mod carried;
pub(super) mod peers;
mod restart;
mod rotated;
mod secured;
