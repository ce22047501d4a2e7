//! A pull reader over the JSON of one request: typed values in one pass, with AWS's rules for types.
//!
//! A member that is `null` counts as absent and an unknown member is skipped, as in AWS's services. What is not JSON, or
//! JSON of the wrong type, is a [`DecodeError`]; the sentences are AWS's. Attribute values are read by
//! [`super::attribute`], which notes invalid ones here and goes on, because wrong JSON further on is reported first.

use jiter::{Jiter, JiterError, Peek};

use super::attribute::Problem;

/// Why a body is not a request. Both become `SerializationException`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Not JSON (or JSON nested absurdly deep).
    #[error("the body is not JSON")]
    NotJson,
    /// A scalar of another type, such as a number where text is wanted.
    #[error("{found} cannot be converted to {wanted}")]
    Scalar {
        /// AWS's name for what was found.
        found: &'static str,
        /// The type that was wanted.
        wanted: &'static str,
    },
    /// A list where something else is wanted.
    #[error("Unrecognized collection type class {wanted}")]
    List {
        /// The type that was wanted.
        wanted: &'static str,
    },
    /// An object where something else is wanted.
    #[error("Start of structure or map found where not expected.")]
    Object,
    /// A scalar where a list or an object is wanted.
    #[error("Unexpected field type")]
    NotACollection,
    /// A whole number was wanted and this one is not, or does not fit.
    #[error("{text} cannot be converted to {wanted}")]
    Range {
        /// What was found.
        text: String,
        /// The type that was wanted.
        wanted: &'static str,
    },
    /// Text that should be base64 and is not.
    #[error("{detail}")]
    Base64 {
        /// What is wrong with it.
        detail: String,
    },
}

impl From<JiterError> for DecodeError {
    fn from(_: JiterError) -> Self {
        // Types are looked at before they are read, so what is left is broken JSON.
        Self::NotJson
    }
}

pub(crate) type Decoded<T> = Result<T, DecodeError>;

/// Reads one request body.
#[derive(Debug)]
pub(crate) struct Reader<'j> {
    pub(super) json: Jiter<'j>,
    /// Lists and maps around the attribute value being read.
    pub(super) depth: usize,
    /// The first invalid attribute value since [`Reader::take_problem`].
    problem: Option<Problem>,
}

impl<'j> Reader<'j> {
    pub(crate) fn new(body: &'j [u8]) -> Self {
        Self {
            json: Jiter::new(body),
            depth: 0,
            problem: None,
        }
    }

    /// Ends reading: only white space may be left.
    pub(crate) fn finish(mut self) -> Decoded<()> {
        Ok(self.json.finish()?)
    }

    pub(super) fn note(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }

    pub(super) fn take_problem(&mut self) -> Option<Problem> {
        self.problem.take()
    }

    /// Whether an object comes next.
    pub(super) fn is_object(&mut self) -> Decoded<bool> {
        Ok(self.json.peek()? == Peek::Object)
    }

    /// Skips a value.
    pub(crate) fn skip(&mut self) -> Decoded<()> {
        Ok(self.json.next_skip()?)
    }

    /// Takes a `null`, if one comes next.
    pub(super) fn is_null(&mut self) -> Decoded<bool> {
        Ok(self.present()?.is_none())
    }

    /// Looks at the next value: `None`, consuming it, for `null`.
    fn present(&mut self) -> Decoded<Option<Peek>> {
        let peek = self.json.peek()?;
        if peek == Peek::Null {
            self.json.known_null()?;
            return Ok(None);
        }
        Ok(Some(peek))
    }

    /// Text.
    pub(crate) fn text(&mut self) -> Decoded<Option<String>> {
        self.text_with(str::to_owned)
    }

