//! Identity providers' recorded sequences through the real binary into a real slapd: what the directory holds in the
//! end is what the client asked for.

#![expect(clippy::panic, reason = "a test reports by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tests::party::{Party, free_port, run};
use tests::replay::Sequence;
use tests::{Db, Gateway, facts};

const SLAPD: &str = "/usr/sbin/slapd";
const SUFFIX: &str = "dc=corp,dc=example";
const ROOT: &str = "cn=admin,dc=corp,dc=example";
const PASSWORD: &str = "s3cret-of-slapd";

const CLIENTS: [&str; 6] = ["okta_oin", "okta_aiw", "entra_optscim", "entra_legacy", "onelogin", "jumpcloud"];

async fn slapd() -> Party {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let place = folder.path().display().to_string();
    std::fs::create_dir(folder.path().join("data")).expect("a folder can be made");
    let schemas = ["core", "cosine", "inetorgperson"].map(|name| format!("include /etc/ldap/schema/{name}.schema\n"));
    let conf = format!(
        "{}modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload memberof\nmoduleload refint\nmoduleload ppolicy\n\
         pidfile {place}/pid\ndatabase mdb\nsuffix \"{SUFFIX}\"\nrootdn \"{ROOT}\"\nrootpw {PASSWORD}\n\
         directory {place}/data\nindex objectClass,entryUUID,uid,mail,cn,member eq\n\
         overlay ppolicy\noverlay memberof\noverlay refint\nrefint_attributes member\n",
        schemas.concat()
    );
    let (conf_file, port) = (folder.path().join("slapd.conf"), free_port());
    std::fs::write(&conf_file, conf).expect("a file can be written");
    let url = format!("ldap://127.0.0.1:{port}/");
    let args = ["-d", "0", "-h", &url, "-f", conf_file.to_str().expect("its name is text")];
    let party = Party::start(Path::new(SLAPD), &args, folder, port).await;
    let ldif = format!(
        "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Corp\ndc: corp\n\n\
         dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: ou=groups,{SUFFIX}\nobjectClass: organizationalUnit\nou: groups\n"
    );
    let file = party.folder().join("base.ldif");
    std::fs::write(&file, ldif).expect("a file can be written");
    tool(&party, "/usr/bin/ldapadd", &["-f", file.to_str().expect("its name is text")]).await;
    party
}

async fn tool(party: &Party, program: &str, more: &[&str]) -> String {
    let url = format!("ldap://127.0.0.1:{}/", party.port);
    let mut args = vec!["-x", "-H", &url, "-D", ROOT, "-w", PASSWORD];
    args.extend(more);
    run(Path::new(program), &args, party.folder()).await
}

/// What a filter finds: names in lower case, with the plain values of each attribute.
async fn entries(party: &Party, base: &str, filter: &str) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let args = ["-LLL", "-o", "ldif-wrap=no", "-b", base, filter, "*", "+"];
    let text = tool(party, "/usr/bin/ldapsearch", &args).await;
    let mut found = BTreeMap::new();
    for block in text.split("\n\n") {
        let mut entry: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, value) in block.lines().filter_map(|line| line.split_once(": ")) {
            entry.entry(name.to_lowercase()).or_default().insert(value.to_owned());
        }
        if let Some(dn) = one(&entry, "dn") {
            found.insert(dn.to_lowercase(), entry);
        }
    }
    found
}

