//! The OCI hook and the agent together: whose each process is, from the first instruction of its container.

mod crowd;
mod elsewhere;
mod failure;
mod moves;
mod podman;
mod returns;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tetragon_e2e::kit::container::{ACTOR, Owner, PodNames};
use tetragon_e2e::kit::hook::OciHook;
use tetragon_e2e::kit::oci::Bundle;
use tetragon_e2e::kit::{Event, EventExt, Events, exec, exit};
use tetragon_e2e::place::{EVERYWHERE, NATIVE, NATIVE_AND_ONE, OLDEST_AND_NEWEST, Place};
use tetragon_e2e::{Suite, test};

/// What needs no podman.
const PLACES: &[Place] = OLDEST_AND_NEWEST;

pub(crate) fn suite() -> Suite {
    use crowd::{a_container_starts_hardly_later, every_podman_container_is_known_from_its_first_exec};
    use elsewhere::a_runtime_inside_a_container;
    use failure::{a_policy_decides_while_the_agent_is_silent, podman_refuses_while_the_agent_is_absent};
    use moves::{
        a_container_of_a_private_cgroup_namespace, a_first_process_in_a_cgroup_below,
        a_process_that_leaves_its_cgroup, cgroups_made_inside_a_container, executed_into_a_container,
    };
    use podman::{
        a_container_started_again, a_monitor_is_not_its_container, plain_podman_containers_have_their_id,
    };
    use returns::{containers_are_known_to_the_next_agent, podman_containers_survive_an_agent};
    Suite::new(
        "hooks",
        PLACES,
        [
            test!(every_podman_container_is_known_from_its_first_exec)
                .on(NATIVE)
                .within(Duration::from_secs(400)),
            // An emulated machine says nothing about time.
            test!(a_container_starts_hardly_later).on(NATIVE).within(Duration::from_secs(120)),
            test!(plain_podman_containers_have_their_id).on(NATIVE),
            test!(a_container_started_again).on(NATIVE),
            test!(a_monitor_is_not_its_container).on(NATIVE),
            test!(cgroups_made_inside_a_container).on(EVERYWHERE),
            test!(a_container_of_a_private_cgroup_namespace),
            test!(a_first_process_in_a_cgroup_below),
            test!(a_process_that_leaves_its_cgroup).on(EVERYWHERE),
            test!(executed_into_a_container),
            test!(a_runtime_inside_a_container),
            test!(podman_containers_survive_an_agent).on(NATIVE),
            test!(containers_are_known_to_the_next_agent),
            test!(podman_refuses_while_the_agent_is_absent).on(NATIVE),
            test!(a_policy_decides_while_the_agent_is_silent).on(NATIVE_AND_ONE),
        ],
    )
    .with_runtimes()
}

/// A pod of a container, and the bundle with its annotations and the hook under test.
fn hooked(bundle: Bundle, hook: &OciHook) -> Result<(Bundle, Owner)> {
    let pod = PodNames::new("shop", &format!("till-{}", &bundle.id()[..8]))?;
    let owner = Owner { id: bundle.id().to_owned(), pod: Some(pod.clone()) };
    Ok((bundle.pod(&pod).create_runtime_hook(&hook.line())?, owner))
}

/// The exec event of a container's own program by this process, and its exit, once both are there.
fn own_life(events: &Events, pid: u32) -> Result<(Event, Event)> {
    life_of(events, pid, ACTOR)
}

/// The same of another program.
fn life_of(events: &Events, pid: u32, program: &str) -> Result<(Event, Event)> {
    let exit = events.expect(&exit().pid(pid).binary(program))?;
    let execs = events.matching(&exec().pid(pid).binary(program));
    ensure!(execs.len() == 1, "process {pid} executed {program} {} times", execs.len());
    Ok((execs.into_iter().next().context("no exec")?, exit))
}

/// Waits for the exec of a container's program with these arguments.
fn own_exec(events: &Events, arguments: &str) -> Result<Event> {
    events.expect(&exec().binary(ACTOR).arguments(arguments))
}

/// Whether the event's process is the runtime's own work inside the container.
fn is_setup(event: &Event) -> bool {
    event.process().and_then(|process| process.identity.as_ref()).is_some_and(|identity| identity.setup)
}
