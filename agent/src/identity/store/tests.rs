use std::io;
use std::sync::Arc;

use tempfile::TempDir;
use tetragon_api::tetragon::{
    CreateContainer, ListContainersRequest, RemoveContainer, RuntimeHookRequest, RuntimeHookResponse,
    RuntimeHookStage, RuntimeHookState, runtime_hook_request::Event,
};
use zerocopy::FromZeros;

use tetragon_bpf::records::{ContainerState, container_flags, identity_flags};

use super::super::{HookError, Journal, Selector};
use super::*;

const POD: &str = "/kubepods/pod6f3e2a14-9d1b-4c5e-8a77-0123456789ab";

/// The kernel's maps as they would be.
#[derive(Default, Clone)]
struct Maps(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    cgroups: BTreeMap<CgroupId, Identity>,
    announced: BTreeMap<String, Identity>,
    states: BTreeMap<ContainerNumber, ContainerState>,
}

impl IdentityMaps for Maps {
    fn set_cgroup(&mut self, cgroup: CgroupId, identity: Identity) -> io::Result<()> {
        self.0.lock().unwrap().cgroups.insert(cgroup, identity);
        Ok(())
    }
    fn remove_cgroup(&mut self, cgroup: CgroupId) -> io::Result<()> {
        self.0.lock().unwrap().cgroups.remove(&cgroup);
        Ok(())
    }
    fn announce(&mut self, leaf: &str, identity: Identity) -> io::Result<()> {
        self.0.lock().unwrap().announced.insert(leaf.to_owned(), identity);
        Ok(())
    }
    fn unannounce(&mut self, leaf: &str) -> io::Result<()> {
        self.0.lock().unwrap().announced.remove(leaf);
        Ok(())
    }
    fn set_state(&mut self, container: ContainerNumber, state: ContainerState) -> io::Result<()> {
        self.0.lock().unwrap().states.insert(container, state);
        Ok(())
    }
    fn remove_state(&mut self, container: ContainerNumber) -> io::Result<()> {
        self.0.lock().unwrap().states.remove(&container);
        Ok(())
    }
}

/// A store whose hierarchy is a directory.
struct World {
    root: TempDir,
    processes: TempDir,
    store: Store,
    maps: Maps,
}

impl World {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let processes = TempDir::new().unwrap();
        let fs = CgroupFs::in_directory(root.path(), processes.path());
        let store = Store::new(Some(fs), Options::default()).unwrap();
        let maps = Maps::default();
        store.connect(Box::new(maps.clone()));
        store.policies_are_loaded();
        Self { root, processes, store, maps }
    }

    fn mkdir(&self, path: &str) -> CgroupId {
        std::fs::create_dir_all(self.root.path().join(&path[1..])).unwrap();
        self.store.fs.as_ref().unwrap().id(path).unwrap()
    }

    /// A process in this cgroup.
    fn process(&self, pid: u32, path: &str) {
        let directory = self.processes.path().join(pid.to_string());
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("cgroup"), format!("1:memory:/\n0::{path}\n")).unwrap();
    }

    fn kernel(&self) -> MutexGuard<'_, Contents> {
        self.maps.0.lock().unwrap()
    }

    fn call(&self, stage: RuntimeHookStage, it: CreateContainer) -> Result<RuntimeHookResponse, HookError> {
        let it = CreateContainer { stage: stage.into(), ..it };
        self.store.hook(RuntimeHookRequest { event: Some(Event::CreateContainer(it)) })
    }

    fn docker_and_pod(&self, task: Task<'_>) -> Option<(String, Option<String>)> {
        let resolved = self.store.resolve(task)?;
        Some((resolved.docker, resolved.pod.map(|pod| pod.name.clone())))
    }
}

fn id(n: u32) -> String {
    format!("{n:08x}").repeat(8)
}

fn path(n: u32) -> String {
    format!("{POD}/{}", id(n))
}

fn container(n: u32) -> CreateContainer {
    CreateContainer {
        cgroups_path: path(n),
        container_id: id(n),
        container_name: format!("name-{n}"),
        pod_name: "web".to_owned(),
        pod_namespace: "shop".to_owned(),
        pod_uid: "6f3e2a14-9d1b-4c5e-8a77-0123456789ab".to_owned(),
        pod_labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        runtime_name: "containerd".to_owned(),
        ..CreateContainer::default()
    }
}