fn one(entry: &BTreeMap<String, BTreeSet<String>>, name: &str) -> Option<String> {
    entry.get(name).and_then(|values| values.first()).cloned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

async fn check(facts: &Path, client: &str) {
    let slapd = slapd().await;
    let gateway = Gateway::start(Db::Sqlite).await;
    let admin = gateway.admin();
    let instance = admin
        .create(json!({
            "name": "Directory",
            "connector": "ldap",
            "settings": {
                "url": format!("ldap://127.0.0.1:{}", slapd.port), "start_tls": false, "bind_dn": ROOT,
                "user_base": format!("ou=people,{SUFFIX}"), "group_base": format!("ou=groups,{SUFFIX}"),
                "lock": "pwd_account_locked_time",
            },
            "secrets": { "password": PASSWORD },
            "mode": "enabled",
        }))
        .await;
    admin.imported(&instance.id).await;
    let played = Sequence::read(facts, client).play(&instance.scim).await;
    assert!(played.ok, "{client}: {}\n{}", played.text, gateway.log());
    admin.settled(&instance.id).await;

    let users = instance.scim.get("/Users?count=100").await;
    let users = users["Resources"].as_array().cloned().unwrap_or_default();
    let people = entries(&slapd, &format!("ou=people,{SUFFIX}"), "(objectClass=inetOrgPerson)").await;
    assert_eq!(people.len(), users.len(), "{client}: {people:#?}\n{users:#?}");
    let mut names = BTreeMap::new();
    for user in &users {
        let login = text(&user["userName"]);
        let (dn, entry) = people
            .iter()
            .find(|(_, entry)| one(entry, "uid").is_some_and(|uid| uid.to_lowercase() == login))
            .unwrap_or_else(|| panic!("{client}: {login} is not at the directory: {people:#?}"));
        names.insert(text(&user["id"]), dn.clone());
        let locked = one(entry, "pwdaccountlockedtime").is_some();
        assert_eq!(locked, user["active"] == false, "{client}: {user}\n{entry:#?}");
        for (path, name) in [("/displayName", "displayname"), ("/name/familyName", "sn"), ("/title", "title")] {
            if let Some(wanted) = user.pointer(path).and_then(Value::as_str) {
                assert_eq!(one(entry, name).as_deref(), Some(wanted), "{client}: {name} of {user}");
            }
        }
        let addresses: BTreeSet<String> =
            user["emails"].as_array().into_iter().flatten().map(|address| text(&address["value"])).collect();
        let shown: BTreeSet<String> =
            entry.get("mail").into_iter().flatten().map(|address| address.to_lowercase()).collect();
        assert!(addresses.is_subset(&shown), "{client}: {addresses:?} {shown:?}");
    }
    let wanted = instance.scim.get("/Groups?count=100").await;
    let wanted = wanted["Resources"].as_array().cloned().unwrap_or_default();
    let held = entries(&slapd, &format!("ou=groups,{SUFFIX}"), "(objectClass=groupOfNames)").await;
    assert_eq!(held.len(), wanted.len(), "{client}: {held:#?}\n{wanted:#?}");
    for group in &wanted {
        let name = text(&group["displayName"]);
        let entry = held
            .values()
            .find(|entry| one(entry, "cn").is_some_and(|cn| cn.to_lowercase() == name))
            .unwrap_or_else(|| panic!("{client}: {name} is not at the directory: {held:#?}"));
        let members: BTreeSet<String> = entry["member"]
            .iter()
            .map(|member| member.to_lowercase())
            .filter(|member| !member.starts_with("cn=nobody"))
            .collect();
        let whole = instance.scim.get(&format!("/Groups/{}", group["id"].as_str().unwrap_or_default())).await;
        // A member who is not active has no membership at the target.
        let active = |id: &String| users.iter().any(|user| text(&user["id"]) == *id && user["active"] != false);
        let asked: BTreeSet<String> = whole["members"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|member| text(&member["value"]))
            .filter(active)
            .filter_map(|id| names.get(&id).cloned())
            .collect();
        assert_eq!(members, asked, "{client}: members of {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_clients_end_state_is_at_the_directory() {
    let Some(facts) = facts("every_clients_end_state_is_at_the_directory") else { return };
    if !Path::new(SLAPD).exists() {
        eprintln!("skipped: every_clients_end_state_is_at_the_directory: slapd and ldap-utils are not installed");
        return;
    }
    for client in CLIENTS {
        check(&facts, client).await;
    }
}
