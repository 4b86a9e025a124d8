//! The whole data plane over real sockets: a raw client, the proxy, a raw origin.

mod bodies;
mod forward;
mod frames;
mod grpc;
mod h2;
mod inside;
mod limits;
mod loops;
mod pki;
mod reuse;
mod rig;
mod slow;
mod swaps;
mod tls;
mod tunnels;
