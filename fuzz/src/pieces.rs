//! Cutting a stream of bytes into pieces as a network might, decided by the input alone.

/// Pieces of `bytes` whose lengths follow from `seed`: often one byte, seldom many.
pub fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let longest = [1, 2, 7, 64, 512][(state >> 60) as usize % 5];
        let length = 1 + (state >> 33) as usize % longest;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        Some(piece)
    })
}
