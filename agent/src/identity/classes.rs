//! Which policies apply to which containers. Every container belongs to a class: the set of policies that apply to it.
//! The kernel sees nothing but the number of the class; selectors are evaluated here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::container::Container;
use super::selector::Selector;

/// The pod's namespace, as a label that selectors can ask for.
const NAMESPACE_LABEL: &str = "k8s:io.kubernetes.pod.namespace";

/// Number of a policy, as filters and `tetra` show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyId(pub u32);

/// Number of a set of policies, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClassId(pub u32);

impl ClassId {
    /// Containers that nobody has told of.
    pub(super) const UNIDENTIFIED: Self = Self(tetragon_bpf::records::CLASS_UNIDENTIFIED);
    /// 0 is the host's.
    const FIRST: u32 = Self::UNIDENTIFIED.0 + 1;
}

/// Which containers a policy is for. What is `None` does not restrict it.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only pods of this namespace.
    pub namespace: Option<String>,
    /// Only pods with such labels.
    pub pods: Option<Selector>,
    /// Only containers with such a `name` or `repo` (image without its tag).
    pub containers: Option<Selector>,
}

impl Scope {
    pub(super) fn applies(&self, container: &Container) -> bool {
        let namespace = container.namespace();
        if self.namespace.as_deref().is_some_and(|wanted| wanted != namespace) {
            return false;
        }
        let labels = container.labels();
        let in_pod = self.pods.as_ref().is_none_or(|pods| {
            pods.matches_by(|key| match labels.get(key) {
                Some(value) => Some(value),
                None => (key == NAMESPACE_LABEL).then_some(namespace),
            })
        });
        in_pod
            && self.containers.as_ref().is_none_or(|containers| {
                let (image, _) = container.image();
                containers.matches_by(|key| match key {
                    "name" => Some(container.name()),
                    "repo" => Some(repository(image)),
                    _ => None,
                })
            })
    }
}

/// The image's name without tag and digest; a registry's port is not a tag.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// What has to know the classes before a container is in one.
pub trait ClassRules: Send {
    /// The number stands for this set from now on; the ids ascend.
    fn define(&mut self, class: u32, policies: &Arc<[PolicyId]>);
}

/// The sets of policies that some container has, and the scopes of all policies.
#[derive(Default)]
pub(super) struct Classes {
    rules: Option<Box<dyn ClassRules>>,
    scopes: BTreeMap<PolicyId, Scope>,
    numbers: HashMap<Arc<[PolicyId]>, (ClassId, usize)>,
    free: Vec<ClassId>,
    used: u32,
}

impl Classes {
    /// To be called before there are scopes.
    pub(super) fn connect(&mut self, rules: Box<dyn ClassRules>) {
        self.rules = Some(rules);
    }

    pub(super) fn set_scope(&mut self, policy: PolicyId, scope: Scope) {
        self.scopes.insert(policy, scope);
    }

    pub(super) fn remove_scope(&mut self, policy: PolicyId) {
        self.scopes.remove(&policy);
    }

    pub(super) fn policies_of(&self, container: &Container) -> Vec<PolicyId> {
        self.scopes.iter().filter(|(_, scope)| scope.applies(container)).map(|(id, _)| *id).collect()
    }

    /// Gives the container the class of what applies to it now. Whether that is another one than before.
    pub(super) fn classify(&mut self, container: &mut Container) -> bool {
        let policies = self.policies_of(container);
        if container.class != ClassId::UNIDENTIFIED && *policies == *container.policies {
            return false;
        }
        let key: Arc<[PolicyId]> = policies.into();
        let Self { free, used, rules, numbers, .. } = self;
        let slot = numbers.entry(Arc::clone(&key)).or_insert_with(|| {
            let class = free.pop().unwrap_or_else(|| {
                *used += 1;
                ClassId(ClassId::FIRST + *used - 1)
            });
            if let Some(rules) = rules {
                rules.define(class.0, &key);
            }
            (class, 0)
        });
        slot.1 += 1;
        let class = slot.0;
        // Only now: the number of the old class must not at once mean the new one.
        self.release(container);
        container.class = class;
        container.policies = key;
        true
    }

