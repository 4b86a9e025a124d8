//! The whole data plane over real sockets: a raw client, the proxy, a raw origin.

mod bodies;
mod forward;
mod inside;
mod limits;
mod loops;
mod reuse;
mod rig;
mod slow;
mod swaps;
mod tunnels;
