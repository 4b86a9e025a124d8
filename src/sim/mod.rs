//! A simulated Hikvision: ISAPI, RTSP, a picture, faults.
