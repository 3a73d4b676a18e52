//! Memberships that are changed from the user's side reach the target like any others.

use gateway::service::types::{Failure, Precondition};
use scim::{Quirks, ScimType};
use serde_json::json;

use crate::rig::{everywhere, rig};

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_a_user_reach_the_target() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({"groups_via_users": true})).await;
        let mut groups = Vec::new();
        for name in ["ops", "dev"] {
            groups.push(rig.post("Group", json!({"displayName": name})).await.unwrap().stored.id);
        }
        let list = |ids: &[&String]| ids.iter().map(|id| json!({"value": id})).collect::<Vec<_>>();
        let person = json!({"userName": "ada@example.com", "groups": list(&[&groups[0], &groups[1]]),
            "emails": [{"value": "ada@example.com", "primary": true}]});
        let user = rig.post("User", person).await.unwrap().stored;
        let members = async |group: &str| {
            let rt = rig.instance.registry.group().unwrap().clone();
            let stored = rig.app.read(&rig.instance, &rt, group).await.unwrap().unwrap();
            rig.app.members_of(stored.seq).await.unwrap().into_iter().map(|one| one.id).collect::<Vec<_>>()
        };
        for group in &groups {
            assert_eq!(members(group).await, std::slice::from_ref(&user.id), "{target}");
        }
        // Another list, and switched off in the same request: the row, its groups and the wake-up in one transaction.
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada@example.com",
            "active": false, "groups": list(&[&groups[1]]), "emails": [{"value": "ada@example.com", "primary": true}]});
        let rt = rig.instance.registry.user().unwrap().clone();
        let mut quirks = Quirks::lenient();
        let put =
            rig.app.replace(&rig.instance, &rig.caller(), &rt, &user.id, body, Precondition::None, &mut quirks).await;
        assert!(put.unwrap().changed, "{target}");
        assert_eq!((members(&groups[0]).await.len(), members(&groups[1]).await.len()), (0, 1), "{target}");
        let unknown = json!([{"op": "add", "path": "groups", "value": [{"value": "nobody"}]}]);
        let refused = rig.patch("User", &user.id, unknown).await;
        assert!(
            matches!(&refused, Err(Failure::Scim(error)) if error.scim_type == Some(ScimType::InvalidValue)),
            "{target}: {refused:?}"
        );
        rig.quiet().await;
    }
}
