//! The whole data plane over real sockets: a raw client, the proxy, a raw origin.

mod acme;
mod authority;
mod bodies;
mod files;
mod forward;
mod frames;
mod grpc;
mod guard;
mod h2;
mod inside;
mod limits;
mod log;
mod loops;
mod pki;
mod poured;
mod reuse;
mod rig;
mod slow;
mod split;
mod swaps;
mod tcp;
mod tls;
mod tunnels;
