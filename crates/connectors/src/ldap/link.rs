//! One connection to the directory, for one call: reading back asks the very server that was told.

use super::directory::Directory;
use super::failed::{code, lost, refused, slow};
use super::note::{Attribute, Group, Person, same};
use super::place::Place;
use super::range;
use crate::TargetError;
use async_trait::async_trait;
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapResult, Mod, Scope, SearchEntry, SearchOptions, StdStream,
    ldap_escape,
};
use secrecy::ExposeSecret;
use std::collections::HashSet;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For one operation.
const LIMIT: Duration = Duration::from_secs(10);
/// What an entry's own id is called, by the servers that have one.
const IDS: [&str; 3] = ["objectGUID", "entryUUID", "nsUniqueId"];
/// More entries than one are a fault; so many are named in it.
const NAMED: i32 = 3;

pub(super) struct Link<'a> {
    ldap: Ldap,
    place: &'a Place,
}

impl<'a> Link<'a> {
    pub async fn open(place: &'a Place) -> Result<Self, TargetError> {
        let opened = async {
            let mut ldap = connect(place).await?;
            let settings = &place.settings;
            let bound =
                ldap.simple_bind(&settings.bind_dn, place.password.expose_secret()).await.map_err(lost)?;
            if bound.rc == 0 { Ok(ldap) } else { Err(refused("signing in", &bound)) }
        };
        let ldap = timeout(CONNECT_LIMIT, opened).await.map_err(|_| slow())??;
        Ok(Self { ldap, place })
    }

    /// A handle of its own on the same connection.
    fn handle(&self) -> Ldap {
        let mut handle = self.ldap.clone();
        handle.with_timeout(LIMIT);
        handle
    }

    async fn search(
        &self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
    ) -> Result<(Vec<SearchEntry>, LdapResult), TargetError> {
        let mut handle = self.handle();
        let options = SearchOptions::new().sizelimit(NAMED);
        let searching = handle.with_search_options(options).search(base, scope, filter, attributes);
        // The handle's own limit is for the time between two entries.
        let found = timeout(LIMIT, searching).await.map_err(|_| slow())?.map_err(lost)?;
        let entries = found.0.into_iter().filter(|e| !e.is_ref() && !e.is_intermediate());
        Ok((entries.map(SearchEntry::construct).collect(), found.1))
    }

    /// The entry of this very name. `None` only when the directory says what there is instead of it: one that hides
    /// an entry answers as if there were none, too, and that must not pass for its being gone.
    async fn entry(&self, dn: &str, attributes: &[&str]) -> Result<Option<SearchEntry>, TargetError> {
        let (entries, result) = self.search(dn, Scope::Base, "(objectClass=*)", attributes).await?;
        match (entries.into_iter().next(), result.rc) {
            (Some(entry), 0) => Ok(Some(entry)),
            (None, code::NO_SUCH_OBJECT) if !result.matched.is_empty() => Ok(None),
            (None, 0 | code::NO_SUCH_OBJECT) => {
                Err(TargetError::Refused(format!("{dn} is not there, or bind_dn may not see it")))
            }
            _ => Err(refused(dn, &result)),
        }
    }

    /// The entry with this id, wherever it is.
    async fn by_id(&self, id: &str, hint: Option<&str>) -> Result<Option<SearchEntry>, TargetError> {
        let attributes = attributes();
        let mut bases: Vec<String> = hint.map(str::to_owned).into_iter().collect();
        let (root, result) = self.search("", Scope::Base, "(objectClass=*)", &["namingContexts"]).await?;
        if result.rc != 0 {
            return Err(refused("the root entry", &result));
        }
        bases.extend(root.into_iter().flat_map(|e| values(&e, "namingContexts")));
        for base in bases.iter().filter(|base| !base.is_empty()) {
            let (entries, result) = self.search(base, Scope::Subtree, id, &attributes).await?;
            match (entries.into_iter().next(), result.rc) {
                (Some(entry), _) => return Ok(Some(entry)),
                // Some contexts are not for everybody, such as Active Directory's configuration.
                (None, 0 | code::NO_SUCH_OBJECT | code::NO_RIGHTS | code::REFERRAL) => {}
                (None, _) => return Err(refused(base, &result)),
            }
        }
        Ok(None)
    }

    async fn modify(&self, group: &Group, mods: Vec<Mod<&str>>) -> Result<LdapResult, TargetError> {
        self.handle().modify(&group.dn, mods).await.map_err(lost)
    }
}

