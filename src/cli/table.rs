//! Tables for people: aligned columns, two spaces between, no lines drawn.

/// Which side a column's text stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Columns narrower than this are not cut any further.
const CUT_WIDTH_MIN: usize = 12;
/// Between two columns.
const GUTTER: &str = "  ";

/// A heading and rows of as many cells.
pub(super) struct Table {
    heads: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns.
    pub(super) fn new(heads: impl Into<Vec<(&'static str, Side)>>) -> Self {
        Self { heads: heads.into(), rows: Vec::new() }
    }

    /// Adds a row. Control characters, with which a camera's name could move the cursor, are left out.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let clean = |cell: String| cell.chars().filter(|c| !c.is_control()).collect();
        let mut row: Vec<String> = cells.into_iter().map(clean).collect();
        row.resize(self.heads.len(), String::new());
        self.rows.push(row);
    }

    /// True without rows.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text. Columns that are empty in all rows are left out; where `columns` of a terminal are not
    /// enough, the widest columns are cut.
    pub(super) fn render(&self, columns: Option<usize>) -> String {
        let used: Vec<usize> =
            (0..self.heads.len()).filter(|i| self.rows.iter().any(|row| !row[*i].is_empty())).collect();
        let widest = |i: &usize| {
            let cells = self.rows.iter().map(|row| width(&row[*i]));
            cells.chain([width(self.heads[*i].0)]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = used.iter().map(widest).collect();
        if let Some(columns) = columns {
            fit(&mut widths, columns);
        }
        let mut out = String::new();
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| (*head).to_owned()).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for (n, i) in used.iter().enumerate() {
                if n > 0 {
                    line += GUTTER;
                }
                put(&mut line, &row[*i], widths[n], self.heads[*i].1);
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }
}

/// Takes from the widest columns until all fit, or none can give any more.
fn fit(widths: &mut [usize], columns: usize) {
    let gutters = GUTTER.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gutters > columns {
        match widths.iter_mut().filter(|w| **w > CUT_WIDTH_MIN).max() {
            Some(widest) => *widest -= 1,
            None => return,
        }
    }
}

fn put(line: &mut String, cell: &str, room: usize, side: Side) {
    let cell = cut(cell, room);
    let pad = " ".repeat(room.saturating_sub(width(&cell)));
    match side {
        Side::Left => *line += &(cell + &pad),
        Side::Right => *line += &(pad + &cell),
    }
}

fn cut(cell: &str, room: usize) -> String {
    if width(cell) <= room {
        return cell.to_owned();
    }
    let mut out = String::new();
    let mut taken = 1;
    for c in cell.chars() {
        taken += char_width(c);
        if taken > room {
            break;
        }
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// Columns that a text takes on a terminal.
fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Two for the wide characters of East Asia and for pictures; channel names are often Chinese.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut t =
            Table::new([("NAME", Side::Left), ("SIZE", Side::Right), ("NOTE", Side::Left), ("ERROR", Side::Left)]);
        t.row(["仓库门口", "7", "", ""].map(String::from));
        t.row(["door", "1024", "\x1b[31ma longer note than others", ""].map(String::from));
        t
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        assert_eq!(
            table().render(None),
            "NAME      SIZE  NOTE\n仓库门口     7\ndoor      1024  [31ma longer note than others\n"
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_column_only() {
        assert_eq!(table().render(Some(30)), "NAME      SIZE  NOTE\n仓库门口     7\ndoor      1024  [31ma longer…\n");
        let narrow = table().render(Some(3));
        assert!(narrow.lines().all(|l| width(l) <= 8 + 4 + CUT_WIDTH_MIN + 4), "{narrow}");
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(cells in proptest::collection::vec("\\PC{0,60}", 3), columns in 44usize..120) {
            let mut t = Table::new([("A", Side::Left), ("B", Side::Right), ("C", Side::Left)]);
            t.row(cells);
            for line in t.render(Some(columns)).lines() {
                proptest::prop_assert!(width(line) <= columns, "{}", line);
            }
        }
    }
}