fn in_cgroup(cgroup: CgroupId) -> Task<'static> {
    Task { cgroup, identity: Identity::default(), cgroup_name: None }
}

/// What the kernel would tell of a new or gone cgroup.
fn record(action: u32, id: CgroupId, parent: CgroupId, path: &str, identity: Identity) -> CgroupRecord {
    let mut record = CgroupRecord::new_zeroed();
    record.cgroup_id = id.0;
    record.parent_id = parent.0;
    record.identity = identity;
    record.action = action;
    record.path_len = path.len() as u32;
    record.path[..path.len()].copy_from_slice(path.as_bytes());
    record
}

#[test]
fn announce_bind_verify_go_from_name_to_cgroup() {
    let world = World::new();
    let answer = world.call(RuntimeHookStage::Announce, container(1)).unwrap();
    assert_eq!((answer.state(), answer.cgroup_id), (RuntimeHookState::Announced, 0));
    let announced = world.kernel().announced[&id(1)];
    assert_eq!(announced.flags, identity_flags::KNOWN);

    // The kernel ties the new cgroup to what was announced, and says so.
    let cgroup = world.mkdir(&path(1));
    let bound = Identity { flags: announced.flags | identity_flags::BOUND, ..announced };
    world.store.cgroup(&record(cgroup_action::MADE, cgroup, CgroupId(1), &path(1), bound));
    let setup = world.store.resolve(Task { identity: bound, ..in_cgroup(cgroup) }).unwrap();
    let pod = setup.pod.unwrap();
    assert_eq!((&*pod.name, &*pod.namespace, &*pod.workload_kind), ("web", "shop", "Pod"));
    let wire = pod.container.as_ref().unwrap();
    assert_eq!((&*wire.name, &*wire.id), ("name-1", &*format!("containerd://{}", id(1))));
    assert_eq!(setup.docker, id(1)[..31]);

    let answer = world.call(RuntimeHookStage::Verify, container(1)).unwrap();
    assert_eq!((answer.state(), answer.cgroup_id), (RuntimeHookState::Known, cgroup.0));
    let kernel = world.kernel();
    assert!(kernel.announced.is_empty());
    assert_eq!(kernel.cgroups[&cgroup].container, setup.number.0);
    assert_eq!(kernel.states[&setup.number].flags, container_flags::VERIFIED);
}

#[test]
fn an_answer_says_whether_policies_are_loaded() {
    let world = World::new();
    world.store.policies_loaded.store(false, Relaxed);
    world.mkdir(&path(1));
    let answer = world.call(RuntimeHookStage::Verify, container(1)).unwrap();
    assert_eq!(answer.state(), RuntimeHookState::PoliciesPending);
}

