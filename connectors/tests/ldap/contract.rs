//! The contract kit over the connector, with each kind of lock and group.

use connector_sdk::kit;
use serde_json::{Value, json};

use crate::slapd::{Options, SUFFIX, installed};
use crate::world::{Directory, Wire};

async fn keeps_the_contract(what: &str, options: Options, wire: Wire, more: Value) {
    if !installed() {
        return;
    }
    let more = &more;
    let report = kit::run(|| async move { Directory::subject(&Directory::new(options, wire, more)) }).await;
    println!("{what}\n{report}\n");
    assert!(report.failed.is_empty(), "{what} breaks the contract:\n{report}");
    assert!(!report.passed.is_empty(), "{what}: nothing was played");
}

#[tokio::test]
async fn a_plain_openldap_keeps_the_contract() {
    keeps_the_contract("OpenLDAP, attribute", Options::default(), Wire::Ldaps, json!({})).await;
}

#[tokio::test]
async fn an_openldap_with_overlays_keeps_the_contract() {
    let options = Options { overlays: true, ..Options::default() };
    let more = json!({ "lock": "pwd_account_locked_time" });
    keeps_the_contract("OpenLDAP, ppolicy, memberof, refint", options, Wire::StartTls, more).await;
}

#[tokio::test]
async fn moving_and_unique_names_keep_the_contract() {
    let more = json!({
        "lock": "move", "lock_base": format!("ou=locked,{SUFFIX}"), "group_class": "groupOfUniqueNames",
        "placeholder_member": "cn=nobody",
    });
    keeps_the_contract("OpenLDAP, move, groupOfUniqueNames", Options::default(), Wire::Plain, more).await;
}

#[tokio::test]
async fn deleting_and_posix_groups_keep_the_contract() {
    let more = json!({ "lock": "delete", "group_class": "posixGroup" });
    keeps_the_contract("OpenLDAP, delete, posixGroup", Options::default(), Wire::Ldaps, more).await;
}

#[tokio::test]
async fn active_directorys_attributes_keep_the_contract() {
    let options = Options { active_directory: true, ..Options::default() };
    let more = json!({ "directory": "active_directory", "id_attribute": "entryUUID", "lock": "uac",
        // Active Directory's person needs no sn; OpenLDAP's does.
        "attributes": "sn={name.familyName|displayName|userName}",
    });
    keeps_the_contract("Active Directory's attributes on OpenLDAP", options, Wire::Ldaps, more).await;
}
