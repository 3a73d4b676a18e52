//! The icons: strokes in a box of 16, in the colour of the text. They never stand alone for a meaning, so they are hidden
//! from assistive technology.

use maud::{Markup, html};

/// An icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are what is drawn")]
pub(super) enum Icon {
    Home,
    Instances,
    People,
    Groups,
    Operations,
    Holds,
    Tasks,
    Catalogue,
    Settings,
    Search,
    Menu,
    User,
    Check,
    Clock,
    Hand,
    Cross,
    Dash,
    Park,
    Differ,
    Warning,
    Info,
    Copy,
    Arrow,
}

/// Draws an icon.
pub(super) fn icon(icon: Icon) -> Markup {
    let path = match icon {
        Icon::Home => "M2.5 7.5 8 3l5.5 4.5M4 6.5V13h8V6.5M6.5 13V9.5h3V13",
        Icon::Instances => "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
        Icon::People => "M8 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM3 13.5c.4-2.4 2.4-3.5 5-3.5s4.6 1.1 5 3.5",
        Icon::Groups => {
            "M6 8a2.25 2.25 0 1 0 0-4.5A2.25 2.25 0 0 0 6 8ZM1.5 13c.3-2 2-3 4.5-3s4.2 1 4.5 3M10.5 3.7a2.25 2.25 0 0 1 0 4.1M12 10.2c1.4.3 2.3 1.2 2.5 2.8"
        }
        Icon::Operations => "M2.5 4h1M6 4h7.5M2.5 8h1M6 8h7.5M2.5 12h1M6 12h7.5",
        Icon::Holds => "M5.5 2.5h5l3 3v5l-3 3h-5l-3-3v-5zM6.5 6v4M9.5 6v4",
        Icon::Tasks => "M3 2.5h10v11H3zM5.5 6.5l1 1 2-2M5.5 10.5h5",
        Icon::Catalogue => "M3 3h4v4H3zM9 3h4v4H9zM3 9h4v4H3zM9 9h4v4H9z",
        Icon::Settings => {
            "M2.5 4.5h6M12 4.5h1.5M10.5 6a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3ZM2.5 11.5H4M7.5 11.5h6M5.5 13a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Z"
        }
        Icon::Search => "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.5 10.5l3 3",
        Icon::Menu => "M2.5 4h11M2.5 8h11M2.5 12h11",
        Icon::User => "M8 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM3 13.5c.4-2.4 2.4-3.5 5-3.5s4.6 1.1 5 3.5",
        Icon::Check => "M3 8.5 6.5 12 13 4.5",
        Icon::Clock => "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 5v3.2l2 1.6",
        Icon::Hand => "M5.5 2.5h5l3 3v5l-3 3h-5l-3-3v-5zM6.5 6v4M9.5 6v4",
        Icon::Cross => "M4 4l8 8M12 4l-8 8",
        Icon::Dash => "M3.5 8h9",
        Icon::Park => "M5.5 13V3h3.25a2.75 2.75 0 0 1 0 5.5H5.5",
        Icon::Differ => "M3 6h10M3 10h10M10.5 3l-5 10",
        Icon::Warning => "M8 2.5 14 13H2zM8 6.5v3M8 11.4h.01",
        Icon::Info => "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 7.5V11M8 5h.01",
        Icon::Copy => "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
        Icon::Arrow => "M3 8h10M9 4l4 4-4 4",
    };
    html! {
        svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false" { path d=(path); }
    }
}
