//! A small H.264 encoder for pictures of flat macroblocks: Main profile, CAVLC, intra 16×16 by DC prediction with
//! at most one coefficient per plane, and skipped macroblocks where nothing changed. Exact: what is drawn is decoded.
//!
//! Never does: motion, texture, choice of quality. A frame costs a few microseconds.
//!
//! Flow: `canvas` draws → [`Encoder::frame`] compares with the last picture → `slice` writes what changed.

pub mod bits;
mod canvas;
pub mod sei;
mod slice;

pub use canvas::Canvas;

use bits::BitWriter;
use bytes::Bytes;

const NAL_SPS: u8 = 0x67;
const NAL_PPS: u8 = 0x68;
const PROFILE_MAIN: u32 = 77;
/// Enough for 4096×4096 at any rate that the options allow would be 6.2; players only check what they must.
const LEVELS: [(u32, u32); 5] = [(30, 1_620), (31, 3_600), (40, 8_192), (51, 36_864), (60, 139_264)];

/// How one stream is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Macroblocks in a row.
    pub width_mbs: u16,
    /// Rows of macroblocks.
    pub height_mbs: u16,
    /// Frames per second, told in the parameter set.
    pub fps: u32,
    /// From one key frame to the next.
    pub key_every_frames: u64,
    /// The colour that the whole picture is tinted with: Cb and Cr.
    pub tint: (u8, u8),
}

/// One coded picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Decoding can begin here.
    pub key: bool,
    /// The slice's NAL unit.
    pub slice: Bytes,
}

/// Encodes one stream.
pub struct Encoder {
    settings: Settings,
    sps: Bytes,
    pps: Bytes,
    shown: Canvas,
    /// Frames since the last key frame; `None` before the first.
    since_key: Option<u64>,
    idr_pic_id: u32,
}

impl Encoder {
    /// An encoder whose first picture will be a key frame.
    pub fn new(settings: Settings) -> Self {
        let shown = Canvas::new(usize::from(settings.width_mbs), usize::from(settings.height_mbs));
        Self { settings, sps: sps(&settings), pps: pps(), shown, since_key: None, idr_pic_id: 0 }
    }

    /// The sequence parameter set's NAL unit.
    pub fn sps(&self) -> &Bytes {
        &self.sps
    }

    /// The picture parameter set's NAL unit.
    pub fn pps(&self) -> &Bytes {
        &self.pps
    }

    /// An empty picture of the right size to draw on.
    pub fn canvas(&self) -> Canvas {
        Canvas::new(self.shown.width, self.shown.height)
    }

    /// Codes the next picture.
    pub fn frame(&mut self, picture: &Canvas) -> Picture {
        let since = match self.since_key {
            Some(n) if n + 1 < self.settings.key_every_frames => n + 1,
            _ => 0,
        };
        self.since_key = Some(since);
        let key = since == 0;
        if key {
            self.idr_pic_id ^= 1;
        }
        let head = slice::Head { key, frame_num: (since % slice::FRAME_NUM_COUNT) as u32, idr_pic_id: self.idr_pic_id };
        let slice = slice::write(&head, &self.shown, picture, self.settings.tint);
        self.shown.clone_from(picture);
        Picture { key, slice }
    }
}

fn sps(s: &Settings) -> Bytes {
    let size = u32::from(s.width_mbs) * u32::from(s.height_mbs);
    let level = LEVELS.iter().find(|(_, mbs)| size <= *mbs).map_or(62, |(level, _)| *level);
    let mut w = BitWriter::default();
    w.bits(PROFILE_MAIN, 8);
    w.bits(0, 8); // constraint flags
    w.bits(level, 8);
    w.ue(0); // seq_parameter_set_id
    w.ue(slice::FRAME_NUM_BITS - 4); // log2_max_frame_num_minus4
    w.ue(2); // pic_order_cnt_type: output order is decoding order
    w.ue(1); // max_num_ref_frames
    w.flag(false); // gaps_in_frame_num_value_allowed_flag
    w.ue(u32::from(s.width_mbs) - 1);
    w.ue(u32::from(s.height_mbs) - 1);
    w.flag(true); // frame_mbs_only_flag
    w.flag(true); // direct_8x8_inference_flag
    w.flag(false); // frame_cropping_flag
    w.flag(true); // vui_parameters_present_flag
    w.flag(false); // aspect_ratio_info_present_flag
    w.flag(false); // overscan_info_present_flag
    w.flag(false); // video_signal_type_present_flag
    w.flag(false); // chroma_loc_info_present_flag
    w.flag(true); // timing_info_present_flag
    w.bits(1, 32); // num_units_in_tick
    w.bits(2 * s.fps, 32); // time_scale counts fields
    w.flag(true); // fixed_frame_rate_flag
    w.flag(false); // nal_hrd_parameters_present_flag
    w.flag(false); // vcl_hrd_parameters_present_flag
    w.flag(false); // pic_struct_present_flag
    w.flag(true); // bitstream_restriction_flag: tells players that they need not wait for reordering
    w.flag(true); // motion_vectors_over_pic_boundaries_flag
    w.ue(0); // max_bytes_per_pic_denom
    w.ue(0); // max_bits_per_mb_denom
    w.ue(0); // log2_max_mv_length_horizontal
    w.ue(0); // log2_max_mv_length_vertical
    w.ue(0); // max_num_reorder_frames
    w.ue(1); // max_dec_frame_buffering
    bits::nal(&[NAL_SPS], &w.finish())
}

fn pps() -> Bytes {
    let mut w = BitWriter::default();
    w.ue(0); // pic_parameter_set_id
    w.ue(0); // seq_parameter_set_id
    w.flag(false); // entropy_coding_mode_flag: CAVLC
    w.flag(false); // bottom_field_pic_order_in_frame_present_flag
    w.ue(0); // num_slice_groups_minus1
    w.ue(0); // num_ref_idx_l0_default_active_minus1
    w.ue(0); // num_ref_idx_l1_default_active_minus1
    w.flag(false); // weighted_pred_flag
    w.bits(0, 2); // weighted_bipred_idc
    w.se(slice::QP - 26); // pic_init_qp_minus26
    w.se(0); // pic_init_qs_minus26
    w.se(slice::CHROMA_QP_OFFSET); // chroma_qp_index_offset
    w.flag(true); // deblocking_filter_control_present_flag
    w.flag(false); // constrained_intra_pred_flag
    w.flag(false); // redundant_pic_cnt_present_flag
    bits::nal(&[NAL_PPS], &w.finish())
}

#[cfg(test)]
mod tests;
