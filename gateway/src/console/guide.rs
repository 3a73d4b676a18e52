//! A guide for an identity provider, drawn from the same text as the page in the docs.

use maud::{Markup, html};

use super::parts;
use crate::guides::{Block, Guide, Inline, Item, Target, Values};

/// The whole guide with its values. `base` is the address of the page, for links to other guides.
pub(super) fn draw(guide: &Guide, values: &Values, base: &str) -> Markup {
    html! {
        @let intro = guide.intro(values);
        (parts::card(&guide.title, &html! {}, &html! { div.pad.stack {
            p.small.muted { "Checked: " (guide.checked) }
            (blocks(&intro, &guide.title, base))
        } }))
        @for (part, found) in guide.parts(values) {
            @if !found.is_empty() { (parts::card(part.heading(), &html! {}, &html! { div.pad.stack { (blocks(&found, part.heading(), base)) } })) }
        }
    }
}

fn blocks(blocks: &[Block], caption: &str, base: &str) -> Markup {
    html! { @for block in blocks { @match block {
        Block::Heading { anchor, text } => h3 id={ "g-" (anchor) } { (text) },
        Block::Paragraph(text) => p { (inlines(text, base)) },
        Block::Steps(items) => div.prose { ol.steps { (points(items, base)) } },
        Block::Bullets(items) => div.prose { ul { (points(items, base)) } },
        Block::Table { head, rows } => { (table(head, rows, caption, base)) },
        Block::Code { text, complete, .. } => { @if *complete { (parts::code(text, "an example")) } @else { pre tabindex="0" role="region" aria-label="an example" { (text) } } },
    } } }
}

fn points(items: &[Item], base: &str) -> Markup {
    html! { @for item in items { li {
        (inlines(&item.text, base))
        @if !item.below.is_empty() { ul { @for one in &item.below { li { (inlines(one, base)) } } } }
    } } }
}

fn table(head: &[Vec<Inline>], rows: &[Vec<Vec<Inline>>], caption: &str, base: &str) -> Markup {
    html! { div.scroll role="region" aria-label=(caption) tabindex="0" { table {
        caption.hush { (caption) }
        thead { tr { @for cell in head { th scope="col" { (inlines(cell, base)) } } } }
        tbody { @for row in rows { tr {
            @for (n, cell) in row.iter().enumerate() { @if n == 0 { th scope="row" { (inlines(cell, base)) } } @else { td { (inlines(cell, base)) } } }
        } } }
    } } }
}

fn inlines(inlines: &[Inline], base: &str) -> Markup {
    html! { @for one in inlines { @match one {
        Inline::Text(text) => (text),
        Inline::Strong(text) => strong { (text) },
        Inline::Code(text) => code { (text) },
        Inline::Value { text, complete: true } => { code { (text) } " " (parts::copy(text, text)) },
        Inline::Value { text, complete: false } => code { (text) },
        Inline::Link { text, to } => @match to {
            Target::Web(address) => a href=(address) rel="noreferrer" { (text) },
            Target::Guide(id) => a href={ (base) "?idp=" (id) } { (text) },
            Target::Anchor(anchor) => a href={ "#g-" (anchor) } { (text) },
            Target::Page(page) => { (text) " (" code { "docs/" (page) } ")" },
        },
    } } }
}