    /// The container is gone.
    pub(super) fn release(&mut self, container: &mut Container) {
        if container.class == ClassId::UNIDENTIFIED {
            return;
        }
        if let Some((class, users)) = self.numbers.get_mut(&container.policies) {
            *users -= 1;
            if *users == 0 {
                self.free.push(*class);
                self.numbers.remove(&container.policies);
            }
        }
        container.class = ClassId::UNIDENTIFIED;
        container.policies = Arc::default();
    }

    /// Sets that are in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ContainerNumber, Facts, Source};
    use super::*;

    fn container(number: u64, facts: Facts) -> Container {
        let mut container = Container::new(ContainerNumber(number), format!("{number:064}"));
        container.merge(Source::Announce, facts, false);
        container
    }

    fn in_namespace(number: u64, namespace: &str) -> Container {
        container(number, Facts { pod_namespace: namespace.to_owned(), ..Facts::default() })
    }

    fn label(key: &str, value: &str) -> Selector {
        Selector::new([(key.to_owned(), value.to_owned())], []).expect("valid")
    }

    #[test]
    fn scopes_restrict_by_namespace_pod_and_container() {
        let it = container(
            1,
            Facts {
                name: "server".to_owned(),
                image: "registry:5000/team/web:1.2@sha256:00".to_owned(),
                pod_namespace: "shop".to_owned(),
                pod_labels: Some(BTreeMap::from([("app".to_owned(), "web".to_owned())])),
                ..Facts::default()
            },
        );
        let applies = |scope: Scope| scope.applies(&it);
        assert!(applies(Scope::default()));
        assert!(applies(Scope { namespace: Some("shop".to_owned()), ..Scope::default() }));
        assert!(!applies(Scope { namespace: Some("bank".to_owned()), ..Scope::default() }));
        assert!(applies(Scope { pods: Some(label("app", "web")), ..Scope::default() }));
        assert!(applies(Scope { pods: Some(label(NAMESPACE_LABEL, "shop")), ..Scope::default() }));
        assert!(!applies(Scope { pods: Some(label("app", "db")), ..Scope::default() }));
        assert!(applies(Scope { containers: Some(label("name", "server")), ..Scope::default() }));
        assert!(applies(Scope {
            containers: Some(label("repo", "registry:5000/team/web")),
            ..Scope::default()
        }));
        assert!(!applies(Scope { containers: Some(label("name", "sidecar")), ..Scope::default() }));
    }

    #[test]
    fn containers_with_the_same_policies_share_a_class_and_classes_are_used_again() {
        let mut classes = Classes::default();
        for id in 0..1000 {
            let scope = Scope { namespace: Some(format!("ns-{id}")), ..Scope::default() };
            classes.set_scope(PolicyId(id), scope);
        }
        let mut all: Vec<Container> =
            (0..1000).map(|number| in_namespace(number, &format!("ns-{}", number % 100))).collect();
        for it in &mut all {
            assert!(classes.classify(it));
            assert!(!classes.classify(it), "nothing has changed");
        }
        assert_eq!(classes.len(), 100);
        assert_eq!(all[0].class, all[100].class);
        assert_ne!(all[0].class, all[1].class);
        assert_eq!(*all[7].policies, [PolicyId(7)]);

        let freed = all[0].class;
        for it in all.iter_mut().step_by(100) {
            classes.release(it);
        }
        assert_eq!(classes.len(), 99);
        let mut newcomer = in_namespace(2000, "ns-500");
        classes.classify(&mut newcomer);
        assert_eq!(newcomer.class, freed);
    }

    #[test]
    fn a_policy_that_goes_changes_the_class() {
        let mut classes = Classes::default();
        classes.set_scope(PolicyId(1), Scope::default());
        let mut it = in_namespace(1, "a");
        classes.classify(&mut it);
        assert_eq!(*it.policies, [PolicyId(1)]);
        classes.remove_scope(PolicyId(1));
        assert!(classes.classify(&mut it));
        assert!(it.policies.is_empty() && it.class != ClassId::UNIDENTIFIED, "identified, under no policy");
    }
}