/// Connects and encrypts.
async fn connect(place: &Place) -> Result<Ldap, TargetError> {
    let away = |e: std::io::Error| TargetError::Unreachable(e.to_string());
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await.map_err(away)?;
    // An operation that left this machine is at the server in that time, or never: not after the job's lease went to
    // someone else.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(CONNECT_LIMIT)).map_err(away)?;
    stream.set_nodelay(true).map_err(away)?;
    let mut settings = LdapConnSettings::new()
        .set_starttls(place.settings.starttls)
        .set_std_stream(StdStream::Tcp(stream.into_std().map_err(away)?));
    if let Some(tls) = &place.tls {
        settings = settings.set_config(tls.clone());
    }
    let (connection, ldap) =
        LdapConnAsync::from_url_with_settings(settings, &place.url).await.map_err(lost)?;
    // Ends when the last handle is dropped.
    tokio::spawn(connection.drive());
    Ok(ldap)
}

#[async_trait]
impl Directory for Link<'_> {
    async fn person(&self, handle: &str) -> Result<Person, TargetError> {
        let (filter, base) = (self.place.filter(handle), &self.place.settings.base);
        let (entries, result) = self.search(base, Scope::Subtree, &filter, &attributes()).await?;
        if !matches!(result.rc, 0 | code::SIZE_LIMIT) {
            return Err(refused(&format!("looking for {filter} in {base}"), &result));
        }
        match entries.as_slice() {
            [entry] if result.rc == 0 => {
                if same(&entry.dn, &self.place.settings.bind_dn) {
                    let text = format!("{filter} finds the entry that Gatepass itself signs in as");
                    return Err(TargetError::Configuration(text));
                }
                person(entry)
            }
            [] => Err(TargetError::Configuration(format!(
                "no entry in {base} matches {filter}, expected exactly one"
            ))),
            several => {
                let names: Vec<&str> = several.iter().map(|e| e.dn.as_str()).collect();
                let more = if result.rc == code::SIZE_LIMIT { " and more" } else { "" };
                Err(TargetError::Configuration(format!(
                    "{}{more} all match {filter} in {base}, expected exactly one",
                    names.join("; ")
                )))
            }
        }
    }

    async fn group(&self, dn: &str) -> Result<Group, TargetError> {
        let mut attributes = attributes();
        attributes.push("objectClass");
        let missing =
            || TargetError::Configuration(format!("the directory has no group {dn} that bind_dn can see"));
        let entry = match self.entry(dn, &attributes).await {
            Ok(entry) => entry.ok_or_else(missing)?,
            Err(TargetError::Refused(_)) => return Err(missing()),
            Err(error) => return Err(error),
        };
        let classes = values(&entry, "objectClass");
        let is = |class: &str| classes.iter().any(|c| c.eq_ignore_ascii_case(class));
        let attribute = if is("groupOfNames") || is("group") {
            Attribute::Member
        } else if is("groupOfUniqueNames") {
            Attribute::UniqueMember
        } else if is("posixGroup") {
            Attribute::MemberUid
        } else {
            let text = format!(
                "{dn} is no group that Gatepass knows, expected a groupOfNames, groupOfUniqueNames, posixGroup or \
                 Active Directory group"
            );
            return Err(TargetError::Configuration(text));
        };
        Ok(Group { id: id(&entry)?, dn: entry.dn, attribute })
    }

    async fn person_now(&self, known: &Person) -> Result<Option<Person>, TargetError> {
        self.by_id(&known.id, Some(&self.place.settings.base)).await?.map(|e| person(&e)).transpose()
    }

    async fn group_now(&self, known: &Group) -> Result<Option<Group>, TargetError> {
        let there = self.entry(&known.dn, &attributes()).await?;
        if there.is_some_and(|entry| id(&entry).is_ok_and(|id| id == known.id)) {
            return Ok(Some(known.clone()));
        }
        // Renamed, or deleted, and maybe another made in its place.
        let moved = self.by_id(&known.id, None).await?;
        Ok(moved.map(|entry| Group { dn: entry.dn, ..known.clone() }))
    }

    async fn has(&self, group: &Group, value: &str) -> Result<bool, TargetError> {
        // A comparison is either answered or refused; a search that may not look finds nothing.
        let compared = self.handle().compare(&group.dn, group.attribute.name(), value).await.map_err(lost)?.0;
        match compared.rc {
            6 => Ok(true),
            5 | code::NO_SUCH_ATTRIBUTE => Ok(false),
            _ => Err(refused(&format!("reading the members of {}", group.dn), &compared)),
        }
    }

    async fn add(&self, group: &Group, value: &str) -> Result<(), TargetError> {
        let attribute = group.attribute.name();
        let added = self.modify(group, vec![Mod::Add(attribute, HashSet::from([value]))]).await?;
        if !matches!(added.rc, 0 | code::VALUE_EXISTS | code::ENTRY_EXISTS) {
            return Err(refused(&format!("adding a member to {}", group.dn), &added));
        }
        if group.attribute != Attribute::MemberUid {
            // It may stay if someone else is quicker: it is nobody.
            let nobody = self.place.placeholder(&group.dn);
            if self.handle().compare(&group.dn, attribute, &nobody).await.map_err(lost)?.0.rc == 6 {
                self.modify(group, vec![Mod::Delete(attribute, HashSet::from([nobody.as_str()]))]).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, group: &Group, value: &str) -> Result<(), TargetError> {
        let attribute = group.attribute.name();
        let delete = || Mod::Delete(attribute, HashSet::from([value]));
        let mut deleted = self.modify(group, vec![delete()]).await?;
        if deleted.rc == code::BREAKS_SCHEMA && group.attribute != Attribute::MemberUid {
            // The last one of a group that may not be empty.
            let nobody = self.place.placeholder(&group.dn);
            let add = Mod::Add(attribute, HashSet::from([nobody.as_str()]));
            deleted = self.modify(group, vec![add, delete()]).await?;
            // Two at once: the other one has put it in already.
            if deleted.rc == code::VALUE_EXISTS {
                deleted = self.modify(group, vec![delete()]).await?;
            }
            if deleted.rc != 0 && self.has(group, value).await? {
                let what =
                    format!("the last member of {} can't give way to the placeholder {nobody}", group.dn);
                return Err(refused(&what, &deleted));
            }
        }
        if matches!(deleted.rc, 0 | code::NO_SUCH_ATTRIBUTE) || !self.has(group, value).await? {
            return Ok(());
        }
        Err(refused(&format!("removing a member from {}", group.dn), &deleted))
    }

    async fn members(&self, group: &Group) -> Result<Vec<String>, TargetError> {
        let mut members = Vec::new();
        let mut asked = group.attribute.name().to_owned();
        loop {
            let entry = self
                .entry(&group.dn, &[&asked])
                .await?
                .ok_or_else(|| TargetError::Refused(format!("{} went away while it was read", group.dn)))?;
            let (values, next) = range::read(entry.attrs, group.attribute.name());
            members.extend(values);
            match next {
                Some(next) => asked = next,
                None => break,
            }
        }
        let nobody = self.place.placeholder(&group.dn);
        members.retain(|member| !same(member, &nobody));
        Ok(members)
    }
}

fn attributes() -> Vec<&'static str> {
    IDS.into_iter().chain(["uid"]).collect()
}

