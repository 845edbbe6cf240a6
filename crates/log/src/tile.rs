//! Where the parts of a log are: the paths of C2SP tlog-tiles. <https://c2sp.org/tlog-tiles>

use crate::nodes::HEIGHT;

/// So many hashes, or events, are in a whole tile.
pub const WIDTH: usize = 1 << HEIGHT;

/// Which part of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub index: u64,
    pub width: usize,
}

impl Tile {
    /// As in the path, `N` or, of one that is not full yet, `N.p/W`, and written in that way only.
    pub fn parse(path: &str) -> Option<Self> {
        let (path, width) = match path.split_once(".p/") {
            Some((path, width)) => {
                let width = digits(width, 3).and_then(|w| usize::try_from(w).ok());
                (path, width.filter(|w| (1..WIDTH).contains(w))?)
            }
            None => (path, WIDTH),
        };
        let mut groups = path.split('/').rev();
        let three = |group: &str| group.parse::<u64>().ok().filter(|_| is_digits(group) && group.len() == 3);
        let mut index = three(groups.next()?)?;
        let (mut unit, mut first) = (1_u64, None);
        for group in groups {
            let group = three(group.strip_prefix('x')?)?;
            unit = unit.checked_mul(1_000)?;
            index = group.checked_mul(unit)?.checked_add(index)?;
            first = Some(group);
        }
        (first != Some(0)).then_some(Self { index, width })
    }

    /// The index of its first hash, if all of it is among so many of its level.
    pub fn first(self, size: u64) -> Option<u64> {
        let first = self.index.checked_mul(WIDTH as u64)?;
        (first.checked_add(self.width as u64)? <= size).then_some(first)
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// A number without zeros before it, of at most so many digits.
pub fn digits(text: &str, longest: usize) -> Option<u64> {
    let plain = is_digits(text) && text.len() <= longest && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_named_in_one_way() {
        let whole = |index| Some(Tile { index, width: WIDTH });
        assert_eq!(Tile::parse("000"), whole(0));
        assert_eq!(Tile::parse("067"), whole(67));
        assert_eq!(Tile::parse("x001/x234/067"), whole(1_234_067));
        assert_eq!(Tile::parse("x001/000"), whole(1_000));
        assert_eq!(Tile::parse("x001/234.p/255"), Some(Tile { index: 1_234, width: 255 }));
        for wrong in [
            "",
            "0",
            "67",
            "0067",
            "001/067",
            "x000/067",
            "x1/067",
            "x067",
            "+67",
            "067/",
            "/067",
            "067.p/0",
            "067.p/256",
            "067.p/01",
            "067.p/",
            "067.p",
            "067.p/1/2",
            "067.p/1.p/2",
            "x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::parse(wrong), None, "{wrong}");
        }
        assert_eq!(
            (digits("0", 2), digits("63", 2), digits("063", 3), digits("-1", 2)),
            (Some(0), Some(63), None, None)
        );
    }

    #[test]
    fn a_tile_is_there_when_all_of_it_is_signed() {
        let tile = Tile { index: 1, width: 3 };
        assert_eq!((tile.first(258), tile.first(259), tile.first(9_999)), (None, Some(256), Some(256)));
        assert_eq!(Tile { index: u64::MAX / 2, width: WIDTH }.first(u64::MAX), None);
    }
}
