//! How a track's packets go out: within the RTSP connection, or as datagrams. Packets can be lost on the way on purpose.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

/// Pairs of ports that are tried for a track.
const PAIRS_TRIED_MAX: u32 = 64;
/// Head of an interleaved frame: `$`, channel, length.
const HEAD_BYTES: usize = 4;

/// The two sockets of a track that goes by datagrams.
pub(super) struct Datagrams {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Datagrams {
    /// Two ports in a row on `local`, for a client's two.
    pub fn open(local: IpAddr, client: IpAddr, ports: (u16, u16)) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PAIRS_TRIED_MAX {
            let rtp = UdpSocket::bind((local, 0))?;
            let Some(next) = rtp.local_addr()?.port().checked_add(1) else { continue };
            match UdpSocket::bind((local, next)) {
                Ok(rtcp) => {
                    for (socket, port) in [(&rtp, ports.0), (&rtcp, ports.1)] {
                        socket.set_nonblocking(true)?;
                        socket.connect(SocketAddr::new(client, port))?;
                    }
                    return Ok(Self { rtp, rtcp });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The first of its two ports.
    pub fn port(&self) -> u16 {
        self.rtp.local_addr().map_or(0, |address| address.port())
    }

    /// Sends what was meant for interleaved channels, RTP on `channel`. What does not go out is lost, as on a network.
    pub fn send(&self, mut frames: &[u8], channel: u8) {
        while let Some((head, rest)) = frames.split_first_chunk::<HEAD_BYTES>() {
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let Some((packet, rest)) = rest.split_at_checked(len) else { return };
            let socket = if head[1] == channel { &self.rtp } else { &self.rtcp };
            let _ = socket.send(packet);
            frames = rest;
        }
    }
}

/// Leaves out each `every`-th packet; `count` goes on from call to call.
pub(super) fn lose(frames: &mut Vec<u8>, from: usize, every: u64, count: &mut u64) {
    let whole = frames.split_off(from);
    let mut rest = &whole[..];
    while let Some((head, tail)) = rest.split_first_chunk::<HEAD_BYTES>() {
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (frame, tail) = rest.split_at((HEAD_BYTES + len).min(HEAD_BYTES + tail.len()));
        *count += 1;
        if !count.is_multiple_of(every.max(1)) {
            frames.extend_from_slice(frame);
        }
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_third_packet_is_lost() {
        let frame = |n: u8| [b'$', 0, 0, 1, n];
        let mut frames = (0..7).flat_map(frame).collect();
        let mut count = 0;
        lose(&mut frames, 0, 3, &mut count);
        assert_eq!(frames, [0, 1, 3, 4, 6].into_iter().flat_map(frame).collect::<Vec<u8>>());
    }
}
