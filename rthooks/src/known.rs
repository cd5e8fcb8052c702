//! The containers that exist, and what of them the agent has been told.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tetragon_api::tetragon::{CreateContainer, RuntimeHookStage as Stage};
use tokio::sync::Notify;

/// The containers and sandboxes that exist, by id.
#[derive(Debug, Default)]
pub(crate) struct Known {
    entries: Mutex<HashMap<String, Entry>>,
    /// Something is there that the agent may not know.
    pub(crate) changed: Notify,
}

#[derive(Debug)]
struct Entry {
    container: CreateContainer,
    started: bool,
    /// To which generation of the agent it was told, as it is now.
    told: Option<u64>,
    /// Some agent has taken it, in some form.
    taken: bool,
    /// Grows with each change, so that what was told is known to be the latest.
    revision: u64,
}

/// What the agent is to be told about one container.
#[derive(Debug)]
pub(crate) struct Untold {
    pub(crate) id: String,
    pub(crate) container: CreateContainer,
    pub(crate) stage: Stage,
    revision: u64,
}

impl Known {
    /// Remembers a container as it is now. `told`: the generation of the agent that has taken just this.
    pub(crate) fn put(&self, container: CreateContainer, started: bool, told: Option<u64>) {
        let mut entries = self.lock();
        let id = container.container_id.clone();
        let (taken, revision) = entries.get(&id).map_or((false, 0), |old| (old.taken, old.revision + 1));
        let entry = Entry { container, started, told, taken: taken || told.is_some(), revision };
        entries.insert(id, entry);
        drop(entries);
        // Also if told: by now the agent may be another one.
        self.changed.notify_one();
    }

    /// Whether any agent has taken the container.
    pub(crate) fn was_taken(&self, id: &str) -> bool {
        self.lock().get(id).is_some_and(|entry| entry.taken)
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Forgets a container; false if it was not known.
    pub(crate) fn remove(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Everything that exists, as the runtime tells it: what is not among it is forgotten and returned, and what was
    /// created or started without us is counted.
    pub(crate) fn synchronize(&self, all: Vec<(CreateContainer, bool)>) -> (Vec<String>, usize) {
        let mut entries = self.lock();
        let ids: HashSet<String> = all.iter().map(|(container, _)| container.container_id.clone()).collect();
        let gone: Vec<String> = entries.keys().filter(|id| !ids.contains(*id)).cloned().collect();
        for id in &gone {
            entries.remove(id);
        }
        let mut missed = 0;
        for (container, started) in all {
            let id = container.container_id.clone();
            match entries.get_mut(&id) {
                None => {
                    missed += 1;
                    let entry = Entry { container, started, told: None, taken: false, revision: 0 };
                    entries.insert(id, entry);
                }
                Some(entry) if started && !entry.started => {
                    missed += 1;
                    let (taken, revision) = (entry.taken, entry.revision + 1);
                    *entry = Entry { container, started, told: None, taken, revision };
                }
                Some(_) => {}
            }
        }
        drop(entries);
        self.changed.notify_one();
        (gone, missed)
    }

    /// What the agent of this generation has not been told.
    pub(crate) fn untold(&self, generation: u64) -> Vec<Untold> {
        let entries = self.lock();
        entries
            .iter()
            .filter(|(_, entry)| entry.told != Some(generation))
            .map(|(id, entry)| Untold {
                id: id.clone(),
                container: entry.container.clone(),
                stage: if entry.started { Stage::Running } else { Stage::Announce },
                revision: entry.revision,
            })
            .collect()
    }

    /// How many the agent that is there, if any, has not been told.
    pub(crate) fn untold_count(&self, generation: Option<u64>) -> usize {
        self.lock().values().filter(|entry| entry.told.is_none() || entry.told != generation).count()
    }

    /// The agent of this generation has answered to just this; `taken` tells how.
    pub(crate) fn told(&self, untold: &Untold, generation: u64, taken: bool) {
        if let Some(entry) = self.lock().get_mut(&untold.id)
            && entry.revision == untold.revision
        {
            entry.told = Some(generation);
            entry.taken |= taken;
        }
    }

    /// Forgets a container that has ended, unless there is news of it.
    pub(crate) fn ended(&self, untold: &Untold) {
        let mut entries = self.lock();
        if entries.get(&untold.id).is_some_and(|entry| entry.revision == untold.revision) {
            entries.remove(&untold.id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str) -> CreateContainer {
        CreateContainer { container_id: id.to_owned(), ..CreateContainer::default() }
    }

    fn ids(untold: &[Untold]) -> Vec<&str> {
        let mut ids: Vec<&str> = untold.iter().map(|it| it.id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn another_generation_of_the_agent_knows_nothing() {
        let known = Known::default();
        known.put(container("told"), true, Some(1));
        known.put(container("missed"), true, None);
        assert_eq!(ids(&known.untold(1)), ["missed"]);
        assert_eq!(ids(&known.untold(2)), ["missed", "told"]);
        assert!(known.was_taken("told") && !known.was_taken("missed"));
        for untold in known.untold(2) {
            known.told(&untold, 2, true);
        }
        assert_eq!((known.untold_count(Some(2)), known.untold_count(None)), (0, 2));
        assert!(known.was_taken("missed"));
    }

    #[test]
    fn the_stage_is_that_of_the_container_now() {
        let known = Known::default();
        known.put(container("a"), false, None);
        assert_eq!(known.untold(1)[0].stage, Stage::Announce);
        known.put(container("a"), true, None);
        assert_eq!(known.untold(1)[0].stage, Stage::Running);
    }

    #[test]
    fn news_outlive_the_answer_to_what_was_before() {
        let known = Known::default();
        known.put(container("a"), false, None);
        let old = known.untold(1).remove(0);
        known.put(container("a"), true, None);
        known.told(&old, 1, true);
        known.ended(&old);
        assert_eq!(ids(&known.untold(1)), ["a"]);
        known.ended(&known.untold(1)[0]);
        assert_eq!(known.len(), 0);
    }

    #[test]
    fn a_synchronization_adds_what_is_new_and_drops_what_is_gone() {
        let known = Known::default();
        known.put(container("stays"), true, Some(1));
        known.put(container("starts"), false, Some(1));
        known.put(container("goes"), true, Some(1));
        let all = ["stays", "starts", "new"].map(|id| (container(id), true)).into();
        assert_eq!(known.synchronize(all), (vec!["goes".to_owned()], 2));
        assert_eq!(ids(&known.untold(1)), ["new", "starts"]);
        assert!(known.was_taken("starts") && known.contains("new") && !known.contains("goes"));
    }
}
