//! Forms: what is sent, and how they are drawn.
//!
//! The guard has checked every form before a handler sees it: that it comes from our own page, from this session, and from
//! somebody who may change things. [`Form`] draws nothing for who may not, so no page of a Viewer holds one.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use http::request::Parts;
use maud::{Markup, html};
use secrecy::SecretString;

use super::icons::{Icon, icon};
use super::trouble::Trouble;
use super::visit::Visit;
use crate::service::members::Role;
use crate::service::records::AdminError;

/// The name of the field that carries the session's form token.
pub(super) const CSRF: &str = "csrf";
/// Most fields of a form.
const MOST: usize = 20_000;

/// A form that was sent: its fields in their order.
#[derive(Clone, Default)]
pub(super) struct Sent(Vec<(String, String)>);

impl Sent {
    /// Reads a form (`application/x-www-form-urlencoded`). No database stores a NUL in a text, so none is kept.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let clean = |text: std::borrow::Cow<'_, str>| text.replace('\0', "");
        Self(url::form_urlencoded::parse(bytes).take(MOST).map(|(name, value)| (clean(name), clean(value))).collect())
    }

    /// A field as it was sent; empty if it was not.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// A field without blanks around it; empty if it was not sent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// A field, if something stands in it.
    pub(super) fn some(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// A secret, if one was entered.
    pub(super) fn secret(&self, name: &str) -> Option<SecretString> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(SecretString::from)
    }

    /// Whether a box was ticked.
    pub(super) fn ticked(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Every value of a name that may be sent several times.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The fields whose names begin so, without that beginning: `settings.org` as `org`.
    pub(super) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Sent {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Trouble> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Trouble::form("The form did not arrive. Send it again."))
    }
}

/// What is wrong with a form, by field. The empty name is for what is no field's.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors(BTreeMap<String, String>);

impl Errors {
    /// One more.
    pub(super) fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.entry(field.to_owned()).or_insert_with(|| message.into());
    }

    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a service says of what it was given; anything that is not the person's to mend is trouble of the page.
    ///
    /// # Errors
    /// The store's; no such thing.
    pub(super) fn from(error: AdminError) -> Result<Self, Trouble> {
        let mut errors = Self::default();
        match error {
            AdminError::Invalid { field, message } => errors.add(&field, message),
            AdminError::Conflict(why) => errors.add("", why),
            AdminError::Manifest(problems) => {
                let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
                errors.add("", all.join(" "));
            }
            other => return Err(other.into()),
        }
        Ok(errors)
    }

    /// The same, with other names for the fields: what a service calls `org` is `settings.org` in a form.
    pub(super) fn renamed(self, name: impl Fn(&str) -> String) -> Self {
        Self(self.0.into_iter().map(|(field, message)| (name(&field), message)).collect())
    }

    /// What is wrong, the first of it; empty if nothing is.
    pub(super) fn first(&self) -> &str {
        self.0.values().next().map_or("", String::as_str)
    }

    /// Every field with what is wrong with it.
    pub(super) fn into_inner(self) -> BTreeMap<String, String> {
        self.0
    }

    fn of(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }
}

/// One of several to choose from.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    value: String,
    label: String,
    hint: String,
}

impl Choice {
    /// A choice.
    pub(super) fn new(value: &str, label: &str, hint: &str) -> Self {
        Self { value: value.to_owned(), label: label.to_owned(), hint: hint.to_owned() }
    }
}

#[derive(Clone, Debug)]
enum Kind {
    Text,
    Secret,
    Number(i64, i64),
    Select(Vec<Choice>),
    Radio(Vec<Choice>),
    Checks(Vec<Choice>),
    Check,
    Area(u8),
}

/// A field of a form.
#[derive(Clone, Debug)]
pub(super) struct Field {
    name: String,
    label: String,
    kind: Kind,
    hint: String,
    value: String,
    optional: bool,
    code: bool,
    complete: &'static str,
}