    /// Text, looked at before it goes.
    pub(super) fn text_with<T>(&mut self, take: impl FnOnce(&str) -> T) -> Decoded<Option<T>> {
        match self.present()? {
            None => Ok(None),
            Some(Peek::String) => Ok(Some(take(self.json.known_str()?))),
            Some(peek) => Err(self.unexpected(peek, "String")),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Decoded<Option<bool>> {
        match self.present()? {
            None => Ok(None),
            Some(peek @ (Peek::True | Peek::False)) => Ok(Some(self.json.known_bool(peek)?)),
            Some(peek) => Err(self.unexpected(peek, "Boolean")),
        }
    }

    /// A whole number of 32 bits.
    pub(crate) fn integer(&mut self) -> Decoded<Option<i32>> {
        self.whole("Integer")
    }

    /// A whole number of 64 bits.
    pub(crate) fn long(&mut self) -> Decoded<Option<i64>> {
        self.whole("Long")
    }

    /// A time in seconds since 1970, with a fraction or without, in milliseconds.
    pub(crate) fn timestamp(&mut self) -> Decoded<Option<i64>> {
        match self.present()? {
            None => Ok(None),
            Some(peek) if peek.is_num() => {
                let text = std::str::from_utf8(self.json.known_number_bytes(peek)?).unwrap_or_default();
                let seconds: Option<f64> = text.parse().ok();
                // Three digits behind the point, and the point away.
                let milliseconds = seconds.map(|seconds| format!("{seconds:.3}").replace('.', ""));
                match milliseconds.and_then(|digits| digits.parse().ok()) {
                    Some(milliseconds) => Ok(Some(milliseconds)),
                    None => Err(DecodeError::Range {
                        text: text.to_owned(),
                        wanted: "Timestamp",
                    }),
                }
            }
            Some(peek) => Err(self.unexpected(peek, "Timestamp")),
        }
    }

    fn whole<T: std::str::FromStr>(&mut self, wanted: &'static str) -> Decoded<Option<T>> {
        match self.present()? {
            None => Ok(None),
            Some(peek) if peek.is_num() => {
                let text = std::str::from_utf8(self.json.known_number_bytes(peek)?).unwrap_or_default();
                match text.parse() {
                    Ok(number) => Ok(Some(number)),
                    Err(_) => Err(DecodeError::Range {
                        text: text.to_owned(),
                        wanted,
                    }),
                }
            }
            Some(peek) => Err(self.unexpected(peek, wanted)),
        }
    }

    /// A list; `each` reads one element. Returns whether there was a list.
    pub(crate) fn list(&mut self, mut each: impl FnMut(&mut Self) -> Decoded<()>) -> Decoded<bool> {
        match self.present()? {
            None => return Ok(false),
            Some(Peek::Array) => {}
            Some(Peek::Object) => return Err(DecodeError::Object),
            Some(_) => return Err(DecodeError::NotACollection),
        }
        let mut next = self.json.known_array()?;
        while next.is_some() {
            each(self)?;
            next = self.json.array_step()?;
        }
        Ok(true)
    }

    /// A list of values, each read by `read`; those that are `null` are left out.
    pub(crate) fn list_of<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Decoded<Option<T>>,
    ) -> Decoded<Option<Vec<T>>> {
        let mut values = Vec::new();
        let found = self.list(|reader| {
            values.extend(read(reader)?);
            Ok(())
        })?;
        Ok(found.then_some(values))
    }

    /// An object; `each` is given a member's name and has to read or skip its value. Returns whether there was one.
    pub(crate) fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Decoded<()>) -> Decoded<bool> {
        match self.present()? {
            None => return Ok(false),
            Some(Peek::Object) => {}
            Some(Peek::Array) => {
                return Err(DecodeError::List {
                    wanted: "java.util.Map",
                });
            }
            Some(_) => return Err(DecodeError::NotACollection),
        }
        // The reader reuses the memory of a name as soon as it moves on.
        let mut name = String::new();
        let mut next = self.json.known_object()?;
        while let Some(found) = next {
            name.clear();
            name.push_str(found);
            each(self, &name)?;
            next = self.json.next_key()?;
        }
        Ok(true)
    }

