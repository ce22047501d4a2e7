//! The examples of `docs/format/item.md` are what is stored.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first thing that is not as it should be"
)]

#[path = "expression/tree.rs"]
mod tree;

use tree::{Tree, item};

#[test]
fn examples_of_the_format_are_what_is_stored() {
    let document = include_str!("../../docs/format/item.md");
    let (_, examples) = document.split_once("## Examples").unwrap();
    let mut count = 0;
    for line in examples.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('`').collect();
        let (text, bytes) = (cells[1], cells[3].replace(' ', ""));
        let Tree::Map(attributes) = Tree::parse(text) else {
            panic!("{text}");
        };
        let stored = item(&attributes);
        let written = Tree::Binary(stored.stored().to_vec()).to_string();
        assert_eq!(written, format!("b'{bytes}'"), "{text}");
        assert_eq!(Tree::read_item(stored.as_ref()), attributes, "{text}");
        count += 1;
    }
    assert_eq!(count, 15);
}
