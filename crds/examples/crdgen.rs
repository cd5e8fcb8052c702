//! Writes the definitions of the custom resources into `crds/yaml/`.

use std::error::Error;
use std::fs;
use std::path::Path;

use tetragon_crds::crd;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    for definition in [crd::tracing_policy(), crd::tracing_policy_namespaced()] {
        let plural = definition["spec"]["names"]["plural"].as_str().ok_or("no plural")?;
        fs::write(folder.join(format!("{plural}.yaml")), crd::to_yaml(&definition)?)?;
    }
    Ok(())
}
