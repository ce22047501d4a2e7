//! Forms: `application/x-www-form-urlencoded`, as the body of a POST or the query string of a GET.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Most parameters of a call: more than any has a use for. Forms are read before it is known who has sent them, and each parameter
/// takes many times the memory of its bytes.
const PARAMETERS_MAX: usize = 10_000;

/// The parameters of a call. Of those that are given twice, the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a form; `None` when it is not UTF-8, or has too many parameters.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut parameters = BTreeMap::new();
        let pairs = text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        for (count, pair) in pairs.enumerate() {
            if count >= PARAMETERS_MAX {
                return None;
            }
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            let (name, value) = (decoded(name)?, decoded(value)?);
            parameters.entry(name).or_insert(value);
        }
        Some(Self(parameters))
    }

    /// All parameters, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The values of `name.member.1`, `name.member.2` and so on, in order.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.members(name)
            .into_iter()
            .filter_map(|prefix| self.get(&prefix).map(str::to_owned))
            .collect()
    }

    /// The prefixes `name.member.1` and so on of a list, in order, as far as any parameter begins with them.
    pub(crate) fn members(&self, name: &str) -> Vec<String> {
        let mut numbers: Vec<u32> = self
            .0
            .range(format!("{name}.member.")..)
            .map_while(|(key, _)| key.strip_prefix(name)?.strip_prefix(".member."))
            .filter_map(|rest| rest.split('.').next()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
            .into_iter()
            .map(|number| format!("{name}.member.{number}"))
            .collect()
    }

    /// A list of structures with a key and a value, such as tags.
    pub(crate) fn pairs(&self, name: &str, key: &str, value: &str) -> Vec<(String, String)> {
        let member = |prefix: &str, member: &str| {
            self.get(&format!("{prefix}.{member}"))
                .unwrap_or_default()
                .to_owned()
        };
        self.members(name)
            .iter()
            .map(|prefix| (member(prefix, key), member(prefix, value)))
            .collect()
    }
}

fn decoded(text: &[u8]) -> Option<String> {
    let spaced: Cow<'_, [u8]> = if text.contains(&b'+') {
        text.iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect()
    } else {
        text.into()
    };
    let mut bytes = Vec::with_capacity(spaced.len());
    let mut rest = &spaced[..];
    while let Some((first, tail)) = rest.split_first() {
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        let escaped = match first {
            b'%' => digit(0).zip(digit(1)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            bytes.push(u8::try_from(high << 4 | low).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_lists_come_in_order() {
        let form = Form::parse(
            b"Action=CreateUser&UserName=a%2Bb+c&Empty=&Tags.member.2.Key=k2&Tags.member.1.Key=k1&Tags.member.1.Value=v%C3%A4\
              &Tags.member.10.Key=k10&Names.member.1=x&Action=Other&Stray%&Tags.memberx=1",
        )
        .unwrap();
        assert_eq!(form.get("Action"), Some("CreateUser"));
        assert_eq!(form.get("UserName"), Some("a+b c"));
        assert_eq!(form.get("Empty"), Some(""));
        assert_eq!(form.get("Stray%"), Some(""));
        assert_eq!(form.list("Names"), ["x"]);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            form.pairs("Tags", "Key", "Value"),
            [pair("k1", "v\u{e4}"), pair("k2", ""), pair("k10", "")]
        );
        assert_eq!(Form::parse(b"a=%FF"), None);
    }

    #[test]
    fn a_form_of_too_many_parameters_is_none() {
        let form = |count: usize| {
            let pairs: Vec<String> = (0..count).map(|number| format!("{number}=")).collect();
            Form::parse(pairs.join("&").as_bytes())
        };
        assert_eq!(form(PARAMETERS_MAX).unwrap().iter().count(), PARAMETERS_MAX);
        assert_eq!(form(PARAMETERS_MAX + 1), None);
        // Those that are given twice take time as well.
        assert_eq!(Form::parse(&b"a&".repeat(PARAMETERS_MAX + 1)), None);
    }
}
