//! Frames to segments: where to cut (pure), the writer, one supervised child per stream.
