//! What the core schemas ask for people: managers, groups, names, passwords. The numbers are those of the items of
//! RFC 7643 and RFC 7644 in `docs/scim-conformance.md`.

use serde_json::{Value, json};

use crate::schemas::{ENTERPRISE, id, patch, post, user};
use crate::support::{GROUP, Gateway, USER};

#[tokio::test]
async fn a_manager_is_shown_where_he_is_a_user() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let other = gateway.instance("paused", json!({})).await;
        let boss = post(&gateway, &to, "/Users", user("boss@example.com", json!({"displayName": "The Boss"}))).await;
        let stranger = gateway.user(&other, "x@example.com").await;
        let place = format!("http://127.0.0.1:8080{}", to.base);
        // The name is shown on request only: what is answered is what was written.
        let whole = json!({"value": id(&boss), "$ref": format!("{place}/Users/{}", id(&boss))});
        for (n, (given, want)) in [
            (json!({"value": id(&boss)}), whole.clone()),
            (json!({"value": id(&boss), "$ref": "../Users/old", "displayName": "Mine"}), whole.clone()), // 35
            (json!("nonexistent-manager"), json!({"value": "nonexistent-manager"})),
            (json!({"value": stranger}), json!({"value": stranger})),
            (
                json!({"value": "later", "$ref": "../Users/later"}), // 8
                json!({"value": "later", "$ref": format!("{place}/Users/later")}),
            ),
            (
                json!({"value": "a", "$ref": "https://example.com/Users/a"}),
                json!({"value": "a", "$ref": "https://example.com/Users/a"}),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let body = user(
                &format!("u{n}@example.com"),
                json!({"schemas": [USER, ENTERPRISE], ENTERPRISE: {"manager": given}}),
            );
            let made = post(&gateway, &to, "/Users", body).await;
            assert_eq!(made[ENTERPRISE]["manager"], want, "{made}");
            assert_eq!(gateway.scim(&to, "GET", &format!("/Users/{}", id(&made)), None).await.expect(200).json(), made);
        }
        let list = gateway
            .scim(&to, "GET", &format!("/Users?attributes={ENTERPRISE}:manager.displayName"), None)
            .await
            .expect(200)
            .json();
        let names: Vec<&Value> = list["Resources"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one[ENTERPRISE]["manager"].get("displayName"))
            .collect();
        assert_eq!(names, ["The Boss", "The Boss"]);
        let path = format!("/Users/{}", id(&list["Resources"][1]));
        let rename =
            patch(json!([{"op": "replace", "path": format!("{ENTERPRISE}:manager.displayName"), "value": "Me"}]));
        assert_eq!(gateway.scim(&to, "PATCH", &path, Some(rename)).await.expect(400).json()["scimType"], "mutability");
        // 31: groups mirror memberships.
        let group = json!({"schemas": [GROUP], "displayName": "Ops", "members": [{"value": id(&boss)}]});
        let group = post(&gateway, &to, "/Groups", group).await;
        let seen = gateway.scim(&to, "GET", &format!("/Users/{}", id(&boss)), None).await.expect(200).json();
        let address = format!("{place}/Groups/{}", id(&group));
        assert_eq!(
            seen["groups"],
            json!([{"value": group["id"], "$ref": address, "display": "Ops", "type": "direct"}])
        );
    }
}

#[tokio::test]
async fn one_name_in_every_spelling_and_no_password_anywhere() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let body = user("zo\u{eb}@example.com", json!({"password": "canary-password-1"}));
    let made = gateway.scim(&to, "POST", "/Users", Some(body)).await.expect(201);
    let path = format!("/Users/{}", id(&made.json()));
    for name in ["ZO\u{cb}@EXAMPLE.COM", "zoe\u{308}@example.com", "\u{ff5a}o\u{eb}@example.com"] {
        gateway.scim(&to, "POST", "/Users", Some(user(name, json!({})))).await.expect(409); // 181, 25
    }
    gateway
        .scim(&to, "PUT", &path, Some(user("zo\u{eb}@example.com", json!({"password": "canary-password-2"}))))
        .await
        .expect(200);
    for operation in [
        json!({"op": "replace", "path": "password", "value": "canary-password-3"}),
        json!({"op": "replace", "value": {"password": "canary-password-4"}}),
    ] {
        let reply = gateway.scim(&to, "PATCH", &path, Some(patch(json!([operation])))).await.expect(200);
        assert!(!String::from_utf8_lossy(&reply.bytes).contains("canary"), "26");
    }
    let probed =
        gateway.scim(&to, "GET", "/Users?filter=password%20eq%20%22canary-password-1%22", None).await.expect(400);
    assert!(!String::from_utf8_lossy(&probed.bytes).contains("canary"), "27");
    // 182: no hash either; nothing of it is in the database, its journal included.
    for file in std::fs::read_dir(gateway.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(15).any(|part| part == b"canary-password"), "182");
    }
}

/// Entra writes a mapped extension attribute by path and never lists its URN in `schemas`.
#[tokio::test]
async fn entras_custom_attribute_is_kept_once_it_is_declared() {
    const URN: &str = "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User";
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let path = format!("/Users/{}", gateway.user(&to, "ada@example.com").await);
    let add = patch(json!([{"op": "Add", "path": format!("{URN}:CustomAttribute"), "value": "701984"}]));
    let ignored = gateway.scim(&to, "PATCH", &path, Some(add.clone())).await.expect(200).json();
    assert_eq!((ignored.get(URN), &ignored["schemas"]), (None, &json!([USER])));
    let schema = json!({"attributes": [{"resource_type": "User", "schema": URN, "name": "CustomAttribute"}]});
    gateway.admin("PATCH", &format!("/instances/{}", to.id), Some(json!({"schema": schema}))).await.expect(200);
    let kept = gateway.scim(&to, "PATCH", &path, Some(add)).await.expect(200).json();
    assert_eq!((&kept[URN], &kept["schemas"]), (&json!({"CustomAttribute": "701984"}), &json!([USER, URN]))); // 15, 16
    let remove = patch(json!([{"op": "Remove", "path": format!("{URN}:customattribute")}]));
    let gone = gateway.scim(&to, "PATCH", &path, Some(remove)).await.expect(200).json();
    assert_eq!((gone.get(URN), &gone["schemas"]), (None, &json!([USER]))); // 16
}
