//! GraphQL: queries and mutations.

use super::*;

/// One document after the other: document, variables, expected reply.
pub(crate) fn check_graphql(sim: &mut Sim, steps: &[(&str, Value, Value)]) {
    for (n, (query, variables, wanted)) in steps.iter().enumerate() {
        let query = sim.fill(query);
        let variables = sim.fill_json(variables);
        let wanted = sim.fill_json(wanted);
        let found = sim.graphql(&query, &variables);
        let mut saved = std::mem::take(&mut sim.saved);
        let fits = matches(&found, &wanted, &mut saved);
        sim.saved = saved;
        assert!(fits, "step {n}: {query} {variables}\nfound {found}\nwanted {wanted}");
        // A reply has errors or is whole.
        assert_eq!(found.get("errors").is_some(), wanted.get("errors").is_some(), "step {n}: {found}");
    }
}

pub(crate) fn error(message: &str) -> Value {
    json!({"errors": [{"message": format!("~{message}")}]})
}

/// A mutation on `input`.
fn mutation(name: &str, selection: &str) -> String {
    let capital = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
    format!("mutation($input:{capital}Input!){{{name}(input:$input){{{selection}}}}}")
}

#[test]
fn the_organisation_and_its_people_are_read() {
    let mut sim = Sim::new(Limits::None);
    let ada = sim.person("ada@corp.example");
    sim.saved.insert("ada".into(), ada);
    check_graphql(
        &mut sim,
        &[
            (
                "{viewer{id user{id name email machineUser bot}}}",
                json!(null),
                json!({"data": {"viewer": {"id": "~Vmlld2VyLS0t", "user": {"id": "@me", "name": "gateway", "machineUser": true, "bot": false}}}}),
            ),
            (
                "{organization(slug:\"acme\"){id uuid slug name isTeamsEnabled public sso{isEnabled}}}",
                json!(null),
                json!({"data": {"organization": {"id": "@org", "uuid": "@orguuid", "slug": "acme", "name": "Acme", "isTeamsEnabled": true, "public": false, "sso": {"isEnabled": false}}}}),
            ),
            (
                "{organization(uuid:\"<orguuid>\"){slug}}",
                json!(null),
                json!({"data": {"organization": {"slug": "acme"}}}),
            ),
            ("{organization(slug:\"other\"){slug}}", json!(null), json!({"data": {"organization": null}})),
            (
                "{organization{slug}}",
                json!(null),
                json!({"data": {"organization": null}, "errors": [{"path": ["organization"], "locations": [{"line": 1, "column": 2}]}]}),
            ),
            (
                "query($e:String){organization(slug:\"acme\"){members(first:1,email:$e){count edges{cursor node{id uuid role createdAt complimentary sso{mode} organization{slug} user{id uuid name email bot}}}}}}",
                json!({"e": "ADA@corp.example"}),
                json!({"data": {"organization": {"members": {"count": 1, "edges": [{"cursor": "@c", "node": {"id": "@member", "uuid": "@memberuuid", "role": "MEMBER", "createdAt": "2026-01-02T03:04:05.000Z", "complimentary": false, "sso": {"mode": "REQUIRED"}, "organization": {"slug": "acme"}, "user": {"id": "@user", "uuid": "<ada>", "name": "ada", "email": "ada@corp.example", "bot": false}}}]}}}}),
            ),
            (
                "{organization(slug:\"acme\"){members(first:1,email:\"no@corp.example\"){count edges{node{id}}}}}",
                json!(null),
                json!({"data": {"organization": {"members": {"count": 0, "edges": []}}}}),
            ),
            (
                "{organization(slug:\"acme\"){members(first:5,role:[ADMIN]){edges{node{user{id}}}}}}",
                json!(null),
                json!({"data": {"organization": {"members": {"edges": [{"node": {"user": {"id": "<me>"}}}]}}}}),
            ),
            (
                "{organization(slug:\"acme\"){members(first:5,role:MEMBER,search:\"CORP\"){edges{node{id}}}}}",
                json!(null),
                json!({"data": {"organization": {"members": {"edges": [{"node": {"id": "<member>"}}]}}}}),
            ),
            (
                "{organization(slug:\"acme\"){members(first:5,sso:{mode:OPTIONAL}){count}}}",
                json!(null),
                json!({"data": {"organization": {"members": {"count": 1}}}}),
            ),
            (
                "{organizationMember(slug:\"acme/<memberuuid>\"){id}}",
                json!(null),
                json!({"data": {"organizationMember": {"id": "<member>"}}}),
            ),
            (
                "{organizationMember(slug:\"other/<memberuuid>\"){id}}",
                json!(null),
                json!({"data": {"organizationMember": null}}),
            ),
            (
                "{organizationMember(slug:\"acme/<ada>\"){id}}",
                json!(null),
                json!({"data": {"organizationMember": null}}),
            ),
            (
                "query($id:ID!){node(id:$id){__typename id ...on OrganizationMember{user{email}} ...on User{email}}}",
                json!({"id": "<member>"}),
                json!({"data": {"node": {"__typename": "OrganizationMember", "id": "<member>", "user": {"email": "ada@corp.example"}}}}),
            ),
            (
                "{node(id:\"<user>\"){...U}} fragment U on User{email}",
                json!(null),
                json!({"data": {"node": {"email": "ada@corp.example"}}}),
            ),
            ("{node(id:\"nonsense\"){id}}", json!(null), json!({"data": {"node": null}})),
            ("{team(slug:\"acme/nothing\"){id}}", json!(null), json!({"data": {"team": null}})),
        ],
    );
}

