//! The catalogue as Cedar entities. They are made once, when the bundle is compiled; a question adds only the
//! roles of its principal and the thing it is about.
//!
//! The people of directories are not in the bundle: their entities are made when they are asked about, from the book.
//!
//! An entity carries all its ancestors as parents, so that nothing but the entities that a policy can reach
//! from the question needs to be handed to Cedar.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use countersign_core::catalogue::{Catalogue, Impact, Principal, PrincipalKind, Recording, Resource, Role};
use countersign_core::directory::Account;
use countersign_core::question::Target;
use countersign_core::{Book, GroupId, PersonId, PrincipalId, ResourceId, RoleId};

use crate::actions::{ACTIONS, lineage};
use crate::case::duration;
use crate::schema::GATEWAY;
use crate::scope::Party;

/// Why the entities of a bundle cannot be made. Names are checked before, so this is not about the bundle.
pub(crate) type Impossible = Box<dyn std::error::Error>;

/// Every entity of a bundle.
#[derive(Debug)]
pub(crate) struct World {
    types: Types,
    principals: BTreeMap<PrincipalId, Known>,
    roles: BTreeMap<RoleId, Known>,
    resources: BTreeMap<ResourceId, Known>,
    actions: BTreeMap<&'static str, Known>,
    gateway: Known,
    /// For each group that a directory fills: itself, and every group whose members its members are.
    filled: BTreeMap<GroupId, BTreeSet<EntityUid>>,
    /// All of them, for policies that name something beside the question.
    named: BTreeMap<EntityUid, Entity>,
}

/// An entity as far as the bundle knows it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) party: Party,
    pub(crate) entity: Entity,
    attributes: Vec<(String, RestrictedExpression)>,
    owner: Option<PrincipalId>,
}

/// One side of a question, with what Cedar must know of it, itself first.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) party: Party,
    pub(crate) entities: Vec<Entity>,
}

#[derive(Debug)]
struct Types {
    user: EntityTypeName,
    service: EntityTypeName,
    agent: EntityTypeName,
    group: EntityTypeName,
    role: EntityTypeName,
    resource: EntityTypeName,
    request: EntityTypeName,
    grant: EntityTypeName,
    session: EntityTypeName,
    gateway: EntityTypeName,
    action: EntityTypeName,
}

impl World {
    pub(crate) fn new(catalogue: &Catalogue) -> Result<Self, Impossible> {
        let types = Types::new()?;
        let gateway = Known::new("Gateway", uid(&types.gateway, GATEWAY), BTreeSet::new(), Vec::new())?;
        let mut world = Self {
            types,
            principals: BTreeMap::new(),
            roles: BTreeMap::new(),
            resources: BTreeMap::new(),
            actions: BTreeMap::new(),
            gateway,
            filled: BTreeMap::new(),
            named: BTreeMap::new(),
        };
        world.add_actions()?;
        world.add_principals(catalogue)?;
        for (id, role) in &catalogue.roles {
            world.roles.insert(id.clone(), world.role(id, role, catalogue)?);
        }
        for (id, resource) in &catalogue.resources {
            world.resources.insert(id.clone(), world.resource(id, resource, catalogue)?);
        }
        world.add_named(catalogue);
        world.add_filled(catalogue);
        Ok(world)
    }

    /// The principal of a question, in its groups and in `roles`.
    pub(crate) fn principal(&self, book: &Book, id: &PrincipalId, roles: &BTreeSet<RoleId>) -> Option<Asked> {
        let known = self.known(book, id)?;
        let mut party = known.party.clone();
        party.within.extend(roles.iter().map(|role| uid(&self.types.role, role.as_str())));
        let entity = if roles.is_empty() {
            known.entity.clone()
        } else {
            entity(&party, known.attributes.clone()).ok()?
        };
        let owner = known.owner.as_ref().and_then(|owner| self.known(book, owner));
        let entities = [entity].into_iter().chain(owner.map(|owner| owner.entity.clone())).collect();
        Some(Asked { party, entities })
    }

