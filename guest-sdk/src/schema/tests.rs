//! What plain types say of themselves is what schemars says of them.

use std::collections::{BTreeMap, HashMap};

use crate::__private::{PickPlain as _, PickSchemars as _, Probe};
use crate::EventId;
use crate::prelude::*;

/// A tree
/// of "words".
#[data]
struct Tree {
    word: String,
    /// A field of its own type, which is a "list".
    children: Vec<Self>,
    parent: Option<Box<Self>>,
    leaf: Option<Leaf>,
    /// Described here and there.
    kind: Kind,
    other: Vec<other::Leaf>,
    /// Whatever.
    any: Value,
    nothing: Option<Value>,
}

/// No fields at all.
#[data]
struct Leaf {}

#[data]
enum Kind {
    Oak,
    Beech,
}

mod other {
    use crate::prelude::*;

    #[data]
    pub(super) struct Leaf {
        pub(super) size: u8,
        pub(super) tree: Option<super::Tree>,
    }
}

#[data]
struct Simple {
    flag: bool,
    a: i8,
    b: Option<i32>,
    c: BTreeMap<String, u16>,
    r#type: HashMap<String, Vec<Option<f64>>>,
}

#[data]
struct Numbers {
    a: i8,
    b: i16,
    c: i32,
    d: i64,
    e: isize,
    f: u8,
    g: u16,
    h: u32,
    i: u64,
    j: usize,
    k: f32,
    l: f64,
    m: char,
    n: (),
    o: Option<Timestamp>,
    p: RunId,
    q: ScheduledId,
    r: Option<EventId>,
}

/// What only schemars can describe, in a plain type.
#[data]
struct Mixed {
    shape: Shape,
    /// In a field that is described.
    other: Option<Shape>,
    pair: (u8, Leaf),
}

#[data]
#[serde(tag = "kind", rename_all = "camelCase")]
enum Shape {
    Point,
    Group { shapes: Vec<Self> },
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

macro_rules! schemas {
    ($type:ty) => {{
        let ours = parse(&(&Probe::<$type>::new()).pick().document::<$type>());
        (ours, Value::from(schemars::schema_for!($type)))
    }};
}

#[test]
fn plain_types_say_of_themselves_what_schemars_says() {
    for (ours, theirs) in [
        schemas!(Tree),
        schemas!(Leaf),
        schemas!(Kind),
        schemas!(other::Leaf),
        schemas!(Simple),
        schemas!(Numbers),
    ] {
        assert_eq!(ours, theirs, "\n{ours:#}\n{theirs:#}");
    }
}

#[test]
fn types_without_a_name_of_their_own_have_no_title() {
    for (ours, mut theirs) in [schemas!(()), schemas!(Vec<Tree>), schemas!(Option<Leaf>), schemas!(Value)] {
        theirs.as_object_mut().unwrap().remove("title");
        assert_eq!(ours, theirs);
    }
}

#[test]
fn what_is_not_plain_is_left_to_schemars() {
    let (ours, theirs) = schemas!(Shape);
    assert_eq!(ours, theirs);

    let (ours, _) = schemas!(Mixed);
    assert_eq!(ours["required"], json!(["shape", "pair"]));
    let (shape, other) = (&ours["properties"]["shape"], &ours["properties"]["other"]);
    assert_eq!(shape["title"], "Shape");
    assert_eq!(other["description"], "In a field that is described.");
    assert_eq!(other["allOf"][0]["title"], "Nullable_Shape");
    assert_ne!(shape["$id"], other["allOf"][0]["$id"]);
}