impl Field {
    fn new(name: &str, label: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            label: label.to_owned(),
            kind,
            hint: String::new(),
            value: String::new(),
            optional: false,
            code: false,
            complete: "off",
        }
    }

    /// A line of text.
    pub(super) fn text(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::Text)
    }

    /// A secret: never filled in, may be pasted.
    pub(super) fn secret(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::Secret)
    }

    /// A whole number between two.
    pub(super) fn number(name: &str, label: &str, least: i64, most: i64) -> Self {
        Self::new(name, label, Kind::Number(least, most))
    }

    /// One of many, as a list that opens.
    pub(super) fn select(name: &str, label: &str, choices: Vec<Choice>) -> Self {
        Self::new(name, label, Kind::Select(choices))
    }

    /// One of a few, each with its consequence.
    pub(super) fn radio(name: &str, label: &str, choices: Vec<Choice>) -> Self {
        Self::new(name, label, Kind::Radio(choices))
    }

    /// Any of a few, as boxes that are sent under one name; on are those that the value names, with blanks between them.
    pub(super) fn checks(name: &str, label: &str, choices: Vec<Choice>) -> Self {
        Self::new(name, label, Kind::Checks(choices))
    }

    /// A box to tick; it is on where the value is not empty.
    pub(super) fn check(name: &str, label: &str) -> Self {
        Self::new(name, label, Kind::Check)
    }

    /// A text of several lines.
    pub(super) fn area(name: &str, label: &str, rows: u8) -> Self {
        Self::new(name, label, Kind::Area(rows))
    }

    /// What to enter, with an example; shown beside the label.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// What stands in it.
    pub(super) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// It may stay empty, and says so.
    pub(super) fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// It is code: letters of one width.
    pub(super) fn code(mut self) -> Self {
        self.code = true;
        self
    }

    /// What a password manager knows it as (`current-password`).
    pub(super) fn complete(mut self, word: &'static str) -> Self {
        self.complete = word;
        self
    }

    /// What it asks for.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The id of its control: names may have dots, ids are safer without.
    fn id(&self) -> String {
        let plain: String = self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        format!("f-{plain}")
    }

    /// Draws it.
    pub(super) fn draw(&self, error: Option<&str>) -> Markup {
        let id = self.id();
        let (hint_id, error_id) = (format!("{id}-hint"), format!("{id}-error"));
        let described: Vec<&str> =
            [(!self.hint.is_empty()).then_some(hint_id.as_str()), error.is_some().then_some(error_id.as_str())]
                .into_iter()
                .flatten()
                .collect();
        let described = (!described.is_empty()).then(|| described.join(" "));
        let invalid = error.map(|_| "true");
        let class = match (error, self.code) {
            (_, true) => Some("code"),
            _ => None,
        };
        let opt = html! { @if self.optional { " " span.opt { "(optional)" } } };
        let hint = html! { @if !self.hint.is_empty() { span.hint id=(hint_id) { (self.hint) } } };
        let wrong = html! { @if let Some(error) = error {
            span.wrong id=(error_id) { (icon(Icon::Warning)) span { span.hush { "Error: " } (error) } }
        } };
        let outer = if error.is_some() { "field has-error" } else { "field" };
        match &self.kind {
            Kind::Radio(choices) | Kind::Checks(choices) => {
                let many = matches!(self.kind, Kind::Checks(_));
                let on = |one: &Choice| {
                    if many {
                        self.value.split_whitespace().any(|word| word == one.value)
                    } else {
                        one.value == self.value
                    }
                };
                html! {
                    fieldset class=(outer) id=(id) tabindex=[error.map(|_| "-1")] aria-describedby=[described] {
                        legend { (self.label) (opt) }
                        (hint) (wrong)
                        @for (n, one) in choices.iter().enumerate() {
                            div.choice {
                                input type=(if many { "checkbox" } else { "radio" }) id={ (id) "-" (n) } name=(self.name) value=(one.value) checked[on(one)];
                                label for={ (id) "-" (n) } { (one.label) @if !one.hint.is_empty() { span.hint { (one.hint) } } }
                            }
                        }
                    }
                }
            }
            Kind::Check => html! {
                div class=(outer) {
                    (wrong)
                    div.choice {
                        input type="checkbox" id=(id) name=(self.name) value="1" checked[!self.value.is_empty()] aria-invalid=[invalid]
                            aria-describedby=[error.map(|_| error_id.as_str())];
                        label for=(id) { (self.label) (hint) }
                    }
                }
            },
            kind => html! {
                div class=(outer) {
                    label for=(id) { (self.label) (opt) }
                    (hint) (wrong)
                    @match kind {
                        Kind::Select(choices) => select id=(id) name=(self.name) aria-invalid=[invalid] aria-describedby=[described] {
                            @for one in choices { option value=(one.value) selected[one.value == self.value] { (one.label) } }
                        },
                        Kind::Area(rows) => textarea id=(id) name=(self.name) rows=(rows) class=[class] spellcheck="false"
                            aria-invalid=[invalid] aria-describedby=[described] { "\n" (self.value) },
                        Kind::Number(least, most) => input type="number" id=(id) name=(self.name) value=(self.value) min=(least) max=(most)
                            aria-invalid=[invalid] aria-describedby=[described];,
                        Kind::Secret => div.pair {
                            input.code type="password" id=(id) name=(self.name) autocomplete=(self.complete) spellcheck="false" autocapitalize="none"
                                aria-invalid=[invalid] aria-describedby=[described];
                            button.btn type="button" data-reveal=(id) aria-pressed="false" { "Show" }
                        },
                        _ => input type="text" id=(id) name=(self.name) value=(self.value)
                            class=[class] autocomplete=(self.complete) spellcheck="false" aria-invalid=[invalid] aria-describedby=[described];,
                    }
                }
            },
        }
    }
}

