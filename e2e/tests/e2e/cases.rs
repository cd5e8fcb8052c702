//! Every way a process can begin and end, one test each.

mod arguments;
mod credentials;
mod directories;
mod endings;
mod images;
mod relatives;

use tetragon_e2e::place::EVERYWHERE;
use tetragon_e2e::{Suite, Test};

pub(crate) fn suite() -> Suite {
    let tests: Vec<Test> = [
        arguments::tests(),
        credentials::tests(),
        directories::tests(),
        endings::tests(),
        images::tests(),
        relatives::tests(),
    ]
    .concat();
    Suite::new("cases", EVERYWHERE, tests).sharing_an_agent()
}
