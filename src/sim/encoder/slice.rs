//! One picture as one slice. The numbers are chosen so that a coefficient's level is the difference in brightness:
//! at QP 28 the DC of a 16×16 luma block, once through both inverse transforms, comes out as itself; with the chroma
//! offset −6 (chroma QP 22) the same holds for chroma's 2×2 DC.

use super::{
    Canvas,
    bits::{self, BitWriter},
};
use bytes::Bytes;

/// The QP at which one level is one step of luma.
pub(super) const QP: i32 = 28;
/// Makes one level one step of chroma too.
pub(super) const CHROMA_QP_OFFSET: i32 = -6;
/// Bits of `frame_num`.
pub(super) const FRAME_NUM_BITS: u32 = 8;
/// `frame_num` counts modulo this.
pub(super) const FRAME_NUM_COUNT: u64 = 1 << FRAME_NUM_BITS;

const NAL_IDR: u8 = 0x65;
const NAL_NON_IDR: u8 = 0x41;
const SLICE_P: u32 = 5;
const SLICE_I: u32 = 7;
/// `mb_type` of an intra 16×16 macroblock with DC prediction and no AC, in an I slice; four more with chroma DC.
const MB_INTRA_16X16_DC: u32 = 3;
const MB_WITH_CHROMA_DC: u32 = 4;
/// What is added to an intra `mb_type` in a P slice.
const MB_INTRA_IN_P: u32 = 5;
/// What DC prediction assumes where there is no neighbour.
const PREDICTED_WITHOUT_NEIGHBOUR: u8 = 128;

/// The code words for "no coefficient" and "one coefficient", from table 9-5.
struct CoefficientTokens {
    none: (u32, u32),
    one_of_size_one: (u32, u32),
    one_larger: (u32, u32),
}

/// With no coefficients in the neighbours, which is always so here: AC is never coded.
const LUMA_TOKENS: CoefficientTokens =
    CoefficientTokens { none: (0b1, 1), one_of_size_one: (0b01, 2), one_larger: (0b00_0101, 6) };
const CHROMA_DC_TOKENS: CoefficientTokens =
    CoefficientTokens { none: (0b01, 2), one_of_size_one: (0b1, 1), one_larger: (0b00_0111, 6) };

/// What differs from slice header to slice header.
pub(super) struct Head {
    pub key: bool,
    pub frame_num: u32,
    pub idr_pic_id: u32,
}

/// Codes `picture`, given that the decoder shows `shown`.
pub(super) fn write(head: &Head, shown: &Canvas, picture: &Canvas, tint: (u8, u8)) -> Bytes {
    let mut w = BitWriter::default();
    write_head(&mut w, head);
    let mut skipped = 0;
    for at in 0..picture.luma.len() {
        if !head.key {
            if picture.luma[at] == shown.luma[at] {
                skipped += 1;
                continue;
            }
            w.ue(skipped);
            skipped = 0;
        }
        write_macroblock(&mut w, head.key, picture, at, tint);
    }
    if skipped > 0 {
        w.ue(skipped);
    }
    bits::nal(&[if head.key { NAL_IDR } else { NAL_NON_IDR }], &w.finish())
}

fn write_head(w: &mut BitWriter, head: &Head) {
    w.ue(0); // first_mb_in_slice
    w.ue(if head.key { SLICE_I } else { SLICE_P });
    w.ue(0); // pic_parameter_set_id
    w.bits(head.frame_num, FRAME_NUM_BITS);
    if head.key {
        w.ue(head.idr_pic_id);
        w.flag(false); // no_output_of_prior_pics_flag
        w.flag(false); // long_term_reference_flag
    } else {
        w.flag(false); // num_ref_idx_active_override_flag
        w.flag(false); // ref_pic_list_modification_flag_l0
        w.flag(false); // adaptive_ref_pic_marking_mode_flag
    }
    w.se(0); // slice_qp_delta
    w.ue(1); // disable_deblocking_filter_idc: off
}

fn write_macroblock(w: &mut BitWriter, key: bool, picture: &Canvas, at: usize, tint: (u8, u8)) {
    // Neighbours are flat, so the mean of 32 border pixels is the mean of two. A neighbour that was skipped shows
    // what the picture wants already, so `picture` is what the decoder has, to the left and above.
    let left = (!at.is_multiple_of(picture.width)).then(|| u16::from(picture.luma[at - 1]));
    let above = at.checked_sub(picture.width).map(|i| u16::from(picture.luma[i]));
    let predicted = match (left, above) {
        (Some(l), Some(a)) => (l + a).div_ceil(2),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => u16::from(PREDICTED_WITHOUT_NEIGHBOUR),
    };
    // The tint is the same everywhere, so only the macroblock without neighbours has to bring it.
    let chroma = left.is_none() && above.is_none();
    let mb_type = MB_INTRA_16X16_DC + if chroma { MB_WITH_CHROMA_DC } else { 0 };
    w.ue(if key { mb_type } else { MB_INTRA_IN_P + mb_type });
    w.ue(0); // intra_chroma_pred_mode: DC
    w.se(0); // mb_qp_delta
    write_coefficient(w, &LUMA_TOKENS, i32::from(picture.luma[at]) - i32::from(predicted));
    if chroma {
        for component in [tint.0, tint.1] {
            let level = i32::from(component) - i32::from(PREDICTED_WITHOUT_NEIGHBOUR);
            write_coefficient(w, &CHROMA_DC_TOKENS, level);
        }
    }
}

/// A block whose only coefficient is the first, by CAVLC.
fn write_coefficient(w: &mut BitWriter, tokens: &CoefficientTokens, level: i32) {
    let code = |w: &mut BitWriter, (bits, len)| w.bits(bits, len);
    match level {
        0 => return code(w, tokens.none),
        -1 | 1 => {
            code(w, tokens.one_of_size_one);
            w.flag(level < 0); // trailing_ones_sign_flag
        }
        _ => {
            code(w, tokens.one_larger);
            write_level(w, level);
        }
    }
    w.flag(true); // total_zeros: none before it
}

/// `level_prefix` and `level_suffix` of the first coefficient after no trailing ones, suffix length 0.
fn write_level(w: &mut BitWriter, level: i32) {
    // Sizes from two up, since a one would have been a trailing one: hence two less than the plain code.
    let code = 2 * level.unsigned_abs() - if level > 0 { 2 } else { 1 } - 2;
    match code {
        0..14 => w.bits(1, code + 1),
        14..30 => {
            w.bits(1, 15);
            w.bits(code - 14, 4);
        }
        _ => {
            w.bits(1, 16);
            w.bits(code - 30, 12);
        }
    }
}