#[test]
fn bad_requests_are_refused_with_the_field_and_counted_and_change_nothing() {
    let world = World::new();
    for (change, expected) in [
        (CreateContainer { cgroups_path: String::new(), ..container(1) }, "cgroupsPath: is empty"),
        (CreateContainer { cgroups_path: format!("/a/../{}", id(1)), ..container(1) }, "component \"..\""),
        (CreateContainer { cgroups_path: "/".to_owned(), ..container(1) }, "root of the hierarchy"),
        (CreateContainer { cgroups_path: "nonsense".to_owned(), ..container(1) }, "slice:prefix:name"),
        (container(1), "there is no cgroup"),
        (CreateContainer { stage: 99, ..container(1) }, "stage: 99"),
    ] {
        let stage = if change.stage == 99 { 99 } else { RuntimeHookStage::Verify.into() };
        let change = CreateContainer { stage, ..change };
        let request = RuntimeHookRequest { event: Some(Event::CreateContainer(change)) };
        let error = world.store.hook(request).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    world.mkdir("/system.slice/x");
    let nameless = CreateContainer {
        cgroups_path: "/system.slice/x".to_owned(),
        container_id: String::new(),
        ..container(1)
    };
    let error = world.call(RuntimeHookStage::Verify, nameless).unwrap_err().to_string();
    assert!(error.contains("containerID: is empty"), "{error}");
    assert!(world.store.hook(RuntimeHookRequest::default()).unwrap_err().to_string().contains("event"));

    let status = world.store.status();
    assert_eq!(status.containers, 0);
    let refused: u64 = status.hook_calls.iter().filter(|it| !it.error.is_empty()).map(|it| it.count).sum();
    assert_eq!(refused, 8);
    assert!(world.kernel().cgroups.is_empty());
}

#[test]
fn the_references_clients_need_no_id_and_no_stage() {
    let world = World::new();
    let slice = "kubepods-burstable-pod6f3e2a14_9d1b_4c5e_8a77_0123456789ab.slice";
    let cgroup = world
        .mkdir(&format!("/kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{}.scope", id(1)));
    let request = CreateContainer {
        cgroups_path: format!("{slice}:cri-containerd:{}", id(1)),
        container_id: String::new(),
        ..container(1)
    };
    let answer = world.call(RuntimeHookStage::Unspecified, request).unwrap();
    assert_eq!(answer.cgroup_id, cgroup.0);
    assert_eq!(world.docker_and_pod(in_cgroup(cgroup)).unwrap().0, id(1)[..31]);
}

#[test]
fn nested_cgroups_are_the_containers_whenever_they_are_made() {
    let world = World::new();
    let outer = world.mkdir(&path(1));
    let before = world.mkdir(&format!("{}/init.scope/a", path(1)));
    world.call(RuntimeHookStage::Verify, container(1)).unwrap();
    let after = world.mkdir(&format!("{}/docker/x", path(1)));
    let known = world.kernel().cgroups[&outer];
    let inherited = Identity { flags: known.flags | identity_flags::NESTED, ..known };
    world.store.cgroup(&record(
        cgroup_action::MADE,
        after,
        outer,
        &format!("{}/docker/x", path(1)),
        inherited,
    ));
    for cgroup in [outer, before, after] {
        assert_eq!(world.docker_and_pod(in_cgroup(cgroup)).unwrap().1.as_deref(), Some("web"), "{cgroup:?}");
    }
    assert_eq!(world.kernel().cgroups[&before].flags, identity_flags::KNOWN | identity_flags::NESTED);

    // The child goes, the container stays; the container goes, and is remembered for a while.
    world.store.cgroup(&record(cgroup_action::REMOVED, after, outer, "", inherited));
    assert!(world.docker_and_pod(in_cgroup(after)).is_none());
    assert_eq!(world.store.status().containers, 1);
    // That of init.scope is lost; it cannot be there without the outer one.
    world.store.cgroup(&record(cgroup_action::REMOVED, before, outer, "", inherited));
    world.store.cgroup(&record(cgroup_action::REMOVED, outer, CgroupId(1), "", known));
    assert_eq!(world.store.status().containers, 0);
    let late = Task { identity: known, ..in_cgroup(outer) };
    assert_eq!(world.docker_and_pod(late).unwrap().1.as_deref(), Some("web"), "an event that was on its way");
}

#[test]
fn containers_in_a_container_are_their_own_until_somebody_tells_of_the_outer_one() {
    let inner = |world: &World| {
        let cgroup = world.mkdir(&format!("{}/kubepods/{}", path(1), id(2)));
        world.docker_and_pod(in_cgroup(cgroup)).map(|it| it.0)
    };
    let world = World::new();
    world.mkdir(&path(1));
    inner(&world);
    world.store.scan();
    assert_eq!(inner(&world).as_deref(), Some(&id(2)[..31]));

    let world = World::new();
    world.mkdir(&path(1));
    world.call(RuntimeHookStage::Verify, container(1)).unwrap();
    inner(&world);
    world.store.scan();
    assert_eq!(inner(&world).as_deref(), Some(&id(1)[..31]));
}

#[test]
fn a_cgroup_that_was_not_seen_to_go_is_gone_after_a_scan() {
    let world = World::new();
    let cgroup = world.mkdir(&path(1));
    let nested = world.mkdir(&format!("{}/x", path(1)));
    world.call(RuntimeHookStage::Verify, container(1)).unwrap();
    world.store.scan();
    assert_eq!(world.store.status().cgroups, 2);
    std::fs::remove_dir_all(world.root.path().join(&path(1)[1..])).unwrap();
    world.store.scan();
    assert_eq!((world.store.status().cgroups, world.store.status().containers), (0, 0));
    assert!(!world.kernel().cgroups.contains_key(&cgroup) && !world.kernel().cgroups.contains_key(&nested));
}

#[test]
fn a_cgroup_whose_path_was_cut_is_not_taken_for_gone() {
    let world = World::new();
    let outer = world.mkdir(&path(1));
    world.call(RuntimeHookStage::Verify, container(1)).unwrap();
    let known = world.kernel().cgroups[&outer];
    let inherited = Identity { flags: known.flags | identity_flags::NESTED, ..known };
    let cut = format!("{}/{}", path(1), "x".repeat(1022 - path(1).len()));
    world.store.cgroup(&record(cgroup_action::MADE, CgroupId(u64::MAX), outer, &cut, inherited));
    world.store.scan();
    assert!(world.docker_and_pod(in_cgroup(CgroupId(u64::MAX))).is_some());
}

#[test]
fn a_path_tells_ids_until_somebody_knows_more() {
    let world = World::new();
    let cgroup = world.mkdir(&path(1));
    world.store.scan();
    let seen = world.store.resolve(in_cgroup(cgroup)).unwrap();
    assert!(!seen.complete && seen.pod.is_none());
    assert_eq!(seen.docker, id(1)[..31]);
    let list = world.store.list(&ListContainersRequest::default()).containers;
    assert_eq!(list[0].pod_uid, "6f3e2a14-9d1b-4c5e-8a77-0123456789ab");
    assert_eq!(world.kernel().cgroups[&cgroup].flags, identity_flags::PATH);

    world.store.observe(
        Source::Cri,
        &id(1),
        Facts { pod_name: "web".to_owned(), ..Facts::default() },
        Place::Nowhere,
    );
    let known = world.store.resolve(in_cgroup(cgroup)).unwrap();
    assert!(known.complete && known.number == seen.number);
    assert_eq!(world.kernel().cgroups[&cgroup].flags, identity_flags::KNOWN, "the kernel knows at once");
}

#[test]
fn sources_fill_what_others_lack_and_the_higher_rank_wins_whatever_the_order() {
    let cri = Facts {
        name: "from-cri".to_owned(),
        image: "busybox".to_owned(),
        pod_labels: Some(BTreeMap::from([("v".to_owned(), "cri".to_owned())])),
        ..Facts::default()
    };
    let hook = Facts {
        name: "from-hook".to_owned(),
        pod_name: "web".to_owned(),
        pod_labels: Some(BTreeMap::from([("v".to_owned(), "hook".to_owned())])),
        ..Facts::default()
    };
    let api =
        Facts { pod_labels: Some(BTreeMap::from([("v".to_owned(), "api".to_owned())])), ..Facts::default() };
    let all = [(Source::Cri, cri), (Source::Announce, hook), (Source::Pod, api)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let world = World::new();
        for index in order {
            let (source, facts) = all[index].clone();
            world.store.observe(source, &id(1), facts, Place::Nowhere);
        }
        let list = world.store.list(&ListContainersRequest::default()).containers;
        assert_eq!((&*list[0].name, &*list[0].image, &*list[0].pod_name), ("from-hook", "busybox", "web"));
        assert_eq!(list[0].pod_labels["v"], "api", "{order:?}");
        assert_eq!(world.store.status().conflicts, 1, "the names, in any order");
    }
}

#[test]
fn no_list_of_running_containers_removes_what_a_hook_has_added() {
    let world = World::new();
    let cgroup = world.mkdir(&path(1));
    world.call(RuntimeHookStage::Verify, container(1)).unwrap();
    // CRI and the API list another container only.
    for source in [Source::Cri, Source::Pod] {
        world.store.observe(source, &id(2), Facts::default(), Place::Nowhere);
    }
    world.store.scan();
    assert!(world.docker_and_pod(in_cgroup(cgroup)).unwrap().1.is_some());
    assert!(world.kernel().cgroups.contains_key(&cgroup));
}

#[test]
fn a_container_started_again_has_another_cgroup_and_another_first_process() {
    let world = World::new();
    let first = world.mkdir(&path(1));
    world.process(10, &path(1));
    world.process(20, &path(1));
    world.call(RuntimeHookStage::Verify, CreateContainer { pid: 10, ..container(1) }).unwrap();
    let number = world.store.resolve(in_cgroup(first)).unwrap().number;
    world.store.started(number, prost_types::Timestamp::default());
    std::fs::remove_dir(world.root.path().join(&path(1)[1..])).unwrap();
    world.store.cgroup(&record(cgroup_action::REMOVED, first, CgroupId(1), "", Identity::default()));

    world.mkdir("/elsewhere");
    let second = world.mkdir(&path(1));
    assert_ne!(first, second);
    world.call(RuntimeHookStage::Verify, CreateContainer { pid: 20, ..container(1) }).unwrap();
    let state = world.kernel().states[&number];
    assert_eq!((state.init_tgid, state.flags), (20, container_flags::VERIFIED));
    assert_eq!(world.store.resolve(in_cgroup(second)).unwrap().number, number);
}

#[test]
fn a_process_of_another_namespace_is_not_believed() {
    let world = World::new();
    let cgroup = world.mkdir(&path(1));
    world.mkdir("/system.slice/sshd.service");
    world.process(10, "/system.slice/sshd.service");
    let answer = world.call(RuntimeHookStage::Verify, CreateContainer { pid: 10, ..container(1) }).unwrap();
    assert_eq!(answer.cgroup_id, cgroup.0);
    let number = world.store.resolve(in_cgroup(cgroup)).unwrap().number;
    assert_eq!(world.kernel().states[&number].init_tgid, 0);
}

#[test]
fn a_repeated_verify_does_not_set_a_running_container_back() {
    let world = World::new();
    let cgroup = world.mkdir(&path(1));
    world.call(RuntimeHookStage::Verify, container(1)).unwrap();
    let number = world.store.resolve(in_cgroup(cgroup)).unwrap().number;
    world.store.started(number, prost_types::Timestamp::default());
    world.kernel().states.get_mut(&number).unwrap().flags |= container_flags::STARTED;
    for stage in [RuntimeHookStage::Verify, RuntimeHookStage::Running] {
        world.call(stage, container(1)).unwrap();
        assert_ne!(world.kernel().states[&number].flags & container_flags::STARTED, 0, "{stage:?}");
    }
}

#[test]
fn the_classes_of_the_kernel_follow_policies_and_labels() {
    let world = World::new();
    let cgroup = world.mkdir(&path(1));
    let class = || world.kernel().cgroups[&cgroup].class;
    world.store.scan();
    assert_eq!(class(), tetragon_bpf::records::CLASS_UNIDENTIFIED);
    world.call(RuntimeHookStage::Verify, container(1)).unwrap();
    let none = class();
    let pods = Selector::new([("app".to_owned(), "web".to_owned())], []).unwrap();
    let scope = Scope { namespace: Some("shop".to_owned()), pods: Some(pods), containers: None };
    world.store.set_scope(PolicyId(7), scope);
    let one = class();
    assert_ne!(none, one);
    world.store.observe(
        Source::Pod,
        &id(1),
        Facts { pod_labels: Some(BTreeMap::new()), ..Facts::default() },
        Place::Nowhere,
    );
    assert_eq!(class(), none, "the label is gone");
    world.store.remove_scope(PolicyId(7));
    assert_eq!(class(), none);
}

#[test]
fn a_removed_announcement_leaves_the_kernel() {
    let world = World::new();
    world.call(RuntimeHookStage::Announce, container(1)).unwrap();
    let gone = RemoveContainer { container_id: id(1), ..RemoveContainer::default() };
    world.store.hook(RuntimeHookRequest { event: Some(Event::RemoveContainer(gone)) }).unwrap();
    assert!(world.kernel().announced.is_empty());
    assert_eq!(world.store.status().containers, 0);
}

#[test]
fn announcements_are_bounded_and_the_oldest_goes() {
    let world = World::new();
    for n in 0..=ANNOUNCED_MAX as u32 {
        world.call(RuntimeHookStage::Announce, container(n)).unwrap();
    }
    let kernel = world.kernel();
    assert_eq!(kernel.announced.len(), ANNOUNCED_MAX);
    assert!(!kernel.announced.contains_key(&id(0)));
}

#[test]
fn the_journal_brings_back_what_is_still_there() {
    let world = World::new();
    let cgroup = world.mkdir(&path(1));
    let directory = TempDir::new().unwrap();
    let files = directory.path().join("containers");
    {
        let journal = Journal::open(files.clone()).unwrap();
        for n in [1, 2] {
            let request = RuntimeHookRequest { event: Some(Event::CreateContainer(container(n))) };
            journal.keep(id(n), request);
        }
        journal.keep("../escape".to_owned(), RuntimeHookRequest::default());
    }
    std::fs::write(files.join("broken"), b"\xff\xff").unwrap();
    let journal = Journal::open(files.clone()).unwrap();
    assert_eq!(journal.replay(&world.store), 1);
    assert_eq!(world.docker_and_pod(in_cgroup(cgroup)).unwrap().1.as_deref(), Some("web"));
    let left: Vec<_> = std::fs::read_dir(&files).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, [std::ffi::OsString::from(id(1))]);
    assert!(!directory.path().join("escape").exists());
}
