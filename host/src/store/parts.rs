//! How long values are split into rows. The database gives a value that does not fit on a page a
//! power of two of pages for itself: 86 KB would take 128 KB. Parts smaller than a page were tried
//! for shorter values, too; pages were no fuller with them.

/// Of the database's pages.
const PAGE_BYTES: usize = 4096;

/// What a leaf with one part holds besides it: its header, the offsets and the key.
const OVERHEAD_BYTES: usize = 4 + 8 + 18;

/// Splits bytes into parts with their numbers: as many whole runs of pages as there are, the
/// largest first, and then the rest, which shares a page. Nothing is one empty part.
pub(super) fn split(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    // A run of pages takes half of what is left or more, so the numbers do not run out.
    (0..=u8::MAX).map_while(move |number| {
        if bytes.is_empty() && number > 0 {
            return None;
        }
        let (part, rest) = bytes.split_at(part_length(bytes.len()));
        bytes = rest;
        Some((number, part))
    })
}

fn part_length(left: usize) -> usize {
    match (left + OVERHEAD_BYTES) / PAGE_BYTES {
        0 => left,
        pages => (PAGE_BYTES << pages.ilog2()) - OVERHEAD_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(of: usize) -> Vec<usize> {
        split(&vec![7; of]).map(|(_, part)| part.len()).collect()
    }

    #[test]
    fn parts_fill_pages() {
        assert_eq!(lengths(0), [0]);
        assert_eq!(lengths(2100), [2100]);
        assert_eq!(lengths(4066), [4066]);
        assert_eq!(lengths(4067), [4066, 1]);
        assert_eq!(lengths(86_000), [65_506, 16_354, 4_066, 74]);
    }

    #[test]
    fn parts_make_the_whole_again() {
        for length in [1, 4065, 4067, 8162, 8163, 100_000, 3 << 20, (64 << 20) - 1] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            assert_eq!(split(&bytes).map(|(_, part)| part).collect::<Vec<_>>().concat(), bytes, "{length}");
        }
    }
}
