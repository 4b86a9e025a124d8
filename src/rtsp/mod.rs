//! RTSP as text and packets, for whoever serves it: messages, digest of the server's side, RTP packetisers.
