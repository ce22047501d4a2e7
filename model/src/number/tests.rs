//! Tests of numbers: grammar, range, exactness, order of the stored bytes.

use super::*;
use proptest::prelude::*;

fn text(input: &str) -> String {
    Number::parse(input).unwrap().to_string()
}

#[test]
fn integers_have_the_form_of_their_text() {
    for value in [0, 1, 10, 1200, 7_000_001, u32::MAX] {
        assert_eq!(Ok(Number::from(value)), Number::parse(&value.to_string()));
    }
}

#[test]
fn one_number_has_one_form_however_it_is_written() {
    for (input, expected) in [
        ("1", "1"),
        ("1.0", "1"),
        ("01", "1"),
        ("10e-1", "1"),
        ("+5", "5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1.e5", "100000"),
        ("-0", "0"),
        ("0e500", "0"),
        ("00012", "12"),
        ("1.50", "1.5"),
        ("-0.0010", "-0.001"),
        ("1e2", "100"),
        ("123456789.987654321", "123456789.987654321"),
        ("100.001", "100.001"),
        ("10.01", "10.01"),
    ] {
        assert_eq!(text(input), expected, "{input}");
    }
    assert_eq!(text("1e100"), format!("1{}", "0".repeat(100)));
    assert_eq!(text("1e-130"), format!("0.{}1", "0".repeat(129)));
    assert_eq!(
        text("9.9999999999999999999999999999999999999E+125"),
        format!("{}{}", "9".repeat(38), "0".repeat(88))
    );
}

#[test]
fn texts_outside_the_grammar_are_refused() {
    for input in [
        "", " 1", "1 ", "1+2", "+e2", "1.2.3", ".", "e5", "1e", "1e+", "--1", "abc", "0x10", "NaN", "1_000",
    ] {
        assert_eq!(
            Number::parse(input),
            Err(NumberError::Syntax {
                text: input.to_owned()
            }),
            "{input}"
        );
    }
}

#[test]
fn range_and_precision_are_limited() {
    assert_eq!(Number::parse("1e126"), Err(NumberError::Overflow));
    assert_eq!(Number::parse("-1e99999999999"), Err(NumberError::Overflow));
    assert_eq!(Number::parse("1e-131"), Err(NumberError::Underflow));
    assert_eq!(Number::parse(&"1".repeat(39)), Err(NumberError::TooManyDigits));
    assert!(Number::parse(&"1".repeat(38)).is_ok());
    assert!(Number::parse(&format!("{}{}", "1".repeat(38), "0".repeat(50))).is_ok());
    assert!(Number::parse(&format!("0.{}{}", "0".repeat(90), "1".repeat(38))).is_ok());
}

#[test]
fn arithmetic_is_exact_or_refused() {
    let sum = |a: &str, b: &str| Number::parse(a).unwrap().checked_add(Number::parse(b).unwrap());
    assert_eq!(sum("0.1", "0.2").unwrap().to_string(), "0.3");
    assert_eq!(sum("5", "-5").unwrap(), Number::ZERO);
    assert_eq!(sum("1e38", "-1").unwrap().to_string(), "9".repeat(38));
    assert_eq!(sum("1e38", "1"), Err(NumberError::TooManyDigits));
    assert_eq!(sum("1e125", "1e-130"), Err(NumberError::TooManyDigits));
    let most = format!("{}e88", "9".repeat(38));
    assert_eq!(sum(&most, "1e88"), Err(NumberError::Overflow));
    let one = Number::parse("1").unwrap();
    assert_eq!(Number::ZERO.checked_sub(one).unwrap().to_string(), "-1");
}

#[test]
fn digits_are_counted_on_both_sides_of_the_point() {
    let digits = |input: &str| {
        Number::parse(input)
            .unwrap()
            .encode()
            .as_ref()
            .significant_digits()
    };
    for (input, expected) in [
        ("0", (0, 0)),
        ("1", (1, 0)),
        ("12", (2, 0)),
        ("100", (1, 0)),
        ("1200", (2, 0)),
        ("120", (2, 0)),
        ("1.5", (1, 1)),
        ("0.05", (0, 1)),
        ("0.001", (0, 1)),
        ("123.456", (3, 3)),
        ("10.01", (2, 2)),
    ] {
        assert_eq!(digits(input), expected, "{input}");
    }
}

#[test]
fn bytes_that_are_no_number_are_refused() {
    for bytes in [
        &[][..],
        &[0],
        &[3, 64, 0],
        &[3, 64, 1, 0],
        &[3, 64, 2, 1, 0],
        &[3, 200, 2, 0],
        &[3, 64, 102, 0],
        &[3, 64, 2, 0, 0],
        &[1, 191, 253, 0xFF, 0xFF],
        &[9],
    ] {
        assert!(NumberRef::new(bytes).is_none(), "{bytes:?}");
    }
}

fn any_number() -> impl Strategy<Value = Number> {
    (any::<bool>(), 0_u128..10_u128.pow(38), 0_u32..38, -130_i32..=88).prop_filter_map(
        "in range",
        |(negative, coefficient, cut, exponent)| {
            Number::normalized(negative, coefficient / 10_u128.pow(cut), exponent).ok()
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_a_number_in_its_one_form_or_refused(
        class in 0_u8..5,
        exponent in any::<u8>(),
        pairs in proptest::collection::vec(prop_oneof![0_u8..4, 98_u8..104, 152_u8..158, any::<u8>()], 0..4),
        end in prop_oneof![Just(0_u8), Just(0xFF), any::<u8>()],
    ) {
        let bytes = [&[class, exponent][..], &pairs, &[end]].concat();
        if let Some(number) = NumberRef::new(&bytes) {
            let encoded = number.decode().encode();
            prop_assert_eq!(encoded.as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn text_and_bytes_give_the_number_back(number in any_number()) {
        let encoded = number.encode();
        prop_assert_eq!(NumberRef::new(encoded.as_bytes()).unwrap().decode(), number);
        prop_assert_eq!(Number::parse(&number.to_string()).unwrap(), number);
    }

    #[test]
    fn bytes_sort_like_numbers(a in any_number(), b in any_number()) {
        let by_bytes = a.encode().as_bytes().cmp(b.encode().as_bytes());
        // An oracle that knows nothing of the encoding: compare sign, then magnitude, then aligned digits.
        let key = |n: &Number| {
            let digits = if n.coefficient == 0 { String::new() } else { n.coefficient.to_string() };
            let magnitude = n.exponent + i32::try_from(digits.len()).unwrap();
            (magnitude, format!("{digits:0<39}"))
        };
        let by_value = match (a.coefficient == 0, b.coefficient == 0) {
            (true, true) => Ordering::Equal,
            (true, false) => if b.negative { Ordering::Greater } else { Ordering::Less },
            (false, true) => if a.negative { Ordering::Less } else { Ordering::Greater },
            _ => match (a.negative, b.negative) {
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => key(&a).cmp(&key(&b)),
                (true, true) => key(&b).cmp(&key(&a)),
            },
        };
        prop_assert_eq!(by_bytes, by_value);
    }

    #[test]
    fn addition_agrees_with_integers(a in -1_000_000_000_i64..1_000_000_000, b in -1_000_000_000_i64..1_000_000_000) {
        let n = |v: i64| Number::parse(&v.to_string()).unwrap();
        prop_assert_eq!(n(a).checked_add(n(b)).unwrap(), n(a + b));
        prop_assert_eq!(n(a).checked_sub(n(b)).unwrap(), n(a - b));
    }
}