#[test]
fn connections_page_by_cursor() {
    let mut sim = Sim::new(Limits::None);
    sim.target.load(12, 7, sim.now);
    let walk = |sim: &mut Sim, field: &str, name: &str| {
        let mut names: Vec<String> = Vec::new();
        let mut after = Value::Null;
        loop {
            let query = format!(
                "query($after:String){{organization(slug:\"acme\"){{page:{field}{{count pageInfo{{hasNextPage hasPreviousPage startCursor endCursor}} edges{{cursor node{{{name}}}}}}}}}}}"
            );
            let reply = sim.graphql(&query, &json!({"after": after}));
            let page = &reply["data"]["organization"]["page"];
            assert_eq!(page["pageInfo"]["hasPreviousPage"], !names.is_empty());
            for edge in page["edges"].as_array().unwrap() {
                names.push(edge["node"].to_string());
            }
            let last = &page["edges"].as_array().unwrap().last().unwrap()["cursor"];
            assert_eq!(&page["pageInfo"]["endCursor"], last);
            // Somebody who joins during the walk is newer, and moves nothing.
            let email = format!("late{}@corp.example", names.len());
            sim.person(&email);
            if page["pageInfo"]["hasNextPage"] == false {
                return names;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    };
    let members = walk(&mut sim, "members(first:5,after:$after)", "user{name}");
    assert_eq!(members.len(), 13);
    assert_eq!(members[0], "{\"user\":{\"name\":\"load0011\"}}");
    assert_eq!(members[12], "{\"user\":{\"name\":\"gateway\"}}");
    let teams = walk(&mut sim, "teams(first:3,after:$after)", "slug");
    assert_eq!(teams.len(), 7);
    assert_eq!(teams[0], "{\"slug\":\"load-group-0000\"}");
    let back = "{organization(slug:\"acme\"){teams(last:2){pageInfo{hasNextPage hasPreviousPage} edges{node{name}}}}}";
    check_graphql(
        &mut sim,
        &[
            (
                back,
                json!(null),
                json!({"data": {"organization": {"teams": {"pageInfo": {"hasNextPage": false, "hasPreviousPage": true}, "edges": [{"node": {"name": "Load group 0005"}}, {"node": {"name": "Load group 0006"}}]}}}}),
            ),
            (
                "{organization(slug:\"acme\"){teams(first:0){count edges{cursor}}}}",
                json!(null),
                json!({"data": {"organization": {"teams": {"count": 7, "edges": []}}}}),
            ),
            (
                "{organization(slug:\"acme\"){teams(after:\"x\"){count}}}",
                json!(null),
                json!({"errors": [{"message": "~cursor", "path": ["organization", "teams"]}], "data": {"organization": {"teams": null}}}),
            ),
            // `teams` of a member may not be null, so the member is.
            (
                "{organization(slug:\"acme\"){members(first:1){edges{node{teams(after:\"x\"){count}}}}}}",
                json!(null),
                json!({"errors": [{}], "data": {"organization": {"members": {"edges": [{"node": null}]}}}}),
            ),
        ],
    );
}

#[test]
fn invitations_live_through_graphql() {
    let mut sim = Sim::new(Limits::None);
    let create = mutation(
        "organizationInvitationCreate",
        "clientMutationId organization{id} invitationEdges{cursor node{id uuid email state role sso{mode} teams(first:5){count edges{node{id role team{slug}}}}}}",
    );
    let resend = mutation("organizationInvitationResend", "organizationInvitation{state}");
    let revoke = mutation(
        "organizationInvitationRevoke",
        "organization{slug} organizationInvitation{state revokedBy{name}} organizationInvitationEdge{node{id}}",
    );
    sim.team("Core");
    check_graphql(
        &mut sim,
        &[
            (
                "{organization(slug:\"acme\"){id teams(first:1){edges{node{id}}}}}",
                json!(null),
                json!({"data": {"organization": {"id": "@org", "teams": {"edges": [{"node": {"id": "@team"}}]}}}}),
            ),
            (
                &create,
                json!({"input": {"organizationID": "<org>", "clientMutationId": "x", "emails": ["ada@corp.example", "Ada@corp.example"], "role": "MEMBER", "sso": {"mode": "OPTIONAL"}, "teams": [{"id": "<team>", "role": "MAINTAINER"}]}}),
                json!({"data": {"organizationInvitationCreate": {"clientMutationId": "x", "organization": {"id": "<org>"}, "invitationEdges": [{"node": {"id": "@ada", "uuid": "@adauuid", "email": "ada@corp.example", "state": "PENDING", "role": "MEMBER", "sso": {"mode": "OPTIONAL"}, "teams": {"count": 1, "edges": [{"node": {"role": "MAINTAINER", "team": {"slug": "core"}}}]}}}]}}}),
            ),
            (
                &create,
                json!({"input": {"organizationID": "<org>", "emails": ["ada@corp.example"]}}),
                json!({"data": {"organizationInvitationCreate": null}, "errors": [{"message": "~already been invited", "path": ["organizationInvitationCreate"], "locations": [{"line": 1}]}]}),
            ),
            (
                &create,
                json!({"input": {"organizationID": "<team>", "emails": ["new@corp.example"]}}),
                json!({"data": {"organizationInvitationCreate": null}, "errors": [{"message": "No organization found"}]}),
            ),
            (
                &resend,
                json!({"input": {"id": "<ada>"}}),
                json!({"data": {"organizationInvitationResend": {"organizationInvitation": {"state": "PENDING"}}}}),
            ),
            (
                "{organizationInvitation(slug:\"acme/<adauuid>\"){id slug}}",
                json!(null),
                json!({"data": {"organizationInvitation": {"id": "<ada>", "slug": "acme/<adauuid>"}}}),
            ),
            (
                "{organization(slug:\"acme\"){invitations(first:5,state:[PENDING]){count edges{node{email}}}}}",
                json!(null),
                json!({"data": {"organization": {"invitations": {"count": 1, "edges": [{"node": {"email": "ada@corp.example"}}]}}}}),
            ),
            (
                &revoke,
                json!({"input": {"id": "<ada>"}}),
                json!({"data": {"organizationInvitationRevoke": {"organization": {"slug": "acme"}, "organizationInvitation": {"state": "REVOKED", "revokedBy": {"name": "gateway"}}, "organizationInvitationEdge": {"node": {"id": "<ada>"}}}}}),
            ),
            (
                &revoke,
                json!({"input": {"id": "<ada>"}}),
                json!({"data": {"organizationInvitationRevoke": null}, "errors": [{"message": "~already been revoked"}]}),
            ),
            (
                &resend,
                json!({"input": {"id": "<ada>"}}),
                json!({"data": {"organizationInvitationResend": null}, "errors": [{"message": "~already been revoked"}]}),
            ),
            (
                &create,
                json!({"input": {"organizationID": "<org>", "emails": ["bob@corp.example"]}}),
                json!({"data": {"organizationInvitationCreate": {"invitationEdges": [{"node": {"id": "@bob"}}]}}}),
            ),
        ],
    );
    sim.accept(None, Some("robert"));
    check_graphql(
        &mut sim,
        &[
            (
                "{node(id:\"<bob>\"){...on OrganizationInvitation{state acceptedAt acceptedBy{email} revokedAt}}}",
                json!(null),
                json!({"data": {"node": {"state": "ACCEPTED", "acceptedAt": "2026-01-02T03:04:05.000Z", "acceptedBy": {"email": "robert@other.example"}, "revokedAt": null}}}),
            ),
            (
                "{organization(slug:\"acme\"){invitations(first:5,order:EMAIL,state:[ACCEPTED,REVOKED]){edges{node{email}}}}}",
                json!(null),
                json!({"data": {"organization": {"invitations": {"edges": [{"node": {"email": "ada@corp.example"}}, {"node": {"email": "bob@corp.example"}}]}}}}),
            ),
        ],
    );
}

#[test]
fn members_change_by_the_id_of_the_membership() {
    let mut sim = Sim::new(Limits::None);
    sim.person("ada@corp.example");
    let update = mutation("organizationMemberUpdate", "organizationMember{role sso{mode}}");
    let delete = mutation("organizationMemberDelete", "deletedOrganizationMemberID organization{slug} user{name}");
    check_graphql(
        &mut sim,
        &[
            (
                "{organization(slug:\"acme\"){members(first:2){edges{node{id user{id}}}}}}",
                json!(null),
                json!({"data": {"organization": {"members": {"edges": [{"node": {"id": "@ada", "user": {"id": "@user"}}}, {"node": {"id": "@me"}}]}}}}),
            ),
            (
                &update,
                json!({"input": {"id": "<ada>", "role": "ADMIN", "sso": {"mode": "OPTIONAL"}}}),
                json!({"data": {"organizationMemberUpdate": {"organizationMember": {"role": "ADMIN", "sso": {"mode": "OPTIONAL"}}}}}),
            ),
            (
                &update,
                json!({"input": {"id": "<user>", "role": "ADMIN"}}),
                json!({"data": {"organizationMemberUpdate": null}, "errors": [{"message": "No organization member found"}]}),
            ),
            (
                &update,
                json!({"input": {"id": "<me>", "role": "MEMBER"}}),
                json!({"data": {"organizationMemberUpdate": null}, "errors": [{"message": "~your own"}]}),
            ),
            (
                &delete,
                json!({"input": {"id": "<me>"}}),
                json!({"data": {"organizationMemberDelete": null}, "errors": [{"message": "~yourself"}]}),
            ),
            (
                &delete,
                json!({"input": {"id": "<user>"}}),
                json!({"data": {"organizationMemberDelete": null}, "errors": [{"message": "No organization member found"}]}),
            ),
            (
                &delete,
                json!({"input": {"id": "<ada>"}}),
                json!({"data": {"organizationMemberDelete": {"deletedOrganizationMemberID": "<ada>", "organization": {"slug": "acme"}, "user": {"name": "ada"}}}}),
            ),
            (
                &delete,
                json!({"input": {"id": "<ada>"}}),
                json!({"data": {"organizationMemberDelete": null}, "errors": [{"message": "No organization member found"}]}),
            ),
            ("{node(id:\"<ada>\"){id}}", json!(null), json!({"data": {"node": null}})),
            ("{node(id:\"<user>\"){id}}", json!(null), json!({"data": {"node": {"id": "<user>"}}})),
        ],
    );
}

#[test]
fn teams_live_through_graphql() {
    let mut sim = Sim::new(Limits::None);
    sim.person("ada@corp.example");
    let create = mutation(
        "teamCreate",
        "organization{id} teamEdge{node{id uuid slug name privacy isDefaultTeam defaultMemberRole membersCanCreatePipelines membersCanDestroyPackages}}",
    );
    let update = mutation("teamUpdate", "team{name slug description defaultMemberRole isDefaultTeam}");
    let delete = mutation("teamDelete", "deletedTeamID organization{slug}");
    let add = mutation(
        "teamMemberCreate",
        "team{slug} teamMemberEdge{node{id uuid role user{id email} organizationMember{role} team{slug}}}",
    );
    let change = mutation("teamMemberUpdate", "teamMember{role}");
    let remove = mutation("teamMemberDelete", "deletedTeamMemberID team{members(first:1){count}}");
    let input = |name: &str| json!({"input": {"organizationID": "<org>", "name": name, "privacy": "VISIBLE", "isDefaultTeam": false, "defaultMemberRole": "MAINTAINER"}});
    check_graphql(
        &mut sim,
        &[
            (
                "{organization(slug:\"acme\"){id members(first:1){edges{node{id user{id uuid}}}}}}",
                json!(null),
                json!({"data": {"organization": {"id": "@org", "members": {"edges": [{"node": {"id": "@member", "user": {"id": "@user", "uuid": "@useruuid"}}}]}}}}),
            ),
            (
                &create,
                input("Core Team"),
                json!({"data": {"teamCreate": {"organization": {"id": "<org>"}, "teamEdge": {"node": {"id": "@team", "slug": "core-team", "name": "Core Team", "privacy": "VISIBLE", "isDefaultTeam": false, "defaultMemberRole": "MAINTAINER", "membersCanCreatePipelines": true, "membersCanDestroyPackages": false}}}}}),
            ),
            (
                &create,
                input("core team"),
                json!({"data": {"teamCreate": null}, "errors": [{"message": "Validation failed: Name has already been taken"}]}),
            ),
            (
                &create,
                json!({"input": {"organizationID": "<org>", "name": "X"}}),
                error("Expected value to not be null"),
            ),
            (
                &add,
                json!({"input": {"teamID": "<team>", "userID": "<user>"}}),
                json!({"data": {"teamMemberCreate": {"team": {"slug": "core-team"}, "teamMemberEdge": {"node": {"id": "@tm", "role": "MAINTAINER", "user": {"id": "<user>", "email": "ada@corp.example"}, "organizationMember": {"role": "MEMBER"}, "team": {"slug": "core-team"}}}}}}),
            ),
            (
                &add,
                json!({"input": {"teamID": "<team>", "userID": "<user>"}}),
                json!({"data": {"teamMemberCreate": null}, "errors": [{"message": "~already been added to this team"}]}),
            ),
            (
                &add,
                json!({"input": {"teamID": "<team>", "userID": "<member>"}}),
                json!({"data": {"teamMemberCreate": null}, "errors": [{"message": "No user found"}]}),
            ),
            (
                &change,
                json!({"input": {"id": "<tm>", "role": "MEMBER"}}),
                json!({"data": {"teamMemberUpdate": {"teamMember": {"role": "MEMBER"}}}}),
            ),
            (
                &change,
                json!({"input": {"id": "<user>", "role": "MEMBER"}}),
                json!({"data": {"teamMemberUpdate": null}, "errors": [{"message": "No team member found"}]}),
            ),
            (
                "{team(slug:\"acme/core-team\"){id members(first:5,role:[MEMBER],search:\"ada\"){count edges{node{id}}}}}",
                json!(null),
                json!({"data": {"team": {"id": "<team>", "members": {"count": 1, "edges": [{"node": {"id": "<tm>"}}]}}}}),
            ),
            ("{team(slug:\"acme/Core Team\"){id}}", json!(null), json!({"data": {"team": null}})),
            (
                "{organization(slug:\"acme\"){members(first:5,team:\"core-team\"){count} others:members(first:5,team:\"!core-team\"){count} teams(first:5,user:\"<useruuid>\",search:\"CORE\",privacy:[VISIBLE]){count}}}",
                json!(null),
                json!({"data": {"organization": {"members": {"count": 1}, "others": {"count": 1}, "teams": {"count": 1}}}}),
            ),
            (
                "{node(id:\"<member>\"){...on OrganizationMember{teams(first:5){edges{node{id}}}}}}",
                json!(null),
                json!({"data": {"node": {"teams": {"edges": [{"node": {"id": "<tm>"}}]}}}}),
            ),
            (&update, json!({"input": {"id": "<team>", "name": "Kernel"}}), error("defaultMemberRole")),
            (
                &update,
                json!({"input": {"id": "<team>", "name": "Kernel", "description": "k", "isDefaultTeam": true, "defaultMemberRole": "MEMBER"}}),
                json!({"data": {"teamUpdate": {"team": {"name": "Kernel", "slug": "kernel", "description": "k", "defaultMemberRole": "MEMBER", "isDefaultTeam": true}}}}),
            ),
            (
                &remove,
                json!({"input": {"id": "<tm>"}}),
                json!({"data": {"teamMemberDelete": {"deletedTeamMemberID": "<tm>", "team": {"members": {"count": 0}}}}}),
            ),
            (
                &remove,
                json!({"input": {"id": "<tm>"}}),
                json!({"data": {"teamMemberDelete": null}, "errors": [{"message": "No team member found"}]}),
            ),
            (
                &delete,
                json!({"input": {"id": "<team>"}}),
                json!({"data": {"teamDelete": {"deletedTeamID": "<team>", "organization": {"slug": "acme"}}}}),
            ),
            (
                &delete,
                json!({"input": {"id": "<team>"}}),
                json!({"data": {"teamDelete": null}, "errors": [{"message": "No team found", "path": ["teamDelete"]}]}),
            ),
        ],
    );
    sim.set(json!({"teams_enabled": false}));
    check_graphql(
        &mut sim,
        &[
            (
                "{organization(slug:\"acme\"){isTeamsEnabled teams(first:1){count}}}",
                json!(null),
                json!({"data": {"organization": {"isTeamsEnabled": false, "teams": null}}}),
            ),
            (
                &create,
                input("New"),
                json!({"data": {"teamCreate": null}, "errors": [{"message": "~not been enabled"}]}),
            ),
        ],
    );
}