    /// What to say of a value that is not of the wanted type.
    pub(super) fn unexpected(&mut self, peek: Peek, wanted: &'static str) -> DecodeError {
        let found = match peek {
            Peek::Array => {
                return DecodeError::List {
                    wanted: java_class(wanted),
                };
            }
            Peek::Object => return DecodeError::Object,
            Peek::String => "STRING_VALUE",
            Peek::True => "TRUE_VALUE",
            Peek::False => "FALSE_VALUE",
            peek if peek.is_num() => {
                // A number cut short is broken JSON before it is a wrong type.
                match self.json.known_number_bytes(peek) {
                    Err(_) => return DecodeError::NotJson,
                    Ok(text) if text.iter().any(|byte| b".eE".contains(byte)) => "DECIMAL_VALUE",
                    Ok(_) => "NUMBER_VALUE",
                }
            }
            _ => return DecodeError::NotJson,
        };
        DecodeError::Scalar { found, wanted }
    }
}

fn java_class(wanted: &'static str) -> &'static str {
    match wanted {
        "Boolean" => "java.lang.Boolean",
        "Integer" => "java.lang.Integer",
        "Long" => "java.lang.Long",
        "ByteBuffer" => "java.nio.ByteBuffer",
        _ => "java.lang.String",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Reader<'_> {
        Reader::new(body.as_bytes())
    }

    #[test]
    fn null_is_absent_and_wrong_types_are_named_as_aws_names_them() {
        assert_eq!(of("null").text(), Ok(None));
        assert_eq!(of("\"a\\n\"").text(), Ok(Some("a\n".into())));
        for (body, expected) in [
            ("1", "NUMBER_VALUE cannot be converted to String"),
            ("1.5", "DECIMAL_VALUE cannot be converted to String"),
            ("true", "TRUE_VALUE cannot be converted to String"),
            ("[]", "Unrecognized collection type class java.lang.String"),
            ("{}", "Start of structure or map found where not expected."),
        ] {
            assert_eq!(of(body).text().unwrap_err().to_string(), expected, "{body}");
        }
        assert_eq!(
            of("\"1\"").integer().unwrap_err().to_string(),
            "STRING_VALUE cannot be converted to Integer"
        );
        assert_eq!(of("2147483648").long(), Ok(Some(2_147_483_648)));
        assert!(matches!(
            of("2147483648").integer(),
            Err(DecodeError::Range { .. })
        ));
    }

    #[test]
    fn a_time_is_in_seconds() {
        for (body, milliseconds) in [
            ("1764210000", 1_764_210_000_000),
            ("1764210000.25", 1_764_210_000_250),
            ("1.5e0", 1500),
            ("-1", -1000),
        ] {
            assert_eq!(of(body).timestamp(), Ok(Some(milliseconds)), "{body}");
        }
        assert_eq!(of("null").timestamp(), Ok(None));
        assert!(matches!(of("\"1\"").timestamp(), Err(DecodeError::Scalar { .. })));
        assert!(matches!(of("1e300").timestamp(), Err(DecodeError::Range { .. })));
    }

    #[test]
    fn what_is_not_json_is_not_read() {
        for body in [
            "",
            "{",
            "{} x",
            "{}{}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":1,}",
            "{\"a\":nul}",
            "\"\\ud800\"",
            "{\"a\" 1}",
        ] {
            let mut reader = of(body);
            let result = reader
                .object(|reader, _| reader.skip())
                .and_then(|_| reader.finish());
            assert!(
                matches!(result, Err(DecodeError::NotJson | DecodeError::NotACollection)),
                "{body} gave {result:?}"
            );
        }
    }

    #[test]
    fn members_are_read_by_name() {
        let mut names = Vec::new();
        let found = of("{\"A\":1,\"B\":{\"C\":[1,2]},\"A\":null}").object(|reader, name| {
            names.push(name.to_owned());
            reader.skip()
        });
        assert_eq!(found, Ok(true));
        assert_eq!(names, ["A", "B", "A"]);
    }
}