/// A form of a page, to draw.
pub(super) struct Form<'a> {
    visit: &'a Visit,
    action: String,
    role: Role,
    hidden: Vec<(String, String)>,
    parts: Vec<Part>,
    errors: Errors,
    submit: String,
    style: &'static str,
    cancel: Option<String>,
}

enum Part {
    Field(Box<Field>),
    /// Fields that few need, behind a summary.
    Group(String, Vec<Field>),
    Other(Markup),
}

impl<'a> Form<'a> {
    /// A form for Admins and Owners that is sent to `action`.
    pub(super) fn new(visit: &'a Visit, action: impl Into<String>, submit: impl Into<String>) -> Self {
        Self {
            visit,
            action: action.into(),
            role: Role::Admin,
            hidden: Vec::new(),
            parts: Vec::new(),
            errors: Errors::default(),
            submit: submit.into(),
            style: "main",
            cancel: None,
        }
    }

    /// Only for Owners.
    pub(super) fn owners(mut self) -> Self {
        self.role = Role::Owner;
        self
    }

    /// A field that is not shown.
    pub(super) fn hidden(mut self, name: &str, value: impl Into<String>) -> Self {
        self.hidden.push((name.to_owned(), value.into()));
        self
    }

    /// A field.
    pub(super) fn field(mut self, field: Field) -> Self {
        self.parts.push(Part::Field(Box::new(field)));
        self
    }

    /// Fields that few need: they can be opened, and are open where one of them is wrong.
    pub(super) fn group(mut self, summary: &str, fields: Vec<Field>) -> Self {
        if !fields.is_empty() {
            self.parts.push(Part::Group(summary.to_owned(), fields));
        }
        self
    }

    /// Anything between the fields.
    pub(super) fn and(mut self, markup: Markup) -> Self {
        self.parts.push(Part::Other(markup));
        self
    }

