//! The manifests that are built in are sound, and the schema beside them is the one in force.

use declarative::{Format, Manifest};

#[test]
fn every_manifest_that_is_built_in_is_sound() {
    for (file, text) in connectors::MANIFESTS {
        let manifest = match Manifest::parse(text, Format::Toml) {
            Ok(manifest) => manifest,
            Err(problems) => {
                let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
                assert!(all.is_empty(), "{file}:\n{}", all.join("\n"));
                continue;
            }
        };
        assert_eq!(format!("{}.toml", manifest.name()), *file);
        let about = manifest.about();
        assert!(!about.needs.is_empty() && !about.sources.is_empty() && about.calls.len() > 3, "{file}");
        let entry = manifest.entry().expect("there is room for its names");
        assert!(!entry.attributes.is_empty() && !entry.limits.is_empty(), "{file}");
    }
    assert_eq!(connectors::manifests().len(), connectors::MANIFESTS.len());
}

#[test]
fn every_manifest_in_the_folder_is_built_in() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/connectors");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    there.sort();
    let mut known: Vec<&str> = connectors::MANIFESTS.iter().map(|(file, _)| *file).collect();
    known.sort_unstable();
    assert_eq!(there, known);
}

/// The schema that editors use. `scimgate manifest schema` prints it.
#[test]
fn the_schema_beside_the_manifests_is_fresh() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/connectors/manifest.schema.json");
    let fresh = format!("{:#}\n", declarative::json_schema());
    let there = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        there == fresh,
        "config/connectors/manifest.schema.json is stale: write it with `scimgate manifest schema`"
    );
}

/// The example that the docs walk through is one that works.
#[test]
fn the_example_of_the_docs_is_sound_and_renders() {
    let text = include_str!("../../docs/connectors/manifests.md");
    let example =
        text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("there is an example");
    let manifest = Manifest::parse(example, Format::Toml).expect("the example is sound");
    let settings = serde_json::json!({ "url": "https://acme.desk.example.com/api/v2" });
    let rendered = manifest.preview(&settings, &declarative::Sample::default());
    assert!(rendered.len() > 10);
    for one in &rendered {
        assert_eq!(one.problem, None, "{one:?}");
        assert!(one.headers.contains(&("x-api-key".to_owned(), "***".to_owned())), "{one:?}");
    }
}