/// Values that are text; names of attributes have no case.
fn values(entry: &SearchEntry, attribute: &str) -> Vec<String> {
    let named = entry.attrs.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
    named.map(|(_, values)| values.clone()).unwrap_or_default()
}

/// A filter for the entry's own id. Binary ones may be text by accident.
fn id(entry: &SearchEntry) -> Result<String, TargetError> {
    for name in IDS {
        if let Some(value) = values(entry, name).first() {
            let escaped: String = match name {
                "objectGUID" => hex(value.as_bytes()),
                _ => ldap_escape(value.as_str()).into_owned(),
            };
            return Ok(format!("({name}={escaped})"));
        }
        let binary = entry.bin_attrs.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        if let Some(value) = binary.and_then(|(_, values)| values.first()) {
            return Ok(format!("({name}={})", hex(value)));
        }
    }
    let text = format!("bind_dn may not read the id (entryUUID) of {}", entry.dn);
    Err(TargetError::Configuration(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("\\{b:02x}")).collect()
}

fn person(entry: &SearchEntry) -> Result<Person, TargetError> {
    let uid = match values(entry, "uid").as_slice() {
        [uid] => Some(uid.clone()),
        _ => None,
    };
    Ok(Person { id: id(entry)?, dn: entry.dn.clone(), uid })
}