    /// A principal as the bundle knows it, or its directory does; one that both know is in the groups of both.
    fn known(&self, book: &Book, id: &PrincipalId) -> Option<Cow<'_, Known>> {
        let Some(account) = book.account(id) else { return self.principals.get(id).map(Cow::Borrowed) };
        let within: BTreeSet<EntityUid> = self.groups_of(account).cloned().collect();
        match self.principals.get(id) {
            Some(known) if within.is_subset(&known.party.within) => Some(Cow::Borrowed(known)),
            Some(known) => {
                let mut known = known.clone();
                known.party.within.extend(within);
                known.entity = entity(&known.party, known.attributes.clone()).ok()?;
                Some(Cow::Owned(known))
            }
            None => {
                let found = book.catalogue.principals.get(id)?;
                self.known_principal(id, found, within).ok().map(Cow::Owned)
            }
        }
    }

    fn groups_of(&self, account: &Account) -> impl Iterator<Item = &EntityUid> {
        let groups = account.groups.iter().filter(|_| account.is_active);
        groups.filter_map(|group| self.filled.get(group)).flatten()
    }

    /// What a question is about.
    ///
    /// # Errors
    /// The thing does not exist in this bundle, in words.
    pub(crate) fn target(&self, book: &Book, target: &Target) -> Result<Asked, String> {
        let known = match target {
            Target::Resource(id) => {
                Cow::Borrowed(self.resources.get(id).ok_or_else(|| format!("there is no resource `{id}`"))?)
            }
            Target::Role(id) => {
                Cow::Borrowed(self.roles.get(id).ok_or_else(|| format!("there is no role `{id}`"))?)
            }
            Target::Principal(id) => {
                self.known(book, id).ok_or_else(|| format!("there is no principal `{id}`"))?
            }
            Target::Gateway => Cow::Borrowed(&self.gateway),
            Target::Request { .. } | Target::Grant { .. } | Target::Session { .. } => {
                return self.minted(target).map_err(|error| error.to_string());
            }
        };
        let owner = known.owner.as_ref().and_then(|owner| self.known(book, owner));
        let entities = [&known].into_iter().chain(&owner).map(|one| one.entity.clone()).collect();
        Ok(Asked { party: known.party.clone(), entities })
    }

    pub(crate) fn action(&self, name: &str) -> Option<&Known> {
        self.actions.get(name)
    }

    pub(crate) fn named(&self, uid: &EntityUid) -> Option<&Entity> {
        self.named.get(uid)
    }

    /// Things that have identifiers instead of names.
    fn minted(&self, target: &Target) -> Result<Asked, Impossible> {
        let of = |principal: &PrincipalId, person: &PersonId| {
            let whose = [("principal", principal.as_str()), ("person", person.as_str())];
            whose.map(|(name, value)| (name.to_owned(), text(value)))
        };
        let types = &self.types;
        let (known, role) = match target {
            Target::Request { id, principal, person, action } => {
                let action = ("action".to_owned(), text(action.as_str()));
                let attributes = of(principal, person).into_iter().chain([action]).collect();
                let uid = uid(&types.request, &id.to_string());
                (Known::new("Request", uid, BTreeSet::new(), attributes)?, None)
            }
            Target::Grant { id, principal, person, role } => {
                let held = RestrictedExpression::new_entity_uid(uid(&types.role, role.as_str()));
                let attributes =
                    of(principal, person).into_iter().chain([("role".to_owned(), held)]).collect();
                let uid = uid(&types.grant, &id.to_string());
                (Known::new("Grant", uid, BTreeSet::new(), attributes)?, self.roles.get(role))
            }
            Target::Session { id, principal, person } => {
                let uid = uid(&types.session, &id.to_string());
                let attributes = of(principal, person).to_vec();
                (Known::new("Session", uid, BTreeSet::new(), attributes)?, None)
            }
            Target::Resource(_) | Target::Role(_) | Target::Principal(_) | Target::Gateway => {
                (self.gateway.clone(), None)
            }
        };
        let entities = [known.entity].into_iter().chain(role.map(|role| role.entity.clone())).collect();
        Ok(Asked { party: known.party, entities })
    }

    fn add_actions(&mut self) -> Result<(), Impossible> {
        for spec in ACTIONS {
            let names = lineage(spec).into_iter().skip(1);
            let within = names.map(|name| uid(&self.types.action, name)).collect();
            let known = Known::new("Action", uid(&self.types.action, spec.name), within, Vec::new())?;
            self.actions.insert(spec.name, known);
        }
        Ok(())
    }

    fn add_principals(&mut self, catalogue: &Catalogue) -> Result<(), Impossible> {
        let mut groups: BTreeMap<&PrincipalId, BTreeSet<EntityUid>> = BTreeMap::new();
        for group in catalogue.groups.keys() {
            let group_uid = uid(&self.types.group, group.as_str());
            for member in catalogue.members(group) {
                groups.entry(member).or_default().insert(group_uid.clone());
            }
        }
        for (id, principal) in &catalogue.principals {
            let within = groups.remove(id).unwrap_or_default();
            self.principals.insert(id.clone(), self.known_principal(id, principal, within)?);
        }
        Ok(())
    }

    fn known_principal(
        &self,
        id: &PrincipalId,
        principal: &Principal,
        within: BTreeSet<EntityUid>,
    ) -> Result<Known, Impossible> {
        let (kind, name, owner) = match &principal.kind {
            PrincipalKind::User => ("User", &self.types.user, None),
            PrincipalKind::Service { owner } => ("Service", &self.types.service, Some(owner)),
            PrincipalKind::Agent { owner, .. } => ("Agent", &self.types.agent, Some(owner)),
        };
        let mut attributes = vec![
            ("name".to_owned(), text(id.as_str())),
            ("person".to_owned(), text(principal.person.as_str())),
        ];
        if let Some(owner) = owner {
            let owner = RestrictedExpression::new_entity_uid(uid(&self.types.user, owner.as_str()));
            attributes.push(("owner".to_owned(), owner));
        }
        let mut known = Known::new(kind, uid(name, id.as_str()), within, attributes)?;
        known.owner = owner.cloned();
        Ok(known)
    }

    fn role(&self, id: &RoleId, role: &Role, catalogue: &Catalogue) -> Result<Known, Impossible> {
        let mut attributes = vec![("longest".to_owned(), duration(role.longest))];
        let reached = role.resources.iter().filter_map(|id| catalogue.resources.get(id));
        if let Some(impact) = reached.map(|resource| resource.impact).max() {
            attributes.push(("impact".to_owned(), text(impact.as_str())));
        }
        Known::new("Role", uid(&self.types.role, id.as_str()), BTreeSet::new(), attributes)
    }

    fn resource(
        &self,
        id: &ResourceId,
        resource: &Resource,
        catalogue: &Catalogue,
    ) -> Result<Known, Impossible> {
        let reaching = catalogue.roles.iter().filter(|(_, role)| role.resources.contains(id));
        let within = reaching.map(|(role, _)| uid(&self.types.role, role.as_str())).collect();
        let party = Party { kind: "Resource", uid: uid(&self.types.resource, id.as_str()), within };
        let mut attributes = vec![
            ("kind".to_owned(), text(&resource.kind)),
            ("impact".to_owned(), text(Impact::as_str(resource.impact))),
            ("recording".to_owned(), text(recording(resource.recording))),
        ];
        if let Some(owner) = &resource.owner {
            attributes.push(("owner".to_owned(), text(&owner.to_string())));
        }
        let tags = resource.labels.iter().map(|(key, value)| (key.clone(), text(value)));
        let entity =
            Entity::new_with_tags(party.uid.clone(), attributes.clone(), party.within.clone(), tags)?;
        Ok(Known { party, entity, attributes, owner: None })
    }

    fn add_filled(&mut self, catalogue: &Catalogue) {
        for (group, _) in catalogue.groups.iter().filter(|(_, found)| !found.from.is_empty()) {
            let itself = uid(&self.types.group, group.as_str());
            let above = catalogue
                .groups
                .keys()
                .filter(|above| above != &group && holds(catalogue, above, group, &mut BTreeSet::new()));
            let above = above.map(|above| uid(&self.types.group, above.as_str()));
            self.filled.insert(group.clone(), above.chain([itself]).collect());
        }
    }

    fn add_named(&mut self, catalogue: &Catalogue) {
        for group in catalogue.groups.keys() {
            let above = catalogue
                .groups
                .iter()
                .filter(|(other, _)| *other != group && holds(catalogue, other, group, &mut BTreeSet::new()));
            let within = above.map(|(other, _)| uid(&self.types.group, other.as_str())).collect();
            let uid = uid(&self.types.group, group.as_str());
            self.named.insert(uid.clone(), Entity::new_no_attrs(uid, within));
        }
        let known = self.principals.values().chain(self.roles.values());
        let known = known.chain(self.resources.values()).chain([&self.gateway]);
        self.named.extend(known.map(|one| (one.party.uid.clone(), one.entity.clone())));
    }
}