    /// What was wrong with what was sent.
    pub(super) fn errors(mut self, errors: Errors) -> Self {
        self.errors = errors;
        self
    }

    /// What it does takes something away.
    pub(super) fn danger(mut self) -> Self {
        self.style = "danger";
        self
    }

    /// It is not the page's main act.
    pub(super) fn plain(mut self) -> Self {
        self.style = "";
        self
    }

    /// A link back, before the button.
    pub(super) fn cancel(mut self, to: impl Into<String>) -> Self {
        self.cancel = Some(to.into());
        self
    }

    /// Draws it: what is wrong first, with links to the fields. Nothing for who may not send it.
    pub(super) fn draw(&self) -> Markup {
        if !self.visit.may(self.role) {
            return html! {};
        }
        let known: Vec<&Field> = self
            .parts
            .iter()
            .flat_map(|part| match part {
                Part::Field(field) => std::slice::from_ref(&**field),
                Part::Group(_, fields) => fields.as_slice(),
                Part::Other(_) => &[],
            })
            .collect();
        html! {
            @if !self.errors.0.is_empty() {
                div.errors #errors tabindex="-1" role="alert" aria-labelledby="errors-title" {
                    h2 #errors-title { "There is a problem" }
                    ul {
                        @for (field, message) in &self.errors.0 {
                            @match known.iter().find(|one| one.name == *field) {
                                Some(one) => li { a href={ "#" (one.id()) } { (one.label) ": " (message) } },
                                None if field.is_empty() => li { (message) },
                                None => li { (field) ": " (message) },
                            }
                        }
                    }
                }
            }
            form.form method="post" action=(self.action) novalidate {
                input type="hidden" name=(CSRF) value=(self.visit.token);
                @for (name, value) in &self.hidden { input type="hidden" name=(name) value=(value); }
                @for part in &self.parts {
                    @match part {
                        Part::Field(field) => (field.draw(self.errors.of(&field.name))),
                        Part::Group(summary, fields) => details.more open[fields.iter().any(|one| self.errors.of(&one.name).is_some())] {
                            summary { (summary) }
                            div.stack { @for field in fields { (field.draw(self.errors.of(&field.name))) } }
                        },
                        Part::Other(markup) => (markup),
                    }
                }
                div.buttons {
                    @if let Some(cancel) = &self.cancel { a.btn href=(cancel) { "Cancel" } }
                    button type="submit" class={ "btn " (self.style) } { (self.submit) }
                }
            }
        }
    }
}

/// A button that is a form of its own: one act, mild enough for no further question. Nothing for a Viewer.
pub(super) fn button(visit: &Visit, action: &str, label: &str, hidden: &[(&str, &str)]) -> Markup {
    if !visit.may(Role::Admin) {
        return html! {};
    }
    html! {
        form method="post" action=(action) {
            input type="hidden" name=(CSRF) value=(visit.token);
            @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
            button.btn type="submit" { (label) }
        }
    }
}

/// The body of a page that asks before something is done: what will happen, and the button. `again` is a text that has to
/// be typed, for what cannot be undone; the handler compares field `again` with it by [`typed`].
pub(super) fn confirm(form: Form<'_>, consequence: &Markup, again: Option<&str>) -> Markup {
    let form = match again {
        None => form,
        Some(text) => form.field(Field::text("again", &format!("Type \u{201c}{text}\u{201d} to confirm"))),
    };
    html! { div.card.narrow { div.pad.stack { div.prose { (consequence) } (form.draw()) } } }
}

/// Checks what had to be typed on a page made by [`confirm`].
///
/// # Errors
/// It was something else.
pub(super) fn typed(sent: &Sent, text: &str) -> Result<(), Errors> {
    if sent.text("again") == text.trim() {
        return Ok(());
    }
    let mut errors = Errors::default();
    errors.add("again", format!("must be \u{201c}{text}\u{201d}; nothing was changed"));
    Err(errors)
}
