//! The service model's prose: its first paragraph, from HTML into Markdown. Pure.

/// The first paragraph of a piece of documentation; empty when there is none.
pub(super) fn first_paragraph(html: &str) -> String {
    let end = html.find("</p>").unwrap_or(html.len());
    markdown(html.get(..end).unwrap_or_default())
}

/// The first sentence of a paragraph, without its full stop.
pub(super) fn first_sentence(paragraph: &str) -> String {
    let end = paragraph.find(". ").unwrap_or(paragraph.len());
    let sentence = paragraph.get(..end).unwrap_or_default();
    sentence.trim_end_matches(['.', ':']).to_owned()
}

/// Text with the tags that are used within paragraphs.
fn markdown(html: &str) -> String {
    let mut text = String::new();
    let mut link = None;
    let mut rest = html;
    while let Some((before, from_tag)) = rest.split_once('<') {
        text.push_str(before);
        let Some((tag, after)) = from_tag.split_once('>') else {
            rest = from_tag;
            break;
        };
        rest = after;
        match tag.split_whitespace().next().unwrap_or_default() {
            "code" | "/code" => text.push('`'),
            "i" | "/i" => text.push('*'),
            "b" | "/b" => text.push_str("**"),
            "a" => {
                link = tag.split('"').nth(1).map(str::to_owned);
                text.push('[');
            }
            "/a" => text.extend(["](", &link.take().unwrap_or_default(), ")"]),
            _ => {}
        }
    }
    text.push_str(rest);
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")];
    for (entity, character) in entities {
        text = text.replace(entity, character);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{first_paragraph, first_sentence};

    #[test]
    fn the_first_paragraph_becomes_markdown() {
        let html = "<p>Puts   an <i>item</i> with <code>PutItem</code>, see <a href=\"https://example.com/a\">there</a> \
                    &amp; &lt;here&gt;.</p> <p>More.</p>";
        assert_eq!(
            first_paragraph(html),
            "Puts an *item* with `PutItem`, see [there](https://example.com/a) & <here>."
        );
        assert_eq!(first_paragraph(""), "");
        assert_eq!(first_paragraph("no paragraph"), "no paragraph");
    }

    #[test]
    fn a_summary_is_one_sentence() {
        assert_eq!(first_sentence("One thing. Another."), "One thing");
        assert_eq!(first_sentence("Only one."), "Only one");
    }
}