impl Known {
    fn new(
        kind: &'static str,
        uid: EntityUid,
        within: BTreeSet<EntityUid>,
        attributes: Vec<(String, RestrictedExpression)>,
    ) -> Result<Self, Impossible> {
        let party = Party { kind, uid, within };
        let entity = entity(&party, attributes.clone())?;
        Ok(Self { party, entity, attributes, owner: None })
    }
}

impl Types {
    fn new() -> Result<Self, Impossible> {
        Ok(Self {
            user: "User".parse()?,
            service: "Service".parse()?,
            agent: "Agent".parse()?,
            group: "Group".parse()?,
            role: "Role".parse()?,
            resource: "Resource".parse()?,
            request: "Request".parse()?,
            grant: "Grant".parse()?,
            session: "Session".parse()?,
            gateway: "Gateway".parse()?,
            action: "Action".parse()?,
        })
    }
}

fn entity(party: &Party, attributes: Vec<(String, RestrictedExpression)>) -> Result<Entity, Impossible> {
    Ok(Entity::new_with_tags(party.uid.clone(), attributes, party.within.iter().cloned(), [])?)
}

fn uid(kind: &EntityTypeName, name: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(name))
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

const fn recording(recording: Recording) -> &'static str {
    match recording {
        Recording::BeforeRelease => "before-release",
        Recording::Alongside => "alongside",
    }
}

/// Whether `above` holds the members of `group`, directly or through other groups.
fn holds<'a>(
    catalogue: &'a Catalogue,
    above: &'a countersign_core::GroupId,
    group: &countersign_core::GroupId,
    seen: &mut BTreeSet<&'a countersign_core::GroupId>,
) -> bool {
    if !seen.insert(above) {
        return false;
    }
    let Some(found) = catalogue.groups.get(above) else { return false };
    found.groups.contains(group) || found.groups.iter().any(|next| holds(catalogue, next, group, seen))
}
