//! Hostile documents: nothing panics, nothing runs away.

use super::*;

/// A linear congruential generator: the same documents in every run.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

const SEEDS: [&str; 5] = [
    "query Q($n: Int = 1, $e: [String!]!) { organization(slug: \"acme\") { members(first: $n, role: [ADMIN]) { edges { node { id } } } } }",
    "mutation { teamCreate(input: {organizationID: \"T3Jn\", name: \"x\", privacy: VISIBLE, isDefaultTeam: false, defaultMemberRole: MEMBER}) { teamEdge { node { id } } } }",
    "{ node(id: \"x\") { ...F ... on Team @include(if: true) { name } } } fragment F on User { email name }",
    "# c\n{ a: viewer { id } b: team(slug: \"\"\"blo\\\"\"\"ck\"\"\") { id } c: team(slug: \"\\u00e9\\ud83d\\ude00\\n\") { id } }",
    "{ organization(uuid: 12, slug: null) { teams(first: -3, after: \"MTp4\") { count pageInfo { endCursor } } } }",
];

#[test]
fn mutated_documents_get_an_answer() {
    let mut sim = Sim::new(Limits::None);
    sim.target.load(3, 3, sim.now);
    let mut random = Lcg(7);
    let pieces = [
        "{", "}", "(", ")", "[", "]", "!", "$", ":", "=", "@", "...", "|", "&", "\"", "\"\"\"", "\\u", "\\", "#", "\n",
        "-", "9e999", "1.", "on", "fragment", "é", "\u{feff}", "\0", "null", "first", "$n",
    ];
    let (mut fine, mut refused) = (0, 0);
    for round in 0..1500 {
        let mut text: Vec<char> = SEEDS[round % SEEDS.len()].chars().collect();
        for _ in 0..=random.below(4) {
            let at = random.below(text.len());
            match random.below(4) {
                0 => {
                    text.remove(at);
                }
                1 => {
                    let piece = pieces[random.below(pieces.len())];
                    text.splice(at..at, piece.chars());
                }
                2 => {
                    let to = random.below(text.len());
                    text.swap(at, to);
                }
                _ => text.truncate(at.max(1)),
            }
        }
        let query: String = text.into_iter().collect();
        let reply = sim.graphql(&query, &json!({"n": 2, "e": ["x"]}));
        let errors = reply.get("errors").and_then(Value::as_array);
        assert!(reply.get("data").is_some() || errors.is_some_and(|e| !e.is_empty()), "{query:?}: {reply}");
        if errors.is_some() {
            refused += 1;
        } else {
            fine += 1;
        }
    }
    assert!(refused > 500, "{fine} fine, {refused} refused");
}

#[test]
fn a_lone_low_surrogate_is_refused() {
    let mut sim = Sim::new(Limits::None);
    for escape in ["\\ud83d\\u0000", "\\ud83d\\ud83d", "\\ud83d", "\\ude00", "\\uzzzz", "\\u00"] {
        let reply = sim.graphql(&format!("{{team(slug:\"{escape}\"){{id}}}}"), &json!(null));
        assert_eq!(reply["errors"][0]["message"], "Bad unicode escape", "{escape}");
    }
}

#[test]
fn mutated_bodies_get_an_answer() {
    let mut sim = Sim::new(Limits::None);
    let bearer = format!("Bearer {}", sim.token);
    let mut random = Lcg(11);
    let seeds = [
        (
            "POST /v2/organizations/acme/invitations",
            json!({"emails": ["a@b.c"], "role": "member", "teams": [{"id": "0190aaaa-0000-4000-8000-000000000003", "role": "member"}]}),
        ),
        ("POST /v2/organizations/acme/teams", team_body("T")),
        ("POST /graphql", json!({"query": "{viewer{id}}", "variables": {"a": [1]}})),
    ];
    for round in 0..600 {
        let (call, body) = &seeds[round % seeds.len()];
        let mut bytes = body.to_string().into_bytes();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.below(256) as u8;
        }
        let reply = sim.send(call, &[("authorization", &bearer)], bytes);
        assert!(matches!(reply.status, 200 | 201 | 400 | 422), "{} {}", reply.status, reply.body);
    }
}

#[test]
fn nesting_and_expansion_are_bounded() {
    let mut sim = Sim::new(Limits::None);
    sim.target.load(499, 0, sim.now);
    let chain: String = (0..1000).map(|n| format!("fragment F{n} on Viewer{{...F{}}}", n + 1)).collect();
    let fan: String = (0..40).map(|n| format!("fragment F{n} on Viewer{{...F{0} ...F{0}}}", n + 1)).collect();
    let aliases: String = (0..600).map(|n| format!("a{n}:members{{edges{{node{{id uuid role}}}}}}")).collect();
    let wide = "a:viewer{id} ".repeat(30_000);
    for (query, message) in [
        ("{a".repeat(5_000), "nested too deeply"),
        (format!("{{team(slug:{}", "[".repeat(5_000)), "nested too deeply"),
        (format!("query($x:{}", "[".repeat(5_000)), "nested too deeply"),
        (format!("{{viewer{{...F0}}}}{fan}fragment F40 on Viewer{{id}}"), "Query is too large"),
        (format!("{{viewer{{...F0}}}}{chain}fragment F1000 on Viewer{{id}}"), "Fragments are nested too deeply"),
        (format!("{{organization(slug:\"acme\"){{{aliases}}}}}"), "Query is too large"),
        (format!("{{{wide}}}"), "too many tokens"),
        (format!("{{team(slug:\"{}", "x".repeat(300_000)), "Unterminated string"),
    ] {
        let reply = sim.graphql(&query, &json!(null));
        let found = reply["errors"][0]["message"].as_str().unwrap();
        assert!(found.contains(message), "{found}");
    }
}
