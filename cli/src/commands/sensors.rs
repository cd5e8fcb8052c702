//! `tetra sensors`: what observes, deprecated in favour of policies.

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use tetragon_api::json;
use tetragon_api::tetragon::{
    DisableSensorRequest, EnableSensorRequest, ListSensorsRequest, ListSensorsResponse, RemoveSensorRequest,
};

use crate::cli::Global;
use crate::client::{Client, Explain as _};
use crate::output;

#[derive(Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the sensors, and which policies they belong to
    List {
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Deprecated: use tracingpolicy enable
    Enable {
        /// Name of the sensor
        name: String,
    },
    /// Deprecated: use tracingpolicy disable
    Disable {
        /// Name of the sensor
        name: String,
    },
    /// Deprecated: use tracingpolicy delete
    Rm {
        /// Name of the sensor
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) async fn run(global: &Global, options: &Options) -> Result<()> {
    let client = Client::new(global)?;
    let text = match &options.action {
        Action::List { output } => {
            let call = async || client.sensors().list_sensors(ListSensorsRequest {}).await;
            let answer = client.unary(call).await.or_explain(&client, "cannot list sensors")?.into_inner();
            match output {
                Format::Text => text(&answer),
                Format::Json => json::to_string(&answer) + "\n",
            }
        }
        Action::Enable { name } => {
            let request = EnableSensorRequest { name: name.clone() };
            let call = async || client.sensors().enable_sensor(request.clone()).await;
            client.unary(call).await.or_explain(&client, "cannot enable the sensor")?;
            format!("sensor {name} enabled\n")
        }
        Action::Disable { name } => {
            let request = DisableSensorRequest { name: name.clone() };
            let call = async || client.sensors().disable_sensor(request.clone()).await;
            client.unary(call).await.or_explain(&client, "cannot disable the sensor")?;
            format!("sensor {name} disabled\n")
        }
        Action::Rm { name } => {
            let request = RemoveSensorRequest { name: name.clone() };
            let call = async || client.sensors().remove_sensor(request.clone()).await;
            client.unary(call).await.or_explain(&client, "cannot remove the sensor")?;
            format!("sensor {name} removed\n")
        }
    };
    Ok(output::print(&text)?)
}

fn text(answer: &ListSensorsResponse) -> String {
    let mut text = String::new();
    for sensor in &answer.sensors {
        let enabled = if sensor.enabled { "(enabled)" } else { "(not enabled)" };
        text.push_str(&format!("{} {enabled} {}\n", sensor.name, sensor.collection));
    }
    text
}
